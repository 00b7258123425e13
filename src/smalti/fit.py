"""Fitting a model to one picture: Adam with a cosine schedule, and no more than that."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-8  # of Adam


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate."""

    parameters: Sequence[Tensor]
    rate: float  # of Adam at the first step; falls to 0 over the run


def fit(
    loss: Callable[[float], Tensor],
    groups: Sequence[Group],
    *,
    steps: int,
    betas: tuple[float, float],
    on_step: Callable[[int, int], None] | None = None,
) -> None:
    """Minimise a loss over the parameters, in place.

    Args:
        loss: called once a step with the progress, 0 <= progress < 1; draws its own samples.
        groups: what to change, and how fast.
        steps: of the optimiser.
        betas: decay of Adam's two moments. The second one matters here: at the usual 0.999 it
            remembers a thousand steps, longer than these gradients keep their size.
        on_step: called with (steps done, steps in all). An exception of its own stops the fit.
    """
    adam = Adam(groups, betas)
    with _one_thread():
        for done in range(steps):
            progress = done / steps
            loss(progress).backward()
            adam.step(0.5 * (1 + math.cos(math.pi * progress)))
            if on_step:
                on_step(done + 1, steps)


@contextmanager
def _one_thread() -> Iterator[None]:
    """A step is milliseconds of small products: on a busy machine threads mostly wait for each
    other (measured: 30 times slower), and sums in one order give the same file every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Adam:
    """Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.

    `torch.optim.Adam` does the same, but its constructor imports torch's compiler: 1.5 s, as long
    as a short fit.
    """

    def __init__(self, groups: Sequence[Group], betas: tuple[float, float]) -> None:
        self.betas = betas
        self.steps = 0
        self.state = [
            (p, torch.zeros_like(p), torch.zeros_like(p), group.rate)
            for group in groups
            for p in group.parameters
        ]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        """One update, with all rates times `scale`, that uses up the gradients."""
        self.steps += 1
        beta_1, beta_2 = self.betas
        unbiased_1, unbiased_2 = 1 - beta_1**self.steps, 1 - beta_2**self.steps
        for p, first, second, rate in self.state:
            first.lerp_(p.grad, 1 - beta_1)
            second.mul_(beta_2).addcmul_(p.grad, p.grad, value=1 - beta_2)
            spread = (second / unbiased_2).sqrt_().add_(EPSILON)
            p.addcdiv_(first, spread, value=-scale * rate / unbiased_1)
            p.grad = None

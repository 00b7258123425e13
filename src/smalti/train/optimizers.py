"""AdamW, Muon for the hidden weights, and SNOO around either.

An optimiser here steps with `step(scale)`, at `scale` times its peak learning rates.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from smalti.train.precision import best
from smalti.train.recipes.recipe import Optimization

SMALLEST_HIDDEN = 5  # channels on either side of a hidden weight; fewer are picture or tokens


def optimizer_of(
    model: nn.Module, settings: Optimization, within: nn.Module | None = None
) -> "TorchOptimizers | Snoo":
    """The optimiser that a recipe asks for.

    Args:
        within: the part of the model whose weights are hidden ones; without, all of it.
    """
    hidden = hidden_weights(within or model) if settings.kind == "muon" else []
    optimizer = TorchOptimizers(model, hidden, settings)
    if settings.snoo_k == 0:
        return optimizer
    parameters = [p for p in model.parameters() if p.requires_grad]
    return Snoo(
        optimizer,
        parameters,
        k=settings.snoo_k,
        lr=settings.snoo_lr,
        momentum=settings.snoo_momentum,
    )


def follow(averaged: list[Tensor], weights: list[Tensor], step: int, decay: float) -> None:
    """Averaged weights after a step, in place; the first steps are forgotten sooner.

    torch's own `AveragedModel` does as much, but waits for the device at every step.
    """
    get_ema_multi_avg_fn(min(decay, (step + 1) / (step + 10)))(averaged, weights, step)


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """Weights of linear layers and convolutions that touch neither picture nor latent channels."""
    layers = (m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    weights = [m.get_parameter("weight") for m in layers if m.weight.requires_grad]
    return [weight for weight in weights if min(weight.shape[:2]) >= SMALLEST_HIDDEN]


class TorchOptimizers:
    """Muon on some weights, AdamW on all others, stepped as one.

    `torch.optim.Muon` takes matrices only. A convolution `O I kh kw` is the matrix `O (I kh kw)`,
    so Muon gets a view of the same storage as a matrix, and its step size follows the shape of
    that view. Which order the columns have makes no difference to Muon.

    Muon: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """

    def __init__(
        self, model: nn.Module, hidden: list[nn.Parameter], settings: Optimization
    ) -> None:
        self.hidden = hidden
        ours = {id(p) for p in hidden}
        others = [p for p in model.parameters() if p.requires_grad and id(p) not in ours]
        self.matrices = [nn.Parameter(_matrix(p.detach(), p)) for p in hidden]
        self.inner: list[torch.optim.Optimizer] = []
        self.peaks: list[float] = []
        if hidden:
            self.inner.append(Muon(self.matrices, lr=settings.lr_muon, weight_decay=0.0))
            self.peaks.append(settings.lr_muon)
        if others:
            self.inner.append(
                torch.optim.AdamW(
                    others,
                    lr=settings.lr,
                    betas=(settings.beta1, settings.beta2),
                    weight_decay=settings.weight_decay,
                    fused=True,
                )
            )
            self.peaks.append(settings.lr)

    def step(self, scale: float) -> None:
        for matrix, parameter in zip(self.matrices, self.hidden, strict=True):
            if parameter.grad is not None:
                matrix.grad = _matrix(parameter.grad, parameter)
        for optimizer, peak in zip(self.inner, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * scale
            optimizer.step()
        for matrix in self.matrices:
            matrix.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"inner": [optimizer.state_dict() for optimizer in self.inner]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for optimizer, inner in zip(self.inner, state["inner"], strict=True):
            optimizer.load_state_dict(inner)


class Muon(torch.optim.Muon):
    """torch's, with float32 products where the device has no bfloat16 ones.

    torch rounds to bfloat16 everywhere, and a processor without such units takes 30 times as long
    for it as for float32: most of a step of a small model. The state is torch's.
    """

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # the loop has no closures
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                if best(matrix.device) == "bf16":
                    super().step()
                    return
                momentum = self.state[matrix].setdefault(
                    "momentum_buffer", torch.zeros_like(matrix.grad)
                )
                momentum.lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(momentum, group["momentum"])
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                height, width = matrix.shape
                rate = group["lr"] * max(1, height / width) ** 0.5
                matrix.sub_(
                    orthogonal(update, group["ns_coefficients"], group["ns_steps"]), alpha=rate
                )


def orthogonal(
    update: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float = 1e-7
) -> Tensor:
    """A matrix of the same singular vectors, with singular values of about 1.

    Newton-Schulz: X ← a X + (b A + c A²) X with A = X Xᵀ, of the shorter side.
    """
    a, b, c = coefficients
    tall = update.shape[0] > update.shape[1]
    x = update.T if tall else update
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Snoo:
    """Step-K Nesterov Outer Optimizer: every K inner steps, one Nesterov step of slow weights.

        s = w_slow - w;  b ← μ b + s;  w_slow ← w_slow - η (μ b + s);  w ← w_slow

    s is the way that the inner optimiser went, taken as a gradient. With μ = 0 it is Lookahead.
    Kallusky et al. 2025, arXiv 2510.15830, algorithm 1.

    Args:
        optimizer: the inner one.
        k: inner steps to an outer one.
        lr, momentum: η and μ.
    """

    def __init__(
        self,
        optimizer: TorchOptimizers,
        parameters: list[nn.Parameter],
        *,
        k: int,
        lr: float,
        momentum: float,
    ) -> None:
        self.optimizer, self.parameters = optimizer, parameters
        self.k, self.lr, self.momentum = k, lr, momentum
        self.slow = [p.detach().clone() for p in parameters]
        self.velocity = [torch.zeros_like(p) for p in self.slow]
        self.steps = 0

    @torch.no_grad()
    def step(self, scale: float) -> None:
        self.optimizer.step(scale)
        self.steps += 1
        if self.steps % self.k:
            return
        fast = [p.detach() for p in self.parameters]
        way = torch._foreach_sub(self.slow, fast)
        torch._foreach_mul_(self.velocity, self.momentum)
        torch._foreach_add_(self.velocity, way)
        torch._foreach_add_(way, self.velocity, alpha=self.momentum)
        torch._foreach_sub_(self.slow, way, alpha=self.lr)
        torch._foreach_copy_(fast, self.slow)

    def state_dict(self) -> dict[str, Any]:
        return {
            **self.optimizer.state_dict(),
            "slow": self.slow,
            "velocity": self.velocity,
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)
        torch._foreach_copy_(self.slow, state["slow"])
        torch._foreach_copy_(self.velocity, state["velocity"])
        self.steps = state["steps"]


def _matrix(values: Tensor, weight: Tensor) -> Tensor:
    """A weight, or its gradient, as a matrix of one row an output channel.

    Of the weight itself it is a view, whichever way round the weight lies in memory.
    """
    if weight.ndim == 4 and not weight.is_contiguous():  # channels last
        values = values.permute(0, 2, 3, 1)
    return values.flatten(1)

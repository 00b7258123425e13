"""The training loop: one step a line, a checkpoint that resumes exactly.

batch(step) ─model→ x̂ ─loss→ gradients ─optimiser→ weights ─average→ EMA weights ─→ file
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from smalti.errors import OptionError
from smalti.files import write_atomically
from smalti.models.base import Model
from smalti.train.optimizers import MuonAdamW

CHECKPOINT_EVERY = 50  # steps
EMA_DECAY = 0.98  # averages about the last 50 steps; the learning rate ends at zero anyway


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the data."""

    name: str
    model: Callable[[], Model]
    forward: Callable[[Model, Tensor, torch.Generator], Tensor]  # x -> x̂, noise included
    loss: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[Tensor], Tensor]  # data's [0, 1] -> the model's range
    learns_from_pictures: bool  # the user's; or else from procedural boxes
    steps: int
    batch: int
    side: int  # texels, of the square training crops
    lr_muon: float
    lr_adamw: float
    clip: float = 1.0  # gradient norm
    warmup: float = 0.05  # share of the steps
    seed: int = 0


def train(
    recipe: Recipe,
    batches: Callable[[int], Float[Tensor, "B C S S"]],
    folder: Path,
    *,
    device: str = "cpu",
    on_step: Callable[[int, int, float], None] | None = None,
) -> Model:
    """Run a recipe, or go on with it where `folder` holds its checkpoint.

    The checkpoint holds weights, averaged weights and optimiser state; batches and noise follow
    from the step number, so on one machine the losses after a resume equal those of an unbroken
    run.

    Args:
        batches: step number -> pictures in [0, 1].
        folder: receives `checkpoint.pt`, and `NAME.safetensors` with the averaged weights.
        on_step: called with (steps done, steps in all, loss).
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = recipe.model().to(device)
    average = {key: value.detach().clone() for key, value in model.state_dict().items()}
    optimizer = MuonAdamW(model, lr_muon=recipe.lr_muon, lr_adamw=recipe.lr_adamw)
    checkpoint = folder / "checkpoint.pt"
    start = _restore(checkpoint, recipe, model, average, optimizer) if checkpoint.exists() else 0

    for step in range(start, recipe.steps):
        x = recipe.scale(batches(step).to(device))
        noise = torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + step)
        loss = recipe.loss(recipe.forward(model, x, noise), x)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step(learning_rate_scale(step, recipe))
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        for key, value in model.state_dict().items():
            average[key].lerp_(value, 1 - decay)
        done = step + 1
        if done % CHECKPOINT_EVERY == 0 or done == recipe.steps:
            _store(checkpoint, recipe, done, model, average, optimizer)
        if on_step:
            on_step(done, recipe.steps, loss.item())

    model.load_state_dict(average)
    model.save_pretrained(folder / f"{recipe.name}.safetensors")
    return model.eval()


def learning_rate_scale(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a half cosine down to zero."""
    warmup = max(1, round(recipe.warmup * recipe.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, recipe.steps - warmup))


def _store(path: Path, recipe: Recipe, done: int, model, average, optimizer) -> None:
    buffer = io.BytesIO()
    state = {
        "recipe": _plain(recipe),
        "done": done,
        "model": model.state_dict(),
        "average": average,
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def _plain(recipe: Recipe) -> dict[str, int | float | str]:
    """What of a recipe can be compared: everything but its functions."""
    return {k: v for k, v in vars(recipe).items() if isinstance(v, int | float | str)}


def _restore(path: Path, recipe: Recipe, model, average, optimizer) -> int:
    state = torch.load(path, weights_only=True, map_location=model.device)
    for key, value in _plain(recipe).items():
        if state["recipe"][key] != value:
            raise OptionError(
                f"{path} belongs to a run with {key} {state['recipe'][key]}, not {value}; "
                "choose another folder (--out), or delete it to begin anew"
            )
    model.load_state_dict(state["model"])
    average.update(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["done"]

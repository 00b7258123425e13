"""The training loop: one step a line, on one device or on many through Accelerate.

batch(step) ─model→ x̂ ─loss→ gradients ─optimiser→ weights ─average→ EMA weights ─→ file
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.extras import need
from smalti.interrupts import StopSignals
from smalti.models.base import Model
from smalti.train import checkpoints
from smalti.train.data import prefetched
from smalti.train.fused import fuse
from smalti.train.optimizers import follow, optimizer_of
from smalti.train.precision import Precision, keep_freed_memory
from smalti.train.progress import Log
from smalti.train.recipes.recipe import Recipe

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Options:
    """What costs time and disk, but decides nothing about the weights (but for rounding)."""

    precision: str = "auto"  # "no" float32, "bf16", "fp16"; auto: bf16 where the device has it
    workers: int = 1  # threads that prepare batches; 0: none but the training one
    checkpoint_every: int = 100  # steps
    validate_every: int = 200  # steps
    log_every: int = 10  # steps
    compile: bool = False  # by torch.compile: minutes first, needs a C++ compiler on a CPU
    fused: bool = True  # the layers of `fused`, unless compiled

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "validate_every", "log_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 1")
        if self.workers < 0:
            raise OptionError(f"workers={self.workers}; it must be at least 0")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM, after which a checkpoint was written; `str` says where it stands."""


def train(
    recipe: Any,
    batches: Callable[[torch.device], Any],
    folder: Path,
    *,
    options: Options | None = None,
    device: str | None = None,
    validation: Any = None,
    on_step: Callable[[int, int, float], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Path:
    """Run a recipe, or go on with it where `folder` holds its checkpoint.

    Under `accelerate launch` this is one of several processes; each takes its own part of every
    batch, and gradients are averaged. Everything random follows from the recipe's seed and the
    step number, so on one machine the losses after a resume equal those of an unbroken run.

    Args:
        batches: device -> what draws them.
        recipe: whatever has the methods of `Recipe`.
        folder: receives checkpoints, `log.jsonl`, validation pictures, and the model of the
            averaged weights where `recipe.result` says.
        device: "cpu", "cuda", "mps"; None is what Accelerate chooses, a GPU if there is one.
        validation: what looks at the averaged model every `options.validate_every` steps.
        on_step: called with (steps done, steps in all, latest loss), in the first process only.
        on_note: called with a sentence, there too.

    Returns:
        the result's path.

    Raises:
        OptionError: the folder holds another run, or the loss is no longer a number.
        Interrupted: after a checkpoint.
    """
    options = options or Options()
    accelerator = accelerator_on(device)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(recipe, batches(accelerator.device), accelerator, options)
    start = run.restore(folder)
    first = accelerator.process_index * recipe.batch
    x_of = partial(run.batches, first=first, count=recipe.batch)
    reporter = None
    if accelerator.is_main_process:
        for left_over in folder.glob(".*.tmp"):  # of a run that was killed while it wrote
            left_over.unlink()
        reporter = Reporter(folder, start, run, validation, on_step=on_step, on_note=on_note)
    losses: list[Tensor] = []
    with StopSignals() as signals, reporter.log if reporter else nullcontext():
        for done, x in enumerate(
            prefetched(x_of, start, recipe.steps, options.workers), start=start + 1
        ):
            losses.append(run.step(done - 1, x))
            stop = run.any_process(signals.arrived)
            at_end = stop or done == recipe.steps
            stores = at_end or done % options.checkpoint_every == 0
            validates = done == recipe.steps or done % options.validate_every == 0
            if stores or validates or done % options.log_every == 0:
                loss = run.mean_over_processes(losses)
                losses.clear()
                if not math.isfinite(loss) or (stores and not run.is_finite()):
                    raise OptionError(
                        f"the loss is no longer a number at step {done}; lower the learning rate "
                        "(--set optimizer.lr=... optimizer.lr_muon=...) in another folder (--out)"
                    )
                if reporter:
                    reporter.report(done, loss)
            if reporter and validates:
                reporter.validate(done)
            if reporter and stores:
                checkpoints.store(folder, done, run.state(done))
            if stop and done < recipe.steps:
                raise Interrupted(f"after step {done} of {recipe.steps}")
    if reporter:
        recipe.save(run.averaged(), recipe.result(folder))
    accelerator.wait_for_everyone()
    return recipe.result(folder)


class Reporter:
    """What the first process tells of a run: to the log, and to the caller."""

    def __init__(
        self,
        folder: Path,
        start: int,
        run: "Run",
        validation: Any,
        *,
        on_step: Callable[[int, int, float], None] | None,
        on_note: Callable[[str], None] | None,
    ) -> None:
        self.log, self.run, self.validation = Log(folder, start), run, validation
        self.on_step, self.note = on_step, on_note or (lambda text: None)
        self.counted, self.began = start, time.perf_counter()
        self.unreadable = 0
        if start:
            self.note(f"going on after step {start} of {run.recipe.steps}")
        if self.log.board is None:
            self.note(f"log: {self.log.path}; with `pip install tensorboard`, TensorBoard's too")

    def report(self, done: int, loss: float) -> None:
        recipe, now = self.run.recipe, time.perf_counter()
        pictures = (done - self.counted) * recipe.batch * self.run.accelerator.num_processes
        numbers = {
            "loss": loss,
            "lr_scale": learning_rate_scale(done - 1, recipe),
            "pictures_per_second": round(pictures / (now - self.began), 3),
        }
        self.counted, self.began = done, now
        self.log.write(done, numbers)
        if self.on_step:
            self.on_step(done, recipe.steps, loss)
        pictures = self.run.batches.pictures
        if pictures and len(pictures.unreadable) > self.unreadable:
            self.unreadable = len(pictures.unreadable)
            name, reason = list(pictures.unreadable.items())[-1]
            self.note(f"{self.unreadable} unreadable pictures left out, the last {name}: {reason}")

    def validate(self, done: int) -> None:
        if self.validation is None:
            return
        numbers, shown, said = self.validation.run(self.run.averaged())
        self.log.write(done, numbers)
        path = "" if shown is None else str(self.log.picture(done, shown))
        self.note(f"step {done}: {', '.join(filter(None, (said, path)))}")
        self.began = time.perf_counter()  # the next rate is training's alone


class Run:
    """Model, optimiser and averaged weights of one process, and their state."""

    def __init__(
        self, recipe: Any, batches: Any, accelerator: "Accelerator", options: Options
    ) -> None:
        self.recipe, self.batches, self.accelerator = recipe, batches, accelerator
        device = accelerator.device
        keep_freed_memory()
        torch.manual_seed(recipe.seed)
        model = recipe.first_model(batches).to(device)
        model = model.to(memory_format=torch.channels_last)
        self.model = fuse(model) if options.fused and not options.compile else model
        self.precision = Precision(options.precision, device)
        self.step_module = accelerator.prepare_model(recipe.step_module(self.model, self.precision))
        # After the line above, which may move the weights: Muon holds views of them.
        self.optimizer = optimizer_of(self.model, recipe.optimizer, recipe.hidden(self.model))
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        if options.compile:
            self.step_module = torch.compile(self.step_module)

    def step(self, step: int, x: Tensor) -> Tensor:
        """One step of training; the loss of this process's pictures."""
        recipe = self.recipe
        # Whatever a model draws follows from the step and the process, so no state is kept.
        place = (recipe.seed, step, self.accelerator.process_index)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))
        loss = self.step_module(x)
        self.precision.backward(loss)
        self.precision.unscale(self.parameters)
        norm = nn.utils.clip_grad_norm_(self.parameters, recipe.clip)
        if self.precision.accepts(norm):
            self.optimizer.step(learning_rate_scale(step, recipe))
        for parameter in self.parameters:
            parameter.grad = None
        weights = [value.detach() for value in self.model.state_dict().values()]
        follow(list(self.average.values()), weights, step, recipe.ema)
        return loss.detach()

    def averaged(self) -> Model:
        """A plain model of the averaged weights."""
        model = self.recipe.build().to(self.accelerator.device)
        model.load_state_dict(self.average)
        return model.eval()

    def any_process(self, flag: bool) -> bool:
        if self.accelerator.num_processes == 1:
            return flag
        flags = torch.tensor([float(flag)], device=self.accelerator.device)
        return bool(self.accelerator.reduce(flags, "sum").item())

    def mean_over_processes(self, losses: list[Tensor]) -> float:
        """The last loss, averaged over processes; NaN if any since the last call was none."""
        loss = torch.stack(losses).float()
        loss = torch.where(loss.isfinite().all(), loss[-1:], math.nan)
        if self.accelerator.num_processes > 1:
            loss = self.accelerator.reduce(loss, "mean")
        return loss.item()

    def is_finite(self) -> bool:
        """Whether every weight is a number: a loss shows only what the last step made of them."""
        return bool(torch.stack([p.detach().sum() for p in self.parameters]).isfinite().all())

    def state(self, done: int) -> dict[str, Any]:
        return {
            "recipe": self._identity(),
            "done": done,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "precision": self.precision.state_dict(),
        }

    def restore(self, folder: Path) -> int:
        """Load the newest checkpoint, if there is one; the steps that are done."""
        state = checkpoints.newest(folder, self.accelerator.device)
        done = 0 if state is None else state["done"]
        everywhere = self.accelerator.gather(torch.tensor([done], device=self.accelerator.device))
        if everywhere.min() != everywhere.max():
            raise OptionError(
                f"the processes' checkpoints in {folder} are of steps {everywhere.tolist()}; "
                "--out must be a folder that all machines share"
            )
        if state is None:
            return 0
        for key, value in self._identity().items():
            if state["recipe"].get(key) != value:
                raise OptionError(
                    f"{folder} belongs to a run with {key} {state['recipe'].get(key)}, not "
                    f"{value}; choose another folder (--out), or delete it to begin anew"
                )
        self.model.load_state_dict(state["model"])
        for key, value in state["average"].items():
            self.average[key].copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.load_state_dict(state["precision"])
        return done

    def _identity(self) -> dict[str, Any]:
        """What two runs must share for one to go on with the other."""
        return {**self.recipe.plain(), "processes": self.accelerator.num_processes}


def accelerator_on(device: str | None) -> "Accelerator":
    accelerate = need("accelerate", extra="train", what="training")
    # Mixed precision is our own (`precision`): the same on every device, and testable on a CPU.
    accelerator = accelerate.Accelerator(cpu=device == "cpu", mixed_precision="no")
    if device is not None and accelerator.device.type != torch.device(device).type:
        raise OptionError(f"device {device}: Accelerate finds {accelerator.device} here")
    return accelerator


def learning_rate_scale(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a half cosine down to zero."""
    warmup = max(1, round(recipe.warmup * recipe.steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, recipe.steps - warmup))

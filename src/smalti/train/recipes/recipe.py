"""A recipe: everything that decides the weights, apart from the pictures.

Only plain numbers and names, in dataclasses within dataclasses, so that every field can be set
from the command line (`--set optimizer.lr=1e-3`), stored in a checkpoint and compared.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from smalti import settings
from smalti.errors import OptionError, unknown
from smalti.files import BUNDLED_PICTURES
from smalti.models.base import Model
from smalti.models.fsq import FsqAutoencoder
from smalti.models.patch.init import linear_init
from smalti.models.patch.model import PatchAutoencoder
from smalti.models.patch.stages import StackedPatchAutoencoder
from smalti.models.rgba import RgbaAutoencoder
from smalti.train.data import Batches
from smalti.train.precision import Precision
from smalti.train.progress import Validation
from smalti.train.sources import Pictures
from smalti.train.steps.autoencoder import AutoencoderStep

# Architecture -> the value of black in the pictures that the loss compares; white is 1. Models
# themselves have it at -1; that of RGBA learnt with errors of levels in [0, 1].
BLACK: dict[type[Model], float] = {
    FsqAutoencoder: -1.0,
    PatchAutoencoder: -1.0,
    RgbaAutoencoder: 0.0,
    StackedPatchAutoencoder: -1.0,
}


@dataclass(frozen=True)
class Optimization:
    """How gradients become steps."""

    kind: str = "muon"  # on hidden weights, with AdamW for the rest; or "adamw" for all
    lr: float = 3e-3  # AdamW's, at its peak
    lr_muon: float = 0.02  # Muon's, at its peak
    beta1: float = 0.9  # AdamW
    beta2: float = 0.95
    weight_decay: float = 1e-4  # AdamW
    snoo_k: int = 0  # inner steps to one outer step of SNOO; 0: no outer optimiser
    snoo_lr: float = 0.7
    snoo_momentum: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in ("muon", "adamw"):
            raise OptionError(f"optimizer.kind={self.kind}; known: muon, adamw")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, apart from the pictures."""

    runner: ClassVar[str] = "smalti.train.run"  # the module whose `run_recipe` trains by it
    extra: ClassVar[str] = "train"  # what that needs

    name: str
    model: Any  # the config of an architecture in BLACK
    loss: Any  # a callable dataclass of `losses`
    steps: int
    batch: int  # pictures a step, in each process
    side: int  # of a square training crop, in texels; others have as many texels
    aspect: float = 1.0  # largest ratio of a crop's sides; each batch has one shape
    boxes: float = 0.0  # share of procedural RGBA boxes among the pictures, 0 .. 1
    latent_noise: float = 0.0  # width of the uniform noise that latents get, as rounding would
    start: str = ""  # weights to begin with: a bundled set or a .safetensors file
    linear_init: bool = False  # begin as the best linear code of the pictures' patches
    frozen: str = ""  # weights of the first of two stages, which stay as they are
    latent_loss: bool = False  # compare what the second of two stages codes, not pictures
    optimizer: Optimization = field(default_factory=Optimization)
    clip: float = 1.0  # gradient norm
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    ema: float = 0.98  # decay of the averaged weights: about the last 1 / (1 - ema) steps
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("side", 1), ("aspect", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least {least}")
        for name in ("boxes", "warmup", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name}={getattr(self, name)}; it lies in 0 .. 1")
        if self.boxes and self.channels != 4:
            raise OptionError(f"boxes={self.boxes}; only models of RGBA pictures learn from boxes")
        if (self.frozen or self.latent_loss) and self.architecture is not StackedPatchAutoencoder:
            raise OptionError("frozen and latent_loss are for models of two stages")

    @property
    def architecture(self) -> type[Model]:
        return next(model for model in BLACK if model.Config is type(self.model))

    @property
    def channels(self) -> int:
        """Of the training pictures: 3 RGB, 4 RGBA."""
        return 4 if self.architecture is RgbaAutoencoder else 3

    @property
    def black(self) -> float:
        """The value of black in the pictures that the loss compares; white is 1."""
        return BLACK[self.architecture]

    def build(self) -> Model:
        """The model before training, of random weights; or OptionError."""
        try:
            return self.architecture(self.model)
        except (ValueError, RuntimeError, ZeroDivisionError) as cause:
            raise OptionError(f"no model of {self.model}: {cause}") from cause

    def first_model(self, batches: Batches) -> Model:
        """At step 0: random weights, given ones, or the best linear code of the pictures."""
        if self.start:
            model = self.architecture.from_pretrained(self.start)
            if model.config != self.model:
                raise OptionError(f"start={self.start} has {model.config}, not {self.model}")
            return model.train()
        model = self.build()
        if self.frozen:
            assert isinstance(model, StackedPatchAutoencoder)
            model.load_first(self.frozen)
        if self.linear_init:
            assert isinstance(model, PatchAutoencoder | StackedPatchAutoencoder)
            linear_init(model, batches.patches(model.factor, black=self.black))
        return model.train()

    def check_data(self, data: Sequence[str | Path], validate_on: Sequence[str | Path]) -> None:
        """Refuse data that this recipe does not learn from, before any is read.

        Raises:
            OptionError: none, or some where there is nothing to learn from it.
        """
        if self.boxes < 1 and not data:
            raise OptionError(f"{self.name} learns from pictures; name folders of them with --data")
        if data and self.boxes == 1:
            raise OptionError(
                f"{self.name} learns from procedural boxes; it takes no --data unless boxes is "
                "below 1 (--set boxes=0.5)"
            )

    def batches(
        self, data: Sequence[str | Path], cache_mb: int
    ) -> Callable[[torch.device], Batches]:
        """Device -> what draws the batches; `cache_mb` of decoded pictures stay in memory."""
        factor = self.build().factor
        pictures = Pictures(data, channels=self.channels, cache_mb=cache_mb) if data else None
        return lambda device: Batches(
            pictures,
            side=self.side,
            channels=self.channels,
            factor=factor,
            aspect=self.aspect,
            boxes=self.boxes,
            seed=self.seed,
            device=device,
        )

    def validation(
        self, data: Sequence[str | Path], validate_on: Sequence[str | Path]
    ) -> Validation:
        """What a model is looked at with: these pictures, or the bundled ones."""
        shown = Pictures(validate_on or [BUNDLED_PICTURES], channels=self.channels)
        return Validation(shown, factor=self.build().factor)

    def step_module(self, model: Model, precision: Precision) -> AutoencoderStep:
        """What computes the loss of a batch."""
        return AutoencoderStep(self, model, precision)

    def hidden(self, model: Model) -> nn.Module:
        """The part of the model that Muon may train."""
        return model

    def result(self, folder: Path) -> Path:
        """Where a run in this folder leaves its model."""
        return folder / f"{self.name}.safetensors"

    def save(self, model: Model, path: Path) -> None:
        model.save_pretrained(path)

    def plain(self) -> dict[str, Any]:
        """Every field, flat: {"steps": 700, "optimizer.lr": 0.003, ...}."""
        return dict(_flat(self))


def changed(recipe: Any, changes: Iterable[str]) -> Any:
    """A recipe with fields set by `field=value` strings, such as `model.width=64`.

    Tuples are written with commas, switches as true or false.

    Raises:
        OptionError: no such field, or a value that it cannot have.
    """
    for setting in changes:
        path, equals, text = setting.partition("=")
        if not equals:
            raise OptionError(f"{setting!r}; write field=value, such as steps=100")
        known = [name for name in recipe.plain() if name != "name"]
        if path not in known:
            raise OptionError(unknown(f"field of {recipe.name}", path, known))
        recipe = _replaced(recipe, path.split("."), text, path)
    return recipe


def _flat(config: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, value


def _replaced(config: Any, path: list[str], text: str, field: str) -> Any:
    name, *rest = path
    if rest:
        value = _replaced(getattr(config, name), rest, text, field)
    else:
        value = settings.value(field, text, settings.types_of(type(config))[name])
    return dataclasses.replace(config, **{name: value})

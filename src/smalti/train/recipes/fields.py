"""Recipes of resamplers and diffusers: plain numbers, each of which can be set."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from smalti.errors import OptionError
from smalti.files import BUNDLED_PICTURES
from smalti.models import load_shared
from smalti.models.base import Model
from smalti.models.diffuser import Diffuser, DiffuserConfig
from smalti.models.resampler import Resampler, ResamplerConfig
from smalti.train.data import Batches
from smalti.train.field_data import DigitBatches, Digits, DigitValidation, DrawnValidation
from smalti.train.precision import Precision
from smalti.train.progress import Validation
from smalti.train.recipes.recipe import Optimization, Recipe
from smalti.train.sources import Pictures
from smalti.train.steps.fields import DiffuserStep, ResamplerStep

VALIDATED = 200  # digits of the test part


@dataclass(frozen=True, kw_only=True)
class FieldRecipe(ABC):
    """What both kinds have: everything that decides the weights, apart from the pictures."""

    runner: ClassVar[str] = Recipe.runner
    extra: ClassVar[str] = Recipe.extra

    @property
    def learns_from(self) -> str:
        return "MNIST"

    name: str
    steps: int
    batch: int  # pictures a step, in each process
    jitter: float = 0.5  # share of the steps whose latents lie at displaced rows and columns
    optimizer: Optimization = field(default_factory=lambda: Optimization(lr=2e-3, beta2=0.99))
    clip: float = 1.0  # gradient norm
    warmup: float = 0.03  # share of the steps in which the learning rate rises
    ema: float = 0.995  # decay of the averaged weights
    seed: int = 0

    plain, hidden = Recipe.plain, Recipe.hidden
    result, save = Recipe.result, Recipe.save

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least {least}")
        for name in ("jitter", "warmup", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name}={getattr(self, name)}; it lies in 0 .. 1")

    @abstractmethod
    def build(self) -> Model:
        """The model before training, of random weights."""

    def first_model(self, _batches: Any) -> Model:
        return self.build().train()

    def check_data(self, data: Sequence[str | Path], validate_on: Sequence[str | Path]) -> None:
        """As `Recipe` has it."""
        if not data:
            raise OptionError(
                f"{self.name} learns from {self.learns_from}; name the folder with --data"
            )
        if self.learns_from == "MNIST" and (len(data) > 1 or validate_on):
            raise OptionError(f"{self.name} learns from one folder of MNIST, and takes no --val")


@dataclass(frozen=True, kw_only=True)
class ResamplerRecipe(FieldRecipe):
    """A resampler: pictures of one size in, texels of any size at any place out."""

    model: ResamplerConfig
    texels: int = 12  # on each side of the part that is drawn of each picture
    noise: float = 0.05  # that the latents get, of their deviation
    # weight of the latents' bits a texel; then they are rounded, not standardised
    rate: float = 0.0
    sharper: int = 1  # texels on a side of the target to one of the picture, in some of the steps

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("texels", "sharper"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 1")
        if self.model.channels not in (1, 3):
            raise OptionError(f"model.channels={self.model.channels}; 1 for digits, 3 for pictures")
        if bool(self.rate) == bool(self.model.places):
            raise OptionError(
                f"rate={self.rate} with model.places={self.model.places}; latents have a rate "
                "if places is 0, and are standardised if not"
            )

    @property
    def learns_from(self) -> str:
        return "photographs" if self.model.channels == 3 else "MNIST"

    def build(self) -> Model:
        return Resampler(self.model)

    def batches(
        self, data: Sequence[str | Path], cache_mb: int
    ) -> Callable[[torch.device], Batches | DigitBatches]:
        if self.learns_from == "MNIST":
            digits = Digits(Path(data[0]), "train", self.model.frame)
            return lambda device: DigitBatches(
                digits, seed=self.seed, labelled=False, device=device
            )
        pictures = Pictures(data, channels=3, cache_mb=cache_mb)
        side = self.model.frame * self.sharper
        return lambda device: Batches(pictures, side=side, seed=self.seed, device=device)

    def validation(
        self, data: Sequence[str | Path], validate_on: Sequence[str | Path]
    ) -> Validation | DigitValidation:
        if self.learns_from == "MNIST":
            return DigitValidation(Digits(Path(data[0]), "test", self.model.frame, VALIDATED))
        shown = Pictures(validate_on or [BUNDLED_PICTURES], channels=3)
        return Validation(shown, factor=1)

    def step_module(self, model: Resampler, precision: Precision) -> ResamplerStep:
        return ResamplerStep(self, model, precision)


@dataclass(frozen=True, kw_only=True)
class DiffuserRecipe(FieldRecipe):
    """A diffuser of the latents of `model.autoencoder`."""

    model: DiffuserConfig
    dropout: float = 0.1  # share of the pictures whose label is not told

    def build(self) -> Model:
        return Diffuser(self.model)

    def batches(
        self, data: Sequence[str | Path], cache_mb: int
    ) -> Callable[[torch.device], DigitBatches]:
        digits = Digits(Path(data[0]), "train", self._autoencoder().config.frame)
        if digits.labels.max() >= self.model.classes:
            raise OptionError(
                f"{data[0]} has labels up to {int(digits.labels.max())}; set model.classes above that"
            )
        return lambda device: DigitBatches(digits, seed=self.seed, labelled=True, device=device)

    def validation(
        self, data: Sequence[str | Path], validate_on: Sequence[str | Path]
    ) -> DrawnValidation:
        return DrawnValidation(self._autoencoder())

    def step_module(self, model: Diffuser, precision: Precision) -> DiffuserStep:
        return DiffuserStep(self, model, precision)

    def _autoencoder(self) -> Resampler:
        """The autoencoder of the digits, if it is of a kind that the diffuser can draw for."""
        autoencoder = load_shared(Resampler, self.model.autoencoder)
        self.model.check_fits(autoencoder.config)
        if autoencoder.channels != 1:
            raise OptionError(
                f"{self.model.autoencoder} is of {autoencoder.channels} channels, not grey"
            )
        return autoencoder


def r2ir_mnist() -> ResamplerRecipe:
    """Digits as 16 numbers at 4 x 4 points: a quarter of their texels.

    smalti train r2ir-mnist --data MNIST
    About 17 CPU minutes; squared error 0.0057 in [-1, 1] on MNIST's test part.
    """
    return ResamplerRecipe(name="r2ir-mnist", model=ResamplerConfig(), steps=4000, batch=64)


def r2ir_mnist_64() -> ResamplerRecipe:
    """64 numbers at each point, as many as there are texels; R2IR's own setting.

    smalti train r2ir-mnist-64 --data MNIST
    About 10 CPU minutes; squared error 0.0060: at this length more numbers gain nothing.
    """
    model = ResamplerConfig(latent_channels=64)
    return ResamplerRecipe(name="r2ir-mnist-64", model=model, steps=2500, batch=64, noise=0.02)


def r2ir_mnist_full() -> ResamplerRecipe:
    """r2ir-mnist for a GPU: wider, and 15 times the pictures.

    smalti train r2ir-mnist-full --data MNIST
    """
    model = ResamplerConfig(width=192, texel_width=48, encoder_blocks=4, mixing_blocks=4)
    return ResamplerRecipe(name="r2ir-mnist-full", model=model, steps=15_000, batch=256)


def r2id_mnist() -> DiffuserRecipe:
    """Digits drawn by their label, as latents of r2ir-mnist.

    smalti train r2id-mnist --data MNIST
    About 41 CPU minutes; what it draws is judged in assets/weights/r2id-mnist.md.
    """
    return DiffuserRecipe(
        name="r2id-mnist",
        model=DiffuserConfig(),
        steps=5000,
        batch=128,
        ema=0.998,
        optimizer=Optimization(lr=1e-3, lr_muon=0.01, beta2=0.99),
    )


def r2id_mnist_full() -> DiffuserRecipe:
    """r2id-mnist for a GPU: of the width of R2ID, 12 blocks, and 20 times the pictures.

    smalti train r2id-mnist-full --data MNIST
    """
    return DiffuserRecipe(
        name="r2id-mnist-full",
        model=DiffuserConfig(width=192, blocks=12, heads=6),
        steps=50_000,
        batch=256,
        ema=0.9995,
        optimizer=Optimization(lr=1e-3, lr_muon=0.01, beta2=0.99),
    )


def r2ir_photos() -> ResamplerRecipe:
    """Photographs: 32 rounded numbers for each 8 x 8 texels, as few bits as they need.

    smalti train r2ir-photos --data PHOTOGRAPHS
    Three tenths of the pictures are seen at half their size and drawn up to their own.
    About 15 CPU minutes; 28.2 dB at 0.43 bpp on Kodak (assets/weights/r2ir-photos.md).
    """
    model = ResamplerConfig(
        channels=3, latent_channels=32, width=128, frame=64, cells=8, atoms=14, places=0
    )
    return ResamplerRecipe(
        name="r2ir-photos",
        model=model,
        steps=2400,
        batch=16,
        texels=24,
        rate=0.005,
        sharper=2,
    )


FIELD_RECIPES: dict[str, Callable[[], FieldRecipe]] = {
    "r2ir-mnist": r2ir_mnist,
    "r2ir-mnist-64": r2ir_mnist_64,
    "r2ir-mnist-full": r2ir_mnist_full,
    "r2id-mnist": r2id_mnist,
    "r2id-mnist-full": r2id_mnist_full,
    "r2ir-photos": r2ir_photos,
}

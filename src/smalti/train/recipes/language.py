"""Recipes of the language models that draw: plain numbers, each of which can be set."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from smalti.errors import OptionError
from smalti.train.recipes.recipe import Optimization, Recipe

HEAD = 32  # width of an attention head
KINDS = ("mnist", "folder")  # of pictures


@dataclass(frozen=True)
class LmRecipe:
    """Everything that decides the model, apart from the pictures.

    draw, name_it and complete are the shares of the three kinds of example, in any unit. The
    defaults are digits-lm's: smalti train digits-lm --data MNIST
    1.2 CPU seconds a step of one thread without AVX-512.
    """

    runner: ClassVar[str] = "smalti.artist.train"
    extra: ClassVar[str] = "tokens"

    name: str = "digits-lm"
    tokenizer: str = "fsq-digits"  # of the pictures: a bundled set of weights or a file
    hidden: int = 192  # a multiple of HEAD
    layers: int = 4
    inner: int = 512  # width of a block's feed-forward layer
    features: int = 256  # of the codes' embeddings
    steps: int = 800
    batch: int = 128  # sequences a step
    draw: float = 2.0  # captions before pictures
    name_it: float = 1.0  # pictures before captions
    complete: float = 1.0  # lower halves of pictures, after a caption
    name_weight: float = 4.0  # of a caption's loss after a picture; other tokens have 1
    any_caption: float = 0.1  # share of captions that do not tell the label
    optimizer: Optimization = field(default_factory=lambda: Optimization(lr=2e-3, lr_muon=0.02))
    clip: float = 1.0  # gradient norm
    warmup: float = 0.05  # share of the steps in which the learning rate rises
    ema: float = 0.995  # decay of the averaged weights
    seed: int = 0
    pictures: str = "mnist"  # MNIST's four files; or "folder": of anybody's labelled pictures
    side: int = 32  # of a picture of a folder, in texels: its middle square is brought to it
    views: int = 1  # of each picture of a folder: itself, mirrored, then random crops
    crop: float = 0.8  # least side of such a crop, as a share of the picture's shorter one
    least: int = 50  # pictures of a folder's label that becomes a word

    plain = Recipe.plain

    def __post_init__(self) -> None:
        if self.hidden % HEAD or self.hidden < HEAD:
            raise OptionError(f"hidden={self.hidden}; it is a multiple of {HEAD}")
        if self.pictures not in KINDS:
            raise OptionError(f"pictures={self.pictures}; known: {', '.join(KINDS)}")
        for name in ("layers", "inner", "features", "steps", "batch", "side", "views", "least"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 1")
        for name in ("draw", "name_it", "complete", "name_weight", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 0")
        for name in ("any_caption", "warmup", "ema", "crop"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name}={getattr(self, name)}; it lies in 0 .. 1")
        if not sum(self.shares):
            raise OptionError("draw, name_it and complete are all 0; nothing is left to learn")

    @property
    def heads(self) -> int:
        return self.hidden // HEAD

    @property
    def shares(self) -> tuple[float, float, float]:
        """Of drawing, naming and completing."""
        return self.draw, self.name_it, self.complete


def natural_lm() -> LmRecipe:
    """Draws, completes and names pictures of a folder's labels, 64 x 64 texels as 64 tokens.

    smalti train natural-lm --data STL10
    About 6 minutes of one thread, 0.75 CPU seconds a step (assets/weights/natural-lm.md).
    """
    return LmRecipe(
        name="natural-lm",
        tokenizer="fsq-natural",
        steps=400,
        batch=32,
        pictures="folder",
        side=64,
        views=4,
    )


LM_RECIPES: dict[str, Callable[[], LmRecipe]] = {"digits-lm": LmRecipe, "natural-lm": natural_lm}

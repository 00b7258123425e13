"""The recipe of the language model that draws digits: plain numbers, each of which can be set."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from smalti.errors import OptionError
from smalti.train.recipe import Optimization, Recipe

HEAD = 32  # width of an attention head


@dataclass(frozen=True)
class LmRecipe:
    """Everything that decides the model, apart from the pictures.

    smalti train digits-lm --data MNIST

    draw, name_it and complete are the shares of the three kinds of example, in any unit.
    """

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

    plain = Recipe.plain

    def __post_init__(self) -> None:
        if self.hidden % HEAD or self.hidden < HEAD:
            raise OptionError(f"hidden={self.hidden}; it is a multiple of {HEAD}")
        for name in ("layers", "inner", "features", "steps", "batch"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 1")
        for name in ("draw", "name_it", "complete", "name_weight", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name}={getattr(self, name)}; it must be at least 0")
        for name in ("any_caption", "warmup", "ema"):
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


LM_RECIPES: dict[str, Callable[[], LmRecipe]] = {"digits-lm": LmRecipe}

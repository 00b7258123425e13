"""Recipes of tokenizers for small language models: a few dozen tokens a picture."""

from collections.abc import Callable
from typing import Any

from smalti.models.fsq import FsqConfig
from smalti.train.losses import PictureLoss
from smalti.train.recipes.recipe import Optimization, Recipe

BUDGET: dict[str, Any] = {  # of every digits tokenizer: MNIST is learned soon
    "steps": 600,
    "batch": 64,
    "side": 32,
}


def fsq_digits() -> Recipe:
    """A digit as 4 x 4 tokens of 1,000 codes: one for each 8 x 8 texels of 32 x 32.

    smalti train fsq-digits --data MNIST/train-images-idx3-ubyte.gz
    """
    return Recipe(
        name="fsq-digits",
        model=FsqConfig(levels=(8, 5, 5, 5), width=40, blocks=1, factor=8),
        loss=PictureLoss(l1=1.0, mse=1.0, sobel=0.0),
        optimizer=Optimization(),
        **BUDGET,
    )


def fsq_digits_f4() -> Recipe:
    """A digit as 8 x 8 tokens of 1,000 codes: one for each 4 x 4 texels of 32 x 32.

    smalti train fsq-digits-f4 --data MNIST/train-images-idx3-ubyte.gz
    """
    return Recipe(
        name="fsq-digits-f4",
        model=FsqConfig(levels=(8, 5, 5, 5), width=40, blocks=1, factor=4),
        loss=PictureLoss(l1=1.0, mse=1.0, sobel=0.0),
        **BUDGET,
    )


def fsq_natural() -> Recipe:
    """A picture of 64 x 64 texels as 8 x 8 tokens of 1,000 codes: coarse, and short to read.

    smalti train fsq-natural --data STL10_TRAIN NATURAL96.npz
    """
    return Recipe(
        name="fsq-natural",
        model=FsqConfig(levels=(8, 5, 5, 5), width=56, blocks=1, factor=8),
        loss=PictureLoss(),
        steps=600,
        batch=16,
        side=64,
    )


COARSE_RECIPES: dict[str, Callable[[], Recipe]] = {
    "fsq-digits": fsq_digits,
    "fsq-digits-f4": fsq_digits_f4,
    "fsq-natural": fsq_natural,
}

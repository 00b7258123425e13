"""Recipes of tokenizers: pictures to whole numbers."""

from collections.abc import Callable

from smalti.models.fsq import FsqConfig
from smalti.train.losses import PictureLoss
from smalti.train.recipes.recipe import Optimization, Recipe


def fsq_1m() -> Recipe:
    """QKVAE-1m's model and loss, with Muon in place of AdamW and far fewer steps.

    smalti train fsq-1m --data STL10_TRAIN NATURAL96.npz
    About 6 minutes; 33.0 dB on held-out STL-10 images, 34.8 dB after 1,650 steps more that
    start from those weights (assets/weights/fsq-1m.md).
    """
    return Recipe(
        name="fsq-1m",
        model=FsqConfig(),
        loss=PictureLoss(),
        steps=700,
        batch=32,
        side=48,
    )


def fsq_card() -> Recipe:
    """QKVAE-1m as its model card trains it: AdamW with a one-cycle schedule, 6,000 steps.

    smalti train fsq-card --data STL10_TRAIN
    The card: 32.61 dB on the STL-10 test set, 78 s on an RTX 5090.
    """
    return Recipe(
        name="fsq-card",
        model=FsqConfig(),
        loss=PictureLoss(),
        steps=6000,
        batch=32,
        side=96,
        optimizer=Optimization(kind="adamw", lr=3e-4),
    )


def fsq_small() -> Recipe:
    """Fewer parameters: a third of fsq-1m's, the same tokens.

    smalti train fsq-small --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-small", FsqConfig(width=56))


def fsq_tiny() -> Recipe:
    """Fewer parameters still, a twelfth of fsq-1m's: the same tokens.

    smalti train fsq-tiny --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-tiny", FsqConfig(width=32, blocks=1))


def fsq_1k() -> Recipe:
    """A smaller codebook, 8 * 5 * 5 * 5 = 1,000 codes, and half the parameters.

    smalti train fsq-1k --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-1k", FsqConfig(width=72, levels=(8, 5, 5, 5)))


def fsq_f4() -> Recipe:
    """A quarter of the tokens: one for each 4 x 4 texels, of 64,000 codes.

    smalti train fsq-f4 --data STL10_TRAIN NATURAL96.npz
    """
    return _fsq("fsq-f4", FsqConfig(width=80, factor=4, levels=(8, 8, 8, 5, 5, 5)))


def fsq_f8() -> Recipe:
    """A sixteenth of the tokens: one for each 8 x 8 texels, of 64,000 codes.

    smalti train fsq-f8 --data PHOTOGRAPHS
    """
    return _fsq("fsq-f8", FsqConfig(width=80, factor=8, levels=(8, 8, 8, 5, 5, 5)), side=64)


def _fsq(name: str, config: FsqConfig, *, side: int = 48) -> Recipe:
    return Recipe(name=name, model=config, loss=PictureLoss(), steps=700, batch=32, side=side)


FSQ_RECIPES: dict[str, Callable[[], Recipe]] = {
    "fsq-1m": fsq_1m,
    "fsq-card": fsq_card,
    "fsq-small": fsq_small,
    "fsq-tiny": fsq_tiny,
    "fsq-1k": fsq_1k,
    "fsq-f4": fsq_f4,
    "fsq-f8": fsq_f8,
}

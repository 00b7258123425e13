"""The labelled pictures that a small language model learns from: MNIST, or anybody's folder."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Float

from smalti import image, tables
from smalti.artist.words import DIGITS, Words, words_of_things
from smalti.errors import ImageError, OptionError
from smalti.files import PICTURE_SUFFIXES, files_in
from smalti.image import idx
from smalti.models.pictures import to_rgb
from smalti.tokens.coding import square
from smalti.train.recipes.language import LmRecipe

HELD_OUT = 1000  # of MNIST's training pictures, for validation
EVERY = 10  # of a folder without val or test, one picture in as many is held out
NONE = -1  # the label of a picture that has none
INDEX = "index.csv"  # of a folder: its columns file and label
HELD_FOLDERS = ("val", "test")  # what lies in them is not trained on
PART_FILES = {"train": "train", "test": "t10k"}  # of MNIST


@dataclass(frozen=True)
class Labelled:
    """Pictures, sRGB-encoded, and what captions call them."""

    pictures: np.ndarray  # N H W C uint8, of 1 or 3 channels
    labels: np.ndarray  # N: places in words.labels, or NONE
    held: np.ndarray  # N: whether the picture is kept from training
    words: Words

    def __getitem__(self, part: slice) -> "Labelled":
        return Labelled(self.pictures[part], self.labels[part], self.held[part], self.words)


def read(
    recipe: LmRecipe,
    folder: Path,
    on_step: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Labelled:
    """The pictures that a recipe learns from.

    Raises:
        OptionError: files are missing, or no label has enough pictures.
        ImageError: a damaged file.
    """
    return (
        read_mnist(folder) if recipe.pictures == "mnist" else read_folder(recipe, folder, on_step)
    )


def read_mnist(folder: Path, part: str = "train") -> Labelled:
    """MNIST's pictures, padded to 32 x 32, and labels; the last ones are held out.

    Args:
        folder: with the files of the distribution, gzipped or not.
        part: "train", 60,000 pictures, or "test", 10,000.

    Raises:
        OptionError: a file is not there.
        ImageError: a damaged file, or labels that do not fit the pictures.
    """
    pictures = idx.read_pictures(idx.in_folder(folder, f"{PART_FILES[part]}-images-idx3-ubyte"))
    labels = idx.read(idx.in_folder(folder, f"{PART_FILES[part]}-labels-idx1-ubyte"))
    if labels.shape != (len(pictures),) or labels.max(initial=0) >= len(DIGITS.labels):
        raise ImageError(f"{folder}: {len(pictures)} pictures, but labels {labels.shape}")
    trained = len(labels) - min(HELD_OUT, len(labels) // 10)
    held = np.arange(len(labels)) >= trained
    return Labelled(pictures[..., None], labels.astype(np.int64), held, DIGITS)


def read_folder(
    recipe: LmRecipe,
    folder: Path,
    on_step: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Labelled:
    """A folder of pictures with labels: `views` of each, its middle square brought to `side`.

    The labels are those of index.csv (columns file and label, names within the folder), or the
    names of the folders that the pictures lie in. A label of at least `least` pictures becomes a
    word; other pictures are "a picture". Pictures in a folder val or test are held out; without
    such folders every tenth is.

    Raises:
        OptionError: no such folder, or no label of enough pictures.
        ImageError: a picture that cannot be read.
    """
    named = sorted(_files(folder))
    held = [Path(name).parts[0] in HELD_FOLDERS for name, _ in named]
    if not any(held):
        held = [place % EVERY == EVERY - 1 for place in range(len(named))]
    counts = Counter(
        label for (_, label), kept in zip(named, held, strict=True) if label and not kept
    )
    labels = tuple(sorted(label for label, count in counts.items() if count >= recipe.least))
    if not labels:
        raise OptionError(
            f"{folder}: {len(named)} pictures, but no label of at least {recipe.least}; a folder "
            f"for each label, or {INDEX} with the columns file and label, tells them "
            "(--set least=...)"
        )
    pictures, places, kept_out = [], [], []
    for number, ((name, label), kept) in enumerate(zip(named, held, strict=True)):
        x = to_rgb(folder / name)
        shown = list(islice(views(x, recipe, number), 1 if kept else None))
        pictures += [image.to_uint8(view) for view in shown]
        places += [labels.index(label) if label in labels else NONE] * len(shown)
        kept_out += [kept] * len(shown)
        if number % 50 == 0:
            on_step(number + 1, len(named), "reading pictures")
    held_out, words = np.array(kept_out), words_of_things(labels)
    return Labelled(np.stack(pictures), np.array(places, np.int64), held_out, words)


def views(
    picture: Float[np.ndarray, "H W 3"], recipe: LmRecipe, number: int
) -> Iterator[Float[np.ndarray, "side side 3"]]:
    """Picture `number`, then mirrored, then random crops, half of them mirrored."""
    middle = square(picture, recipe.side)
    for view in range(recipe.views):
        if view < 2:
            yield middle[:, ::-1] if view else middle
            continue
        random = np.random.default_rng((recipe.seed, number, view))
        height, width = picture.shape[:2]
        side = max(round(min(height, width) * random.uniform(recipe.crop, 1)), 1)
        top, left = random.integers(height - side + 1), random.integers(width - side + 1)
        crop = square(picture[top : top + side, left : left + side], recipe.side)
        yield crop[:, ::-1] if random.random() < 0.5 else crop


def upper_half(pictures: np.ndarray) -> np.ndarray:
    """Pictures `N H W C` with the lower half black: what a completion is shown."""
    shown = pictures.copy()
    shown[:, pictures.shape[1] // 2 :] = 0
    return shown


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """(name within the folder, label or nothing) of each picture."""
    if not folder.is_dir():
        raise OptionError(f"{folder} is no folder; --data is one of labelled pictures")
    index = folder / INDEX
    if index.is_file():
        rows = tables.read(index, ("file", "label"))
        yield from ((row["file"], _word(row["label"])) for row in rows)
        return
    for path in files_in(folder, PICTURE_SUFFIXES):
        yield str(path.relative_to(folder)), _word(path.parent.name)


def _word(label: str) -> str:
    """One word of a label: `fire_truck` of "Fire truck"."""
    return re.sub(r"\W+", "_", label.strip().lower())

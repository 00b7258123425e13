"""What the small language model reads: captions beside pictures, as sequences of token ids.

    draw      <bos> a seven picture <eos>
    name      <bos> picture a seven <eos>
    complete  as draw, but the upper rows are those of a picture whose lower half is black

A picture is `<img_start>`, its codes row by row, and `<img_end>` (`vocabulary`).
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from smalti.artist.labelled import NONE, upper_half
from smalti.files import write_atomically
from smalti.models.fsq import FsqAutoencoder
from smalti.tokens.vocabulary import ImageVocabulary
from smalti.train.precision import Precision
from smalti.train.recipes.language import LmRecipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

USUAL = 0.6  # share of the first form; the others, and it, share the rest
AT_ONCE = 500  # pictures to encode
NAME, COMPLETE = 1, 2  # kinds of example, by their place in a recipe's shares; 0 draws
IGNORED = -100  # a target of which no loss is taken


@dataclass(frozen=True)
class Codes:
    """Codes `N h w` of pictures, and of the same pictures' upper halves."""

    whole: np.ndarray
    cut: np.ndarray


def cached_codes(
    image_tokenizer: FsqAutoencoder,
    pictures: np.ndarray,
    path: Path,
    on_step: Callable[[int, int, str], None],
) -> Codes:
    """Codes of `N H W C` uint8: of the file, if it has those of the same pictures and tokenizer."""
    made = hashlib.sha256(b"".join(p.cpu().numpy().tobytes() for p in image_tokenizer.parameters()))
    made.update(pictures.tobytes())
    if path.is_file():
        with np.load(path) as stored:
            if str(stored["made"]) == made.hexdigest():
                return Codes(stored["whole"], stored["cut"])
    codes = Codes(
        *(encoded(image_tokenizer, half, on_step) for half in (pictures, upper_half(pictures)))
    )
    buffer = io.BytesIO()
    np.savez(buffer, whole=codes.whole, cut=codes.cut, made=made.hexdigest())
    write_atomically(path, buffer.getvalue())
    return codes


@torch.no_grad()
def encoded(
    image_tokenizer: FsqAutoencoder,
    pictures: np.ndarray,
    on_step: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> np.ndarray:
    """Codes `N h w` uint16 of pictures `N H W C` uint8, grey or RGB."""
    precision, found = Precision("auto", image_tokenizer.device), []
    for first in range(0, len(pictures), AT_ONCE):
        levels = torch.from_numpy(pictures[first : first + AT_ONCE]).to(image_tokenizer.device)
        x = (levels.permute(0, 3, 1, 2).float() / 127.5 - 1).expand(-1, 3, -1, -1)
        with precision.autocast():
            codes = image_tokenizer.encode(x.contiguous(memory_format=torch.channels_last))
        found.append(codes.cpu().numpy().astype(np.uint16))
        on_step(first + len(x), len(pictures), "encoding pictures")
    return np.concatenate(found)


def picture_ids(codes: np.ndarray, vocabulary: ImageVocabulary) -> np.ndarray:
    """`ImageVocabulary.sequence` of pictures `N h w`, as `N L` int64."""
    count, height, width = codes.shape
    rows = np.full((count, height, width + 1), vocabulary.newrow)
    rows[:, :, :width] = codes.astype(np.int64) + vocabulary.text_size
    ends = [np.full((count, 1), id) for id in (vocabulary.start, vocabulary.end)]
    return np.concatenate([ends[0], rows.reshape(count, -1), ends[1]], axis=1)


@dataclass(frozen=True)
class Batch:
    """Sequences, each filled up on the right; `weights` are of the token that follows."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]  # of the next token, or IGNORED
    weights: Float[Tensor, "B T"]

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.ids.to(device), self.targets.to(device), self.weights.to(device))


class Sequences:
    """Batch number `step` as a pure function of (seed, step).

    Args:
        whole: ids of the pictures `N L`, from `<img_start>` to `<img_end>`.
        cut: the same of the pictures' upper halves.
        labels: of the pictures, `N`; those without one (NONE) are drawn and completed only.
        forms: ids of each caption, by label and form; the last row is of any picture.
        recipe: the shares of the kinds of example, and the seed.
        tokenizer: of the captions.
    """

    def __init__(
        self,
        whole: Int[np.ndarray, "N L"],
        cut: Int[np.ndarray, "N L"],
        labels: Int[np.ndarray, " N"],
        *,
        forms: list[list[list[int]]],
        recipe: LmRecipe,
        tokenizer: "PreTrainedTokenizerFast",
    ) -> None:
        self.whole, self.cut, self.labels, self.forms = whole, cut, labels, forms
        self.recipe, self.pad = recipe, tokenizer.pad_token_id
        self.bos, self.eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.length = 2 + max(len(ids) for row in forms for ids in row) + whole.shape[1]

    def __call__(self, step: int, count: int) -> Batch:
        random = np.random.default_rng((self.recipe.seed, step))
        ids = np.full((count, self.length), self.pad, np.int64)
        weights = np.zeros((count, self.length), np.float32)  # of the token in that place
        for row, picture in enumerate(random.integers(len(self.whole), size=count)):
            sequence, weight = self._example(random, int(picture))
            ids[row, : len(sequence)] = sequence
            weights[row, : len(weight)] = weight
        targets = np.where(weights[:, 1:] > 0, ids[:, 1:], IGNORED)
        return Batch(*map(torch.from_numpy, (ids[:, :-1], targets, weights[:, 1:])))

    def _example(self, random: np.random.Generator, picture: int) -> tuple[np.ndarray, np.ndarray]:
        recipe, label, whole = self.recipe, int(self.labels[picture]), self.whole[picture]
        kind = np.searchsorted(
            np.cumsum(recipe.shares), random.random() * sum(recipe.shares), "right"
        )
        if kind == NAME and label != NONE:
            words = np.array([*self.forms[label][0], self.eos])
            sequence = np.concatenate([[self.bos], whole, words])
            weights = np.ones(len(sequence))
            weights[-len(words) :] = recipe.name_weight
            return sequence, weights
        form = 0 if random.random() < USUAL else int(random.integers(len(self.forms[0])))
        told = random.random() >= recipe.any_caption
        told_by = self.forms[label][form] if told and label != NONE else self.forms[-1][0]
        sequence = np.concatenate([[self.bos], told_by, whole, [self.eos]])
        weights = np.ones(len(sequence))
        start = 1 + len(told_by)  # of the picture
        given = start + 1  # the caption, and <img_start> with it
        if kind == COMPLETE:
            given = start + 1 + (len(whole) - 2) // 2  # the upper rows too
            sequence[start:given] = np.asarray(self.cut[picture][: given - start])
        weights[:given] = 0
        return sequence, weights

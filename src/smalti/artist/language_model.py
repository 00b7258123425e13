"""A small language model that draws, completes and names pictures.

caption ─words→ ids ─LM→ ids of a picture ─vocabulary→ codes ─tokenizer→ picture, and the other way round
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor

from smalti import image
from smalti.artist.words import Words, knows, name_logits
from smalti.errors import OptionError
from smalti.extras import need
from smalti.files import BUNDLED_WEIGHTS
from smalti.models import load_shared
from smalti.models.fsq import FsqAutoencoder
from smalti.models.pictures import to_pictures, to_tensors
from smalti.tokens.vocabulary import ImageVocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUNDLED = ("digits-lm", "natural-lm")  # a caption's model is the first that knows its words
TOKENIZER = "image_tokenizer"  # in a model's config.json: bundled weights, or a file beside it
GRID = "picture_grid"  # there too: rows and columns of codes of its pictures
CHANNELS = "picture_channels"  # 1 grey, 3 RGB
WORDS = "captions"  # `Words`


@dataclass(frozen=True)
class Sampling:
    """How a picture is chosen among those that the model holds possible."""

    temperature: float = 0.9  # 0: always the likeliest code; 1: as the model believes
    guidance: float = 2.0  # how far from pictures of any caption; 1: as the model believes
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 10:
            raise OptionError(f"temperature {self.temperature}; it lies in 0 .. 10")
        if not 0 <= self.guidance <= 100:
            raise OptionError(f"guidance {self.guidance}; it lies in 0 .. 100")
        if self.seed < 0:
            raise OptionError(f"seed {self.seed}; it is at least 0")


class ImageLanguageModel:
    """A language model grafted with `ImageVocabulary`, its words and its picture tokenizer.

    Pictures are `N H W C`, of the channels and the size that the model was trained on: digits are
    grey, white on black, 32 x 32; others are RGB. What it draws is float32 in [0, 1].
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        image_tokenizer: FsqAutoencoder,
    ) -> None:
        self.model, self.tokenizer, self.image_tokenizer = model.eval(), tokenizer, image_tokenizer
        self.vocabulary = ImageVocabulary.of_model(model)
        self.rows, self.columns = getattr(model.config, GRID)
        self.channels = getattr(model.config, CHANNELS)
        self.words = Words.of_settings(getattr(model.config, WORDS))

    @classmethod
    def of_caption(cls, text: str, *, device: str = "cpu") -> Self:
        """The first bundled artist that knows every word of a caption.

        Raises:
            OptionError: none does.
        MissingExtraError: transformers is not installed.
        """
        transformers, known = _transformers(), []
        for name in BUNDLED:
            folder = folder_of(name)
            if knows(transformers.AutoTokenizer.from_pretrained(folder), text):
                return cls.from_pretrained(name, device=device)
            settings = json.loads((folder / "config.json").read_text())
            known.append(f"{name} knows {Words.of_settings(settings[WORDS]).known()}")
        raise OptionError(f"no model knows every word of {text!r}; {'; '.join(known)}")

    @classmethod
    def from_pretrained(cls, name: str | Path = BUNDLED[0], *, device: str = "cpu") -> Self:
        """A bundled artist, or one that `smalti train digits-lm` or `natural-lm` wrote.

        Raises:
            OptionError: no such folder, or a model that draws nothing.
        MissingExtraError: transformers is not installed.
        """
        folder, transformers = folder_of(name), _transformers()
        from smalti.tokens.grafting import from_pretrained

        try:
            with without_bars():
                model: Any = from_pretrained(folder, dtype=torch.float32)
                model = model.to(device)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, KeyError, SafetensorError) as cause:
            reason = str(cause).partition("\n")[0]
            raise OptionError(f"{folder} cannot be loaded: {reason}") from cause
        for key in (TOKENIZER, GRID, CHANNELS, WORDS):
            if getattr(model.config, key, None) is None:
                raise OptionError(f"{folder} names no {key} in its config.json; train it anew")
        name = getattr(model.config, TOKENIZER)
        weights = folder / name if (folder / name).is_file() else name
        return cls(model, tokenizer, load_shared(FsqAutoencoder, weights, device=device))

    @property
    def side(self) -> tuple[int, int]:
        """Height and width of its pictures, in texels."""
        return self.rows * self.image_tokenizer.factor, self.columns * self.image_tokenizer.factor

    def generate(
        self,
        text: str,
        count: int = 1,
        *,
        sampling: Sampling | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Float[np.ndarray, "count H W C"]:
        """Pictures of a caption. Picture i follows from the seed and i alone, but for rounding.

        Args:
            text: "a seven", "the digit 7", "an airplane", or `words.any` for any.
            on_step: called with (ids done, ids in all).

        Raises:
            OptionError: a word that the model does not know, or a count below 1.
        """
        if count < 1:
            raise OptionError(f"{count} pictures; at least 1")
        start = torch.full((count, 1), self.vocabulary.start)
        return self.pictures_of(self._continue(text, start, sampling or Sampling(), on_step))

    def complete(
        self,
        pictures: np.ndarray,
        text: str | None = None,
        *,
        sampling: Sampling | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Float[np.ndarray, "N H W C"]:
        """Lower halves for the upper halves of pictures; their own lower halves are not looked at.

        Args:
            text: what each whole picture shall be; None tells nothing.

        Raises:
            OptionError: as `draw`, or pictures of another size.
        """
        half = self.rows // 2
        texels = half * self.image_tokenizer.factor
        shown = np.stack([image.to_float(picture) for picture in self._checked(pictures)])
        shown[:, texels:] = 0
        ids = torch.stack([self.vocabulary.sequence(codes) for codes in self.codes_of(shown)])
        given = ids[:, : 1 + half * (self.columns + 1)]
        ids = self._continue(text or self.words.any, given, sampling or Sampling(), on_step)
        drawn = self.pictures_of(ids)
        drawn[:, :texels] = shown[:, :texels]
        return drawn

    @torch.inference_mode()
    def classify(self, pictures: np.ndarray) -> Float[np.ndarray, "N labels"]:
        """How likely each label is, as the word after `a` when the model has seen the picture.

        Raises:
            OptionError: pictures of another size.
        """
        ids = torch.stack([self.vocabulary.sequence(codes) for codes in self.codes_of(pictures)])
        return name_logits(self.model, self.tokenizer, self.words, ids).softmax(-1).cpu().numpy()

    def codes_of(self, pictures: np.ndarray) -> Int[Tensor, "N h w"]:
        """What the picture tokenizer makes of pictures.

        Raises:
            OptionError: pictures of another size.
        """
        x = to_tensors(self._checked(pictures), device=self.image_tokenizer.device).expand(
            -1, 3, -1, -1
        )
        with torch.inference_mode():
            return self.image_tokenizer.encode(x.contiguous()).cpu()

    def pictures_of(self, ids: Int[Tensor, "N L"]) -> Float[np.ndarray, "N H W C"]:
        """Pictures of sequences, each well formed, from `<img_start>` to `<img_end>`."""
        grids = [self.vocabulary.picture(row) for row in ids]
        assert not any(grid.problems for grid in grids)
        codes = torch.stack([grid.indices for grid in grids]).to(self.image_tokenizer.device)
        with torch.inference_mode():
            x_hat = self.image_tokenizer.decode(codes)
        return to_pictures(x_hat.mean(1, keepdim=True) if self.channels == 1 else x_hat)

    def _checked(self, pictures: np.ndarray) -> np.ndarray:
        expected = (*self.side, self.channels)
        if np.shape(pictures)[1:] != expected:
            raise OptionError(
                f"pictures of shape {np.shape(pictures)}; this model sees N x "
                f"{' x '.join(map(str, expected))} (height, width, channels)"
            )
        return pictures

    @torch.inference_mode()
    def _continue(
        self,
        text: str,
        given: Int[Tensor, "N l"],
        sampling: Sampling,
        on_step: Callable[[int, int], None] | None,
    ) -> Int[Tensor, "N L"]:
        """Ids of whole pictures that begin with the given ones.

        Only codes are sampled: where a row or the picture ends is known, so every picture is well
        formed. Guidance: Ho and Salimans 2022, arXiv 2207.12598, equation 6, on logits.
        """
        prompts = [text] if sampling.guidance == 1 else [text, self.words.any]
        readers = [_Reader(self.model, self._prompt(prompt), given) for prompt in prompts]
        length = self.vocabulary.length(self.rows, self.columns)
        first, codes = self.vocabulary.text_size, self.vocabulary.codes
        noise = np.stack(
            [np.random.default_rng((sampling.seed, i)).random(length) for i in range(len(given))]
        )
        ids = given
        for place in range(given.shape[1], length):
            if place == length - 1:
                new = torch.full((len(ids), 1), self.vocabulary.end)
            elif place % (self.columns + 1) == 0:
                new = torch.full((len(ids), 1), self.vocabulary.newrow)
            else:
                told, *untold = [r.logits()[:, first : first + codes] for r in readers]
                if untold:
                    told = untold[0] + sampling.guidance * (told - untold[0])
                new = first + _sample(told, sampling.temperature, noise[:, place])
            for reader in readers:
                reader.read(new)
            ids = torch.cat([ids, new], 1)
            if on_step:
                on_step(place + 1, length)
        return ids

    def _prompt(self, text: str) -> list[int]:
        return [self.tokenizer.bos_token_id, *self.words.ids(self.tokenizer, text)]


class _Reader:
    """The language model with what it has read, which it does not read again."""

    def __init__(
        self, model: "PreTrainedModel", prompt: Sequence[int], ids: Int[Tensor, "N l"]
    ) -> None:
        self.model = model
        self.cache: dict[str, Any] = {}
        self.unread = torch.cat([torch.tensor(prompt).expand(len(ids), -1), ids], 1)

    def read(self, ids: Int[Tensor, "N l"]) -> None:
        self.unread = torch.cat([self.unread, ids], 1)

    def logits(self) -> Float[Tensor, "N V"]:
        """Of the id that follows, float32."""
        result = self.model(
            input_ids=self.unread.to(self.model.device),
            use_cache=True,
            logits_to_keep=1,
            **self.cache,
        )
        name = "cache" if "cache" in result else "past_key_values"  # transformers before 5.24
        self.cache, self.unread = {name: result[name]}, self.unread[:, :0]
        return result.logits[:, -1].float().cpu()


def _sample(
    logits: Float[Tensor, "N V"], temperature: float, noise: np.ndarray
) -> Int[Tensor, "N 1"]:
    """One of each row, by the inverse of the distribution function at `noise`, 0 .. 1."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    reached = (logits / temperature).double().softmax(-1).cumsum(-1)
    place = torch.searchsorted(reached, torch.from_numpy(noise)[:, None] * reached[:, -1:])
    return place.clamp(max=logits.shape[1] - 1)


@contextmanager
def without_bars() -> Iterator[None]:
    """Files of a few megabytes, read and written by transformers without its progress bars."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def folder_of(name: str | Path) -> Path:
    """The folder of a model: a bundled one by its name, or any.

    Raises:
        OptionError: there is none.
    """
    folder = BUNDLED_WEIGHTS / name if str(name) in BUNDLED else Path(name)
    if not (folder / "config.json").is_file():
        raise OptionError(
            f"no model in {folder}; bundled: {', '.join(BUNDLED)}; smalti train digits-lm writes "
            "one to runs/digits-lm/model"
        )
    return folder


def _transformers() -> ModuleType:
    return need("transformers", extra="tokens", what="a language model that draws")

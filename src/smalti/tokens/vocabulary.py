"""The ids of pictures in a language model's vocabulary."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Int
from torch import Tensor

from smalti.errors import OptionError
from smalti.models.layers import fsq
from smalti.tokens.picture import Picture, to_pictures, to_sequence
from smalti.tokens.rows import CONTROLS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from smalti.tokens.processor import PictureProcessor

CONFIG_KEY = "image_vocabulary"  # in a grafted model's config.json


@dataclass(frozen=True)
class ImageVocabulary:
    """Ids of the codes of an FSQ tokenizer, behind the ids of a text tokenizer.

        0 .. text_size - 1 | text_size .. text_size + codes - 1 | start | end | newrow
              text         |          <img_0> <img_1> ...       | <img_start> <img_end> <img_newrow>

    A picture of h x w codes is h * (w + 1) + 2 ids: <img_start>, the rows, each ended by
    <img_newrow>, and <img_end>.
    """

    levels: tuple[int, ...]  # of the FSQ tokenizer, `FsqConfig.levels`
    text_size: int  # ids of the text tokenizer
    form: str = "mlp"  # of the codes' embeddings: mlp, rows (`smalti.tokens.rows`)
    features: int = 64  # of the form mlp

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(int(count) for count in self.levels))
        if not self.levels or min(self.levels) < 2:
            raise OptionError(f"levels {self.levels}; an FSQ tokenizer has at least 2 each")
        if self.text_size < 0:
            raise OptionError(f"text_size {self.text_size}; at least 0, for codes without a text")
        if self.features < 1:
            raise OptionError(f"features {self.features}; at least 1")

    @classmethod
    def of(
        cls,
        tokenizer: "PreTrainedTokenizerBase",
        levels: tuple[int, ...],
        *,
        form: str = "mlp",
        features: int = 64,
    ) -> Self:
        """The vocabulary behind that of a Hugging Face tokenizer, extended already or not."""
        start = tokenizer.get_vocab().get("<img_0>")
        return cls(tuple(levels), len(tokenizer) if start is None else start, form, features)

    @classmethod
    def of_model(cls, model: "PreTrainedModel") -> Self:
        """The vocabulary of a grafted model.

        Raises:
            OptionError: the model has none.
        """
        found = getattr(model.config, CONFIG_KEY, None)
        if found is None:
            raise OptionError(f"{type(model).__name__} has no image vocabulary; graft one first")
        return cls.of_settings(found)

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> Self:
        """The vocabulary that a model's config.json describes."""
        names = ("text_size", "form", "features")
        return cls(tuple(settings["levels"]), **{name: settings[name] for name in names})

    @property
    def codes(self) -> int:
        """Size of the codebook."""
        return fsq.codebook_size(self.levels)

    @property
    def size(self) -> int:
        """Ids that pictures add to the text's."""
        return self.codes + CONTROLS

    @property
    def total(self) -> int:
        """Ids of text and pictures."""
        return self.text_size + self.size

    @property
    def start(self) -> int:
        return self.text_size + self.codes

    @property
    def end(self) -> int:
        return self.text_size + self.codes + 1

    @property
    def newrow(self) -> int:
        return self.text_size + self.codes + 2

    def length(self, rows: int, columns: int) -> int:
        """Ids of a picture of rows x columns codes."""
        return rows * (columns + 1) + 2

    def names(self) -> list[str]:
        """How the tokenizer writes the ids text_size .. total - 1."""
        codes = [f"<img_{code}>" for code in range(self.codes)]
        return [*codes, "<img_start>", "<img_end>", "<img_newrow>"]

    def extend(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        """Add the ids to a tokenizer, as special tokens that are never split; once is enough.

        Raises:
            OptionError: the tokenizer's size is not `text_size`, or it has some of the names.
        """
        from tokenizers import AddedToken

        names = self.names()
        ends = [self.text_size, self.total - 1]
        if tokenizer.convert_tokens_to_ids([names[0], names[-1]]) == ends:
            return
        if len(tokenizer) != self.text_size:
            raise OptionError(
                f"the tokenizer has {len(tokenizer)} ids, the vocabulary counts {self.text_size} "
                "of text; ImageVocabulary.of(tokenizer, levels) counts anew"
            )
        if taken := {*names} & tokenizer.get_vocab().keys():
            raise OptionError(f"the tokenizer has a token {min(taken)} of its own already")
        added = [AddedToken(name, normalized=False, special=True) for name in names]
        tokenizer.add_tokens(added, special_tokens=True)
        if tokenizer.convert_tokens_to_ids([names[0], names[-1]]) != ends:
            raise OptionError(
                f"the tokenizer's ids have gaps: its {self.text_size + 1}th got the id "
                f"{tokenizer.convert_tokens_to_ids(names[0])}"
            )

    def sequence(self, indices: Int[Tensor, "h w"]) -> Int[Tensor, " h*(w+1)+2"]:
        """Ids of a picture's codes.

        Raises:
            OptionError: no h x w integers, or a code outside the codebook.

        Examples:
            >>> import torch
            >>> from smalti.tokens import ImageVocabulary
            >>> vocabulary = ImageVocabulary(levels=(4, 3), text_size=100)
            >>> ids = vocabulary.sequence(torch.tensor([[0, 1, 2], [3, 4, 11]]))
            >>> ids.tolist()
            [112, 100, 101, 102, 114, 103, 104, 111, 114, 113]
            >>> vocabulary.text(ids[:3])
            '<img_start><img_0><img_1>'
        """
        return to_sequence(self, indices)

    def text(self, ids: "Tensor | list[int]") -> str:
        """Image ids as the tokenizer writes them, for prompts and chat templates.

        Raises:
            OptionError: an id that is not of a picture.
        """
        names = self.names()
        numbers = torch.as_tensor(ids).flatten().tolist()
        for number in numbers:
            if not self.text_size <= number < self.total:
                raise OptionError(
                    f"id {number}; pictures have {self.text_size} .. {self.total - 1}"
                )
        return "".join(names[number - self.text_size] for number in numbers)

    def picture(
        self,
        ids: "Tensor | list[int]",
        *,
        rows: int | None = None,
        columns: int | None = None,
    ) -> Picture:
        """The first picture of a sequence, repaired where it is malformed.

        It begins after <img_start> (or, without any, at the first code) and ends before <img_end>,
        the next <img_start>, or the end. Other ids in it and empty rows are left out. All rows get
        the length `columns`, or the most frequent one: a row of twice the length or more is
        split, what is then too long is cut, and a short row is filled from the row above (the
        first with its own last code). With `rows`, the last row is repeated or rows are cut.

        Returns:
            indices: 0 x 0 where there is no code.
            problems: a sentence for each repair; none for a well-formed picture.

        Examples:
            >>> from smalti.tokens import ImageVocabulary
            >>> vocabulary = ImageVocabulary(levels=(4, 3), text_size=100)
            >>> found = vocabulary.picture([112, 100, 101, 114, 103, 114, 113])
            >>> found.indices.tolist(), found.problems
            ([[0, 1], [3, 1]], ('row 1 has 1 codes instead of 2',))
        """
        found = self.pictures(ids, rows=rows, columns=columns)
        none = Picture(torch.zeros(0, 0, dtype=torch.int64), ("no picture",))
        return found[0] if found else none

    def pictures(
        self,
        ids: "Tensor | list[int]",
        *,
        rows: int | None = None,
        columns: int | None = None,
    ) -> list[Picture]:
        """Every picture of a sequence, repaired as by `picture`."""
        return to_pictures(self, ids, rows=rows, columns=columns)

    def processor(
        self, rows: int, columns: int, *, must_start: bool = True, stop: int | None = None
    ) -> "PictureProcessor":
        """For `generate(logits_processor=[...])`: only a well-formed picture of this size.

            model.generate(**prompt, logits_processor=[vocabulary.processor(12, 12)],
                           eos_token_id=vocabulary.end, max_new_tokens=vocabulary.length(12, 12))

        Args:
            rows, columns: of the picture, in codes.
            must_start: begin a picture at once; False leaves the text free until the model
                itself writes <img_start>.
            stop: the id that follows <img_end>, for instance the tokenizer's eos_token_id;
                <img_end> itself by default.
        """
        from smalti.tokens.processor import PictureProcessor

        if rows < 1 or columns < 1:
            raise OptionError(f"{rows} x {columns} codes; a picture has at least 1 x 1")
        return PictureProcessor(self, rows, columns, must_start, self.end if stop is None else stop)

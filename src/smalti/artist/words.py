"""The words of captions: a tokenizer of whole words, since there are some thirty of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from smalti.errors import OptionError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"}
TOLD = 12  # captions that an error names


@dataclass(frozen=True)
class Words:
    """What captions call the labels of a set of pictures."""

    labels: tuple[str, ...]  # a word each: "seven", "airplane"
    forms: tuple[str, ...]  # with {word} or {number}, the label's place; a name is of the first
    any: str  # the caption that does not tell the label

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> Self:
        """The words that a model's config.json describes."""
        return cls(tuple(settings["labels"]), tuple(settings["forms"]), settings["any"])

    def caption(self, label: int, form: int = 0) -> str:
        """`a seven` of 7, `an eight` of 8."""
        text = self.forms[form].format(word=self.labels[label], number=label)
        words = [word for word in text.split(" ") if word]
        pairs = zip(words, [*words[1:], ""], strict=True)
        return " ".join(
            "an" if word == "a" and _is_spoken(after) else word for word, after in pairs
        )

    def captions(self) -> list[list[str]]:
        """By label and form; the last row is of the caption that does not tell the label."""
        forms, labels = range(len(self.forms)), range(len(self.labels))
        return [*([self.caption(label, form) for form in forms] for label in labels), [self.any]]

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """Of Hugging Face, of the captions' words, without regard to case.

        `an` is read as `a`, so that an article does not tell the label that follows.
        """
        from tokenizers import Regex, Tokenizer
        from tokenizers.models import WordLevel
        from tokenizers.normalizers import Lowercase, Replace, Sequence
        from tokenizers.pre_tokenizers import Whitespace
        from transformers import PreTrainedTokenizerFast

        labels, forms = range(len(self.labels)), range(len(self.forms))
        captions = [self.any, *(self.caption(n, form) for form in forms for n in labels)]
        found = [word for word in " ".join(captions).split() if word != "an"]
        words = dict.fromkeys([*SPECIAL.values(), *found])
        ids = {word: place for place, word in enumerate(words)}
        plain = Tokenizer(WordLevel(ids, unk_token=SPECIAL["unk_token"]))
        plain.normalizer = Sequence([Lowercase(), Replace(Regex(r"\ban\b"), "a")])
        plain.pre_tokenizer = Whitespace()
        return PreTrainedTokenizerFast(tokenizer_object=plain, **SPECIAL)

    def ids(self, tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
        """Ids of a caption's words.

        Raises:
            OptionError: an empty caption, or a word that the model has never read.
        """
        if not knows(tokenizer, text):
            raise OptionError(
                f"the model does not know every word of {text!r}; it knows {self.known()}"
            )
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def known(self) -> str:
        """What may be asked for, in a sentence."""
        told = [self.caption(label) for label in range(min(len(self.labels), TOLD))]
        more = len(self.labels) - len(told)
        rest = f" and {more} more" if more else ""
        return f"{', '.join(told)}{rest}, and {self.any} for any"


DIGITS = Words(
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("a {word}", "{word}", "{number}", "a {number}", "the digit {word}", "a handwritten {word}"),
    "a digit",
)


def words_of_things(labels: tuple[str, ...]) -> Words:
    """Captions of pictures of anything that has a word."""
    return Words(
        labels, ("a {word}", "{word}", "a picture of a {word}", "a photo of a {word}"), "a picture"
    )


def knows(tokenizer: "PreTrainedTokenizerBase", text: str) -> bool:
    """Whether a model has read every word of a caption."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return bool(ids) and tokenizer.unk_token_id not in ids


def name_logits(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    words: Words,
    pictures: Int[Tensor, "N L"],
) -> Float[Tensor, "N labels"]:
    """Of each label's word, after the ids of a picture and the caption's words before it."""
    ids = [words.ids(tokenizer, words.caption(label)) for label in range(len(words.labels))]
    before, last = ids[0][:-1], [caption[-1] for caption in ids]
    ends = [
        torch.tensor(part).expand(len(pictures), -1) for part in ([tokenizer.bos_token_id], before)
    ]
    sequences = torch.cat([ends[0], pictures, ends[1]], dim=1)
    logits = model(input_ids=sequences.to(model.device), logits_to_keep=1).logits
    return logits[:, -1, last].float()


def _is_spoken(word: str) -> bool:
    """Whether a word begins with a vowel, by its letters (8: "eight")."""
    return word[:1] in tuple("aeiou8")

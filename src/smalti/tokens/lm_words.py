"""The words of captions: a tokenizer of whole words, since there are some thirty of them."""

from typing import TYPE_CHECKING

from smalti.errors import OptionError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FORMS = ("a {word}", "{word}", "{number}", "a {number}", "the digit {word}", "a handwritten {word}")
ANY = "a digit"  # the caption that does not tell the label
SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"}


def caption(label: int, form: str = FORMS[0]) -> str:
    """`a seven` of 7."""
    return form.format(word=DIGITS[label], number=label)


def word_tokenizer() -> "PreTrainedTokenizerFast":
    """A Hugging Face tokenizer of the captions' words, without regard to case."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    captions = [ANY, *(caption(label, form) for form in FORMS for label in range(len(DIGITS)))]
    words = dict.fromkeys([*SPECIAL.values(), *" ".join(captions).split()])
    ids = {word: place for place, word in enumerate(words)}
    plain = Tokenizer(WordLevel(ids, unk_token=SPECIAL["unk_token"]))
    plain.normalizer = Lowercase()
    plain.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=plain, **SPECIAL)


def caption_ids(tokenizer: "PreTrainedTokenizerFast", text: str) -> list[int]:
    """Ids of a caption's words.

    Raises:
        OptionError: an empty caption, or a word that the model has never read.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if not ids or tokenizer.unk_token_id in ids:
        examples = "a seven, the digit 3, a handwritten two, a digit"
        raise OptionError(f"the model does not know every word of {text!r}; it knows {examples}")
    return ids

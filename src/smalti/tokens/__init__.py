"""Pictures for language models: ids, sequences, and the rows that a model gets for them."""

from importlib import import_module
from typing import TYPE_CHECKING

from smalti.extras import need, need_torch

need_torch(what="a picture as tokens")

from smalti.tokens.picture import Picture  # noqa: E402
from smalti.tokens.vocabulary import ImageVocabulary  # noqa: E402

__all__ = ["ImageVocabulary", "Picture", "flatten", "from_pretrained", "graft"]

if TYPE_CHECKING:
    from smalti.tokens.grafting import flatten, from_pretrained, graft


def __getattr__(name: str) -> object:
    """What imports transformers, on first use."""
    if name in ("flatten", "from_pretrained", "graft"):
        need("transformers", extra="tokens", what="a language model of pictures")
        return getattr(import_module("smalti.tokens.grafting"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

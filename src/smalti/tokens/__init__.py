"""Pictures for language models: ids, sequences, and the rows that a model gets for them."""

from smalti.extras import need, need_torch

need_torch(what="a picture as tokens")

from smalti.tokens.picture import Picture  # noqa: E402
from smalti.tokens.vocabulary import ImageVocabulary  # noqa: E402

__all__ = ["ImageVocabulary", "Picture", "from_pretrained"]


def __getattr__(name: str) -> object:
    """`from_pretrained` on first use: it imports transformers."""
    if name == "from_pretrained":
        need("transformers", extra="tokens", what="a language model of pictures")
        from smalti.tokens.graft import from_pretrained

        return from_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

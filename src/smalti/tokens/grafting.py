"""Surgery on a Hugging Face causal language model: its text weights stay, pictures come beside."""

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.tokens.rows import ImageRows, make_rows
from smalti.tokens.vocabulary import CONFIG_KEY, ImageVocabulary

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

PREFIX = "Grafted"
OF_PLACE = (  # options of `from_pretrained` that say where files come from: of the config's too
    *("subfolder", "revision", "token", "cache_dir", "local_files_only", "force_download"),
    *("proxies", "trust_remote_code"),
)
FLAT = "flat"  # the form of a model whose rows are written out


def graft(
    vocabulary: ImageVocabulary,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase | None" = None,
) -> "PreTrainedModel":
    """Give a causal language model rows and logits for pictures, in place.

    The model's text weights stay as they are, its logits of text ids too, to the last bit. It
    becomes of a class of its own, `Grafted...`, that `save_pretrained` as usual and
    `smalti.tokens.from_pretrained` write and read.

    Args:
        model: of transformers, on one device; with tied or untied embeddings.
        tokenizer: extended too, unless it is already.

    Returns:
        the same model.

    Raises:
        OptionError: fewer rows than `text_size`, grafted already, or no causal language model.
    """
    if tokenizer is not None:
        vocabulary.extend(tokenizer)
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    name = type(model).__name__
    if getattr(model.config, CONFIG_KEY, None) is not None:
        raise OptionError(f"{name} has an image vocabulary already")
    if not isinstance(embedding, nn.Embedding) or getattr(head, "weight", None) is None:
        raise OptionError(f"{name} is no causal language model: no token embeddings or no head")
    text_rows, width = embedding.weight.shape
    if head.weight.shape != embedding.weight.shape:
        raise OptionError(
            f"{name} has embeddings {tuple(embedding.weight.shape)} and a head "
            f"{tuple(head.weight.shape)}; pictures need both of one shape"
        )
    if text_rows < vocabulary.text_size:
        raise OptionError(
            f"{name} has {text_rows} rows for {vocabulary.text_size} ids of text; "
            "model.resize_token_embeddings(len(tokenizer)) first"
        )
    if vocabulary.text_size < 2:
        raise OptionError(f"text_size {vocabulary.text_size}; a model with text has 2 ids or more")
    rows = make_rows(vocabulary.form, vocabulary.levels, width, vocabulary.features)
    rows.to(head.weight.device).reset(head.weight[: vocabulary.text_size].detach())
    model.__class__ = grafted_class(type(model))
    settings = {
        "levels": [*vocabulary.levels],
        "text_size": vocabulary.text_size,
        "text_rows": text_rows,  # some models have more than their tokenizer
        "form": vocabulary.form,
        "features": vocabulary.features,
    }
    setattr(model.config, CONFIG_KEY, settings)
    _attach(model, vocabulary, rows.to(head.weight.dtype))
    return model


def from_pretrained(folder: str | Path, **arguments: Any) -> "PreTrainedModel":
    """Load a model that a grafted model's `save_pretrained` wrote.

    Args:
        folder: or a repository of the Hugging Face hub.
        arguments: as of transformers' `from_pretrained`: dtype, attn_implementation, ...

    Raises:
        OptionError: a model without image vocabulary, or of an architecture that transformers does
            not have.
    """
    where = {name: value for name, value in arguments.items() if name in OF_PLACE}
    config = transformers.AutoConfig.from_pretrained(folder, **where)
    settings = getattr(config, CONFIG_KEY, None)
    if settings is None:
        raise OptionError(f"{folder} has no image vocabulary; smalti.tokens.graft gives it one")
    if settings["form"] == FLAT:
        return transformers.AutoModelForCausalLM.from_pretrained(folder, **arguments)
    name = (config.architectures or ["none"])[0].removeprefix(PREFIX)
    if not hasattr(transformers, name):
        raise OptionError(f"{folder} is a {name}, which transformers does not have")
    return grafted_class(getattr(transformers, name)).from_pretrained(folder, **arguments)


def flatten(vocabulary: ImageVocabulary, model: "PreTrainedModel") -> "PreTrainedModel":
    """Write the rows of a grafted model out, in place: an ordinary model for other programs.

    Same logits up to rounding; `AutoModelForCausalLM` and whatever reads its architecture load it.
    For `size` rows of the model's width (twice if its embeddings are untied).
    """
    if not isinstance(model, GraftedModel):
        raise OptionError(f"{type(model).__name__} is not grafted, or flat already")
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is embedding.weight
    with torch.no_grad():
        table = embedding.images.table()
        for module in (embedding, head):
            text = module.weight[: vocabulary.text_size]
            module.weight = nn.Parameter(torch.cat([text, table.to(text)]), text.requires_grad)
        if tied:
            head.weight = embedding.weight
        if getattr(head, "bias", None) is not None:
            bias = head.bias[: vocabulary.text_size]
            head.bias = nn.Parameter(torch.cat([bias, bias.new_zeros(vocabulary.size)]))
    del embedding.images, head.images
    for module in (embedding, head, model):
        module.__class__ = module.plain
    getattr(model.config, CONFIG_KEY)["form"] = FLAT
    return model


class GraftedEmbedding(nn.Module):
    """A text embedding, with all it does and its own weight, and image rows behind it."""

    images: ImageRows

    def forward(self, input: Int[Tensor, "..."]) -> Float[Tensor, "... width"]:
        is_text = input < self.text_size
        text = super().forward(torch.where(is_text, input, 0))
        codes = self.images(torch.where(is_text, 0, input - self.text_size))
        codes = codes * getattr(self, "embed_scale", 1.0)  # Gemma's embedding multiplies by it
        return torch.where(is_text.unsqueeze(-1), text, codes.to(text.dtype))


class GraftedHead(nn.Module):
    """A text head, with all it does and its own weight, and the image rows' logits behind it."""

    images: tuple[ImageRows]  # the embedding's; in a tuple, so as not to be registered twice

    def forward(self, input: Float[Tensor, "... width"]) -> Float[Tensor, "... total"]:
        text = super().forward(input)[..., : self.text_size]
        return torch.cat([text, self.images[0].logits(input).to(text.dtype)], dim=-1)


class GraftedModel(nn.Module):
    """A causal language model that builds itself with image rows, so that it can be reloaded."""

    def __init__(self, config: "PretrainedConfig", *arguments: Any, **named: Any) -> None:
        settings, total = getattr(config, CONFIG_KEY), config.vocab_size
        config.vocab_size = settings["text_rows"]
        super().__init__(config, *arguments, **named)
        vocabulary = ImageVocabulary.of_settings(settings)
        width = self.get_input_embeddings().embedding_dim
        rows = make_rows(vocabulary.form, vocabulary.levels, width, vocabulary.features)
        _attach(self, vocabulary, rows.to(self.get_input_embeddings().weight.dtype))
        assert self.config.vocab_size == total

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, *_: Any, **options: Any
    ) -> nn.Embedding:
        """The image rows come last: text cannot grow behind them.

        Raises:
            OptionError: another size than the present one.
        """
        multiple = options.get("pad_to_multiple_of")
        padded = multiple and (new_num_tokens or self.config.vocab_size) % multiple
        if new_num_tokens not in (None, self.config.vocab_size) or padded:
            raise OptionError(
                f"{new_num_tokens} ids for a grafted model of {self.config.vocab_size}; "
                "add text tokens and resize before grafting"
            )
        return self.get_input_embeddings()


def _attach(model: "PreTrainedModel", vocabulary: ImageVocabulary, rows: ImageRows) -> None:
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    embedding.__class__ = _grafted(GraftedEmbedding, type(embedding))
    head.__class__ = _grafted(GraftedHead, type(head))
    embedding.text_size = head.text_size = vocabulary.text_size
    embedding.images, head.images = rows, (rows,)
    embedding.num_embeddings = head.out_features = vocabulary.total
    model.config.vocab_size = vocabulary.total
    for part in (model, model.base_model):
        if hasattr(part, "vocab_size"):
            part.vocab_size = vocabulary.total


@lru_cache
def grafted_class(plain: type) -> type:
    """`GraftedLlamaForCausalLM` of `LlamaForCausalLM`."""
    return _grafted(GraftedModel, plain)


@lru_cache
def _grafted(mixin: type, plain: type) -> type:
    def reduced(self: nn.Module) -> tuple[Any, ...]:
        """For pickle and deepcopy: a class made here is found by what it was made of."""
        return _unfilled, (mixin, plain), self.__dict__

    content = {"plain": plain, "__doc__": mixin.__doc__, "__reduce__": reduced}
    if mixin is GraftedModel:
        content["forward"] = _tied(plain.forward)
    return type(PREFIX + plain.__name__, (mixin, plain), content)


def _tied(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A model's forward, after its head has been told which rows the embedding uses now.

    Whoever trains a copy of them (PEFT's `modules_to_save`) puts it in the embedding's place.
    """

    @wraps(forward)
    def tied(self: "PreTrainedModel", *arguments: Any, **named: Any) -> Any:
        rows = self.get_input_embeddings().images
        for part in self.get_output_embeddings().modules():
            if isinstance(part, GraftedHead) and part.images[0] is not rows:
                part.images = (rows,)
        return forward(self, *arguments, **named)

    return tied


def _unfilled(mixin: type, plain: type) -> nn.Module:
    cls = _grafted(mixin, plain)
    return cls.__new__(cls)

"""Which architectures there are, and where: imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smalti.errors import OptionError

if TYPE_CHECKING:
    import torch

    from smalti.models.base import Model

# Class name, as a weights file's metadata has it -> where it lives.
MODELS: dict[str, str] = {
    "Diffuser": "smalti.models.diffuser",
    "FsqAutoencoder": "smalti.models.fsq",
    "LegacyDiffuser": "smalti.models.legacy.r2",
    "LegacyLabelEncoder": "smalti.models.legacy.r2",
    "LegacyResampler": "smalti.models.legacy.r2",
    "PatchAutoencoder": "smalti.models.patch.model",
    "Resampler": "smalti.models.resampler",
    "RgbaAutoencoder": "smalti.models.rgba",
    "StackedPatchAutoencoder": "smalti.models.patch.stages",
}

# Those of one encoder and one decoder, whose latents stand for cells of texels.
AUTOENCODERS = ("FsqAutoencoder", "PatchAutoencoder", "RgbaAutoencoder", "StackedPatchAutoencoder")


# Class name -> the same function of pictures and latents for inference, in less time.
FAST: dict[str, str] = {
    "LegacyDiffuser": "smalti.models.legacy.fast_diffuser:FastLegacyDiffuser",
    "LegacyResampler": "smalti.models.legacy.fast_resampler:FastLegacyResampler",
    "PatchAutoencoder": "smalti.models.patch.fast:FastPatchAutoencoder",
}


def check_autoencoder(model: "Model", purpose: str) -> None:
    """Refuse models without an encoder and a decoder of cells.

    Raises:
        OptionError: the model is not one of AUTOENCODERS.
    """
    if type(model).__name__ not in AUTOENCODERS:
        raise OptionError(
            f"{purpose} takes models of {', '.join(AUTOENCODERS)}, not of {type(model).__name__}"
        )


def class_of(kind: str) -> type["Model"]:
    """The class of this name, one of `MODELS`."""
    return getattr(import_module(MODELS[kind]), kind)


def fast(model: "Model", *, dtype: "torch.dtype | None" = None) -> Any:
    """The same function for inference, in less time and memory. The model stays as it is.

    Args:
        dtype: of the copied weights and the arithmetic, None for the model's.

    Raises:
        OptionError: there is no such form of this model.
    """
    kind = type(model).__name__
    if kind not in FAST:
        raise OptionError(f"a {kind} has no fast form; models that have one: {', '.join(FAST)}")
    module, _, name = FAST[kind].partition(":")
    return getattr(import_module(module), name)(model, dtype=dtype)

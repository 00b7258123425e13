"""Trained models: ordinary `nn.Module`s that know nothing of codecs and .smt files."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from smalti import weights
from smalti.errors import OptionError, WeightsError
from smalti.extras import need_torch

if TYPE_CHECKING:
    from smalti.models.base import Model

need_torch(what="a trained model")

M = TypeVar("M", bound="Model")

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


def check_autoencoder(model: "Model", purpose: str) -> None:
    """Refuse models without an encoder and a decoder of cells.

    Raises:
        OptionError: the model is not one of AUTOENCODERS.
    """
    if type(model).__name__ not in AUTOENCODERS:
        raise OptionError(
            f"{purpose} takes models of {', '.join(AUTOENCODERS)}, not of {type(model).__name__}"
        )


def load(name: str | Path, *, device: str = "cpu") -> "Model":
    """The model that a set of weights belongs to, in float32 and evaluation mode.

    Args:
        name: a bundled set of weights, a .safetensors or .pt file, a folder that
            `save_pretrained` wrote, or a repository or file of the Hugging Face hub ("owner/name",
            "hf:owner/name/file"). The originals' checkpoints are recognised from their keys.

    Raises:
        WeightsError: no such weights, or weights of no model of ours.
    """
    path = weights.find(name)
    metadata, tensors = weights.read(path)
    kind = metadata["model"]
    if kind not in MODELS:
        from smalti.models import base, originals

        tensors = originals.unwrapped(tensors)
        original = [kind for kind in MODELS if originals.is_original(class_of(kind), tensors)]
        if not original:
            raise WeightsError(base.undescribed(path, kind, tensors))
        kind = original[0]
    return class_of(kind).from_pretrained(path, device=device)


def class_of(kind: str) -> type["Model"]:
    """The class of this name, one of `MODELS`."""
    return getattr(import_module(MODELS[kind]), kind)


def load_shared(cls: type[M], name: str | Path, *, device: str = "cpu") -> M:
    """`cls.from_pretrained`, once for each file and device, without gradients.

    Codecs share this one copy and must not change it.

    Raises:
        WeightsError: no such weights, or weights of another model than `cls`.
    """
    path = weights.find(name)
    return _load_shared(cls, path, path.stat().st_mtime_ns, device)


@lru_cache(maxsize=8)
def _load_shared(cls: type[M], path: Path, _modified: int, device: str) -> M:
    return cls.from_pretrained(path, device=device).requires_grad_(False)

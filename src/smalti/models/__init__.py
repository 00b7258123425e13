"""Trained models: ordinary `nn.Module`s that know nothing of codecs and .smt files."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from smalti import weights
from smalti.errors import WeightsError
from smalti.extras import need_torch
from smalti.models.architectures import (
    AUTOENCODERS,
    FAST,
    MODELS,
    check_autoencoder,
    class_of,
    fast,
)

if TYPE_CHECKING:
    from smalti.models.base import Model

need_torch(what="a trained model")

__all__ = [
    "AUTOENCODERS",
    "FAST",
    "MODELS",
    "check_autoencoder",
    "class_of",
    "fast",
    "load",
    "load_shared",
]

M = TypeVar("M", bound="Model")


def load(name: str | Path, *, device: str = "cpu") -> "Model":
    """The model that a set of weights belongs to: float32, evaluation mode, without gradients.

    `model.requires_grad_(True).train()` makes it one to train.

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
    return class_of(kind).from_pretrained(path, device=device).requires_grad_(False)


def load_shared(cls: type[M], name: str | Path, *, device: str = "cpu") -> M:
    """`cls.from_pretrained`, once for each file and device, without gradients.

    Codecs share this one copy and must not change it.

    Raises:
        WeightsError: no such weights, or weights of another model than `cls`.
    """
    path = weights.find(name)
    modified = path.stat().st_mtime_ns
    return _load_shared(cls, path, modified, device)  # type: ignore[arg-type]  # a class is hashable, whatever its instances are


@lru_cache(maxsize=8)
def _load_shared(cls: type[M], path: Path, _modified: int, device: str) -> M:
    return cls.from_pretrained(path, device=device).requires_grad_(False)

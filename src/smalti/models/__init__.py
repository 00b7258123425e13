"""Trained models: ordinary `nn.Module`s that know nothing of codecs and .smt files."""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from smalti import weights
from smalti.errors import WeightsError

if TYPE_CHECKING:
    from smalti.models.base import Model

M = TypeVar("M", bound="Model")

# Class name, as a weights file's metadata has it -> where it lives.
MODELS: dict[str, str] = {
    "FsqAutoencoder": "smalti.models.fsq",
    "PatchAutoencoder": "smalti.models.patch",
    "RgbaAutoencoder": "smalti.models.rgba",
}


def load(name: str | Path, *, device: str = "cpu") -> "Model":
    """The model that a set of weights belongs to, in float32 and evaluation mode.

    Args:
        name: a bundled set of weights, a .safetensors file, a folder that `save_pretrained` wrote,
            or a repository of the Hugging Face hub ("owner/name").

    Raises:
        WeightsError: no such weights, or weights of no model of ours.
    """
    path = weights.find(name)
    kind = weights.read(path)[0].get("model")
    if kind not in MODELS:
        raise WeightsError(f"{path.name} holds weights of {kind}; known: {', '.join(MODELS)}")
    return getattr(import_module(MODELS[kind]), kind).from_pretrained(path, device=device)


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

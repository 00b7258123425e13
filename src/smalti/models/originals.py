"""Checkpoints of the models that ours re-implement: no metadata, recognised from their keys.

A state dict is an original's if its keys and shapes are those of our model with its default
config. StupidAE (Muinez/StupidAE, smol_f8c16.pt) and Parallax Vision Boxes-RGBA
(Parallax-labs-1/parallax_VISION-boxes-RGBA, model.pt) are so as they come, because our models keep
their names. R2IR, R2ID and its label encoder (Yegor-men/resolution-invariant-image-diffuser) are
so once `Model.from_original` has renamed them. The names inside QKVAE-1m's file
(Glint-Research/QKVAE-1m, model.safetensors) are not published with its layers;
`FsqAutoencoder` says in which order its layers stand.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from smalti.models.base import Model

WRAPPERS = ("module.", "_orig_mod.")  # put before every key by DataParallel and torch.compile


def unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the keys that they had before torch wrapped the model."""
    for prefix in WRAPPERS:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def is_original(cls: type["Model"], tensors: dict[str, Tensor]) -> bool:
    """Whether these are the keys and shapes of the model with its default config."""
    tensors = cls.from_original(tensors)
    return {key: tuple(value.shape) for key, value in tensors.items()} == shapes(cls)  # type: ignore[arg-type]  # a class is hashable, whatever its instances are


def renamed(tensors: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The tensors under keys whose dotted parts are replaced, longest names first.

    Args:
        names: part of a key, of one or several names -> ours; "" for a tensor that we do not keep.
    """
    found = {}
    for key, value in tensors.items():
        ours = f".{key}."
        for name in sorted(names, key=len, reverse=True):
            if f".{name}." in ours:
                ours = ours.replace(f".{name}.", f".{names[name]}." if names[name] else "")
        if ours:
            found[ours.strip(".")] = value
    return found


@lru_cache(maxsize=8)
def shapes(cls: type["Model"]) -> dict[str, tuple[int, ...]]:
    """Key -> shape of the default model, without making its weights."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in cls().state_dict().items()}

"""What people hand over as a picture -> `H W C`, or one sentence on why it is none.

    array, Pillow image, torch tensor, path, file ─as_picture→ H W C uint8, uint16 or float32

Pillow and torch are recognised by what is imported already: an object of theirs cannot be here
without them.
"""

import os
import sys
from typing import Any, cast

import numpy as np

from smalti.errors import ImageError
from smalti.files import MAX_PIXELS
from smalti.image.opening import load, load_picture
from smalti.image.samples import DEPTHS, to_float
from smalti.image.transfer import srgb_to_linear

CHANNELS = (1, 2, 3, 4)  # grey, grey and alpha, RGB, RGBA
ROUNDING = 1e-5  # so far beyond [0, 1] a float is an error of arithmetic, and no other range
_EXPECTED = "a picture is H W C or H W, with 1 to 4 channels"


def as_picture(picture: Any, *, clip: bool = False, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The picture as `H W C`, contiguous: sRGB-encoded, straight alpha.

    Args:
        picture: a NumPy array `H W C` or `H W`, uint8, uint16, or float in [0, 1]; a path, a file
            object or the bytes of a file; a Pillow image, in whatever mode, its pixels as they lie;
            a torch tensor `C H W` or `H W` on the CPU, uint8, uint16, or float in [0, 1].
        clip: floats outside [0, 1] are clipped instead of refused.
        max_pixels: of a file, see `smalti.load`.

    Returns:
        uint8, uint16 or float32; the same memory where that is possible.

    Raises:
        ImageError: no picture; the sentence says what was given.
    """
    if isinstance(picture, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(
        picture, "read"
    ):
        return load_picture(cast(Any, picture), max_pixels=max_pixels)
    if isinstance(picture, np.ndarray):
        array = _channels_last(np.asarray(picture))
    elif _is(picture, "PIL.Image", "Image"):
        from smalti.image.reading import of_pillow

        array = of_pillow(picture)
    elif _is(picture, "torch", "Tensor"):
        array = _of_tensor(picture)
    elif isinstance(picture, list | tuple):
        raise ImageError(
            f"{_EXPECTED}; this is a {type(picture).__name__} of {len(picture)}: hand its pictures "
            "over one by one, in a loop"
        )
    else:
        raise ImageError(
            "a picture is a NumPy array, a path, a Pillow image or a torch tensor, not "
            f"{type(picture).__name__}"
        )
    if 0 in array.shape:
        raise ImageError(f"{_EXPECTED}; this one's shape {_shape(array.shape)} has no pixels")
    return np.ascontiguousarray(_samples(array, clip))


def as_light(picture: Any, *, encoded: bool = True, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The picture as linear light: float32 `H W C` of any range, straight alpha.

    Args:
        picture: as for `as_picture`. Floats are linear light already, of any range; uint8 and
            uint16 are decoded.
        encoded: these are sRGB-encoded; False: they are linear.

    Raises:
        ImageError: no picture, or with NaN in it.
    """
    if isinstance(picture, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(
        picture, "read"
    ):
        picture = load(cast(Any, picture), max_pixels=max_pixels)
    if isinstance(picture, np.ndarray) and picture.dtype.kind == "f":
        light = _channels_last(picture)
        if missing := int(np.isnan(light).sum()):
            raise ImageError(f"{missing} of the picture's {light.size} values are NaN")
        return np.ascontiguousarray(light, np.float32)
    array = as_picture(picture)
    light = to_float(array)
    if array.dtype.kind == "u" and encoded:
        colours = array.shape[2] - (array.shape[2] in (2, 4))
        light[..., :colours] = srgb_to_linear(light[..., :colours])
    return light


def _is(picture: Any, module: str, name: str) -> bool:
    """Whether it is of a class of a library that may not be installed."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(picture, getattr(loaded, name, ()))


def _with_channels(array: np.ndarray) -> np.ndarray:
    return array[..., None] if array.ndim == 2 else array


def _channels_last(array: np.ndarray) -> np.ndarray:
    """`H W C` of an array of either form."""
    shape = array.shape
    if len(shape) == 4:
        raise ImageError(
            f"{_EXPECTED}; {_shape(shape)} is a batch of {shape[0]}: hand them over one by one, in a loop"
        )
    if len(shape) not in (2, 3):
        raise ImageError(f"{_EXPECTED}; this array's shape is {_shape(shape)}")
    if len(shape) == 3 and shape[2] not in CHANNELS:
        if shape[0] in CHANNELS:
            raise ImageError(
                f"{_EXPECTED}; {_shape(shape)} has its channels first, as torch tensors have them: "
                "array.transpose(1, 2, 0) puts them last"
            )
        raise ImageError(f"{_EXPECTED}; {_shape(shape)} has {shape[2]} channels")
    return _with_channels(array)


def _of_tensor(tensor: Any) -> np.ndarray:
    """`H W C` of a torch tensor `C H W`."""
    shape = tuple(tensor.shape)
    expected = "a picture as a torch tensor is C H W or H W, with 1 to 4 channels"
    if len(shape) == 4:
        raise ImageError(
            f"{expected}; {_shape(shape)} is a batch of {shape[0]}: hand them over one by one, in a loop"
        )
    if len(shape) not in (2, 3):
        raise ImageError(f"{expected}; this one's shape is {_shape(shape)}")
    if len(shape) == 3 and shape[0] not in CHANNELS:
        if shape[2] in CHANNELS:
            raise ImageError(
                f"{expected}; {_shape(shape)} has its channels last: tensor.numpy() makes it the "
                "array that it looks like"
            )
        raise ImageError(f"{expected}; {_shape(shape)} has {shape[0]} channels")
    if tensor.device.type != "cpu":
        way = "it holds no numbers" if tensor.is_meta else "tensor.cpu() brings it back"
        raise ImageError(f"this tensor is on {tensor.device}; {way}")
    if str(tensor.layout) != "torch.strided":
        raise ImageError(f"this tensor is {tensor.layout}; tensor.to_dense() makes it a picture")
    tensor = tensor.detach()
    if tensor.is_floating_point():
        tensor = tensor.float()  # half precisions that NumPy does not know
    array = tensor.resolve_neg().numpy()
    return _with_channels(array) if array.ndim == 2 else array.transpose(1, 2, 0)


def _samples(array: np.ndarray, clip: bool) -> np.ndarray:
    """uint8 and uint16 as they are, floats as float32 in [0, 1]."""
    if array.dtype.kind == "f":
        return _unit(array, clip)
    if array.dtype in DEPTHS:
        return array
    if array.dtype.kind in "ui" and array.dtype.itemsize == 2:
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        if native.dtype == np.uint16:  # in the other byte order
            return native
    hints = {
        "b": "array * np.uint8(255) makes it one",
        "i": "array.astype(np.uint8) makes it one where it holds 0 .. 255",
        "u": "array.astype(np.uint8) makes it one where it holds 0 .. 255",
    }
    hint = hints.get(array.dtype.kind)
    raise ImageError(
        f"a picture is uint8, uint16 or float in [0, 1], and this is {array.dtype}"
        + (f"; {hint}" if hint else "")
    )


def _unit(array: np.ndarray, clip: bool) -> np.ndarray:
    """float32 in [0, 1]."""
    low, high = float(array.min()), float(array.max())
    if np.isnan(low) or np.isnan(high):
        missing = int(np.isnan(array).sum())
        raise ImageError(f"{missing} of the picture's {array.size} values are NaN")
    if low >= 0 and high <= 1:
        return array.astype(np.float32, copy=False)
    if clip or (low >= -ROUNDING and high <= 1 + ROUNDING):
        return array.clip(0, 1).astype(np.float32)
    hint = ""
    if low >= 0 and high <= 255:
        hint = "; divide by 255, or hand over uint8"
    elif low >= 0:
        hint = "; smalti.image.tone_map makes a picture of linear light"
    elif low >= -1 and high <= 1:
        hint = "; (x + 1) / 2 brings a model's [-1, 1] there"
    raise ImageError(f"a picture's values lie in [0, 1], not {low:.9g} .. {high:.9g}{hint}")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"

"""H W C arrays of samples: uint8 and uint16 over their whole range, float32 over [0, 1]."""

import numpy as np
import torch
from torch import Tensor

from smalti.errors import ImageError


def to_tensor(array: np.ndarray) -> Tensor:
    """H W C -> C H W float32 in [0, 1], a contiguous copy."""
    planes, top = array.transpose(2, 0, 1), np.float32(top_value(array))
    return torch.from_numpy(np.divide(planes, top, dtype=np.float32, order="C"))


def to_levels(image: Tensor, bits: int) -> np.ndarray:
    """C H W float -> H W C integers of 8 or 16 bits."""
    if not isinstance(image, Tensor) or not image.is_floating_point():
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise ImageError(f"an image is a float tensor in [0, 1], and this is {kind}")
    if image.ndim != 3 or not 1 <= image.shape[0] <= 4 or 0 in image.shape:
        raise ImageError(
            f"an image is C H W with C from 1 to 4 and H, W from 1, and this is"
            f" {' x '.join(map(str, image.shape)) or 'a scalar'}"
        )
    image = image.detach().to("cpu", torch.float32)
    not_numbers = int(image.isnan().sum())
    if not_numbers:
        raise ImageError(f"{not_numbers} of the image's {image.numel()} values are NaN")
    levels = (image.clamp(0, 1) * (2**bits - 1)).round().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(levels, dtype=np.uint8 if bits == 8 else np.uint16)


def top_value(array: np.ndarray) -> int:
    """The sample that means 1."""
    return np.iinfo(array.dtype).max if array.dtype.kind == "u" else 1


def checked_range(array: np.ndarray) -> np.ndarray:
    """Floats and wide integers, whose range no file states; uint8 and uint16 pass."""
    if array.dtype in (np.uint8, np.uint16):
        return array
    top = 1 if array.dtype.kind == "f" else 65535
    low, high = array.min(), array.max()
    # A thousandth is what resampling and rounding overshoot; NaN fails the comparison.
    if not (low >= -1e-3 and high <= top + 1e-3):
        raise ImageError(
            f"holds {array.dtype} samples from {low:.6g} to {high:.6g}, and they are read as"
            f" [0, {top}]; scale them first"
        )
    return array.clip(0, top).astype(np.float32 if top == 1 else np.uint16)


def straight_alpha(array: np.ndarray) -> np.ndarray:
    """Premultiplied alpha to straight alpha; black where nothing is visible."""
    top = top_value(array)
    colour, alpha = np.split(array.astype(np.float64), [-1], axis=-1)
    colour = np.divide(colour * top, alpha, out=np.zeros_like(colour), where=alpha > 0)
    if array.dtype.kind == "u":
        colour = colour.round()
    return np.concatenate([colour.clip(0, top), alpha], axis=-1).astype(array.dtype)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """EXIF 2.3, tag 274: what the stored first row and first column are in the upright picture."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array

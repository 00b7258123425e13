"""Between anybody's picture and the model's: of a digit 32 x 32, white on black, in the middle."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from smalti.errors import ImageError
from smalti.models.pictures import to_rgb, to_tensor
from smalti.tokens.coding import square

LUMA = (0.299, 0.587, 0.114)  # Rec. 601
INK = 0.2  # of the brightest texel: what counts as the digit
BOX = 20 / 32  # of the side: into which MNIST's digits were fitted, by the longer side
COLOURLESS = 0.03  # mean distance of a texel's channels
MOST_SCALE = 64  # of a sheet
EVEN = 0.15  # deviation along a border of one brightness

# Pictures are `H W C`, or what else `smalti.image.as_picture` takes; what comes back is float32.


def seen(picture: np.ndarray, channels: int, side: int) -> Float[np.ndarray, "side side channels"]:
    """Anybody's picture as a model of grey digits (1 channel) or of anything (3) sees it.

    Raises:
        ImageError: no digit to be seen.
    """
    if channels == 3:
        return square(to_rgb(picture), side)
    return canvas(picture, side) if looks_like_ours(picture, side) else centred(picture, side)


def whole(picture: np.ndarray, channels: int, side: int) -> Float[np.ndarray, "side side channels"]:
    """The same, but a digit stays where it is in the picture: for completion."""
    return square(to_rgb(picture), side) if channels == 3 else canvas(picture, side)


def drawings(picture: np.ndarray, side: int) -> list[np.ndarray]:
    """The pictures on a sheet that `smalti draw` made, left to right; any other picture alone.

    A sheet is told by its texels: squares of scale x scale of one colour, scale from 2 to 64, which
    make up whole pictures of side x side. Places that were left black at its end are left out.
    """
    height, width, channels = picture.shape
    for scale in range(MOST_SCALE, 1, -1):
        cell = side * scale
        if height % cell or width % cell:
            continue
        small = picture[::scale, ::scale]
        if np.array_equal(small.repeat(scale, axis=0).repeat(scale, axis=1), picture):
            cells = small.reshape(height // cell, side, width // cell, side, channels)
            if height == width == cell:
                return [picture]
            found = list(cells.swapaxes(1, 2).reshape(-1, side, side, channels))
            while len(found) > 1 and not found[-1].any():
                found.pop()
            return found
    return [picture]


def looks_like_a_digit(picture: np.ndarray) -> bool:
    """Whether a picture has no colour and a border of one brightness."""
    x = to_rgb(picture)
    colour = float((x.max(2) - x.min(2)).mean())
    return colour < COLOURLESS and float(_border(_planes(x).mean(0)).std()) < EVEN


def canvas(picture: np.ndarray, side: int) -> Float[np.ndarray, "side side 1"]:
    """A whole picture at the model's size, white on black; a smaller one in the middle.

    It is brought to a square by cutting the middle.
    """
    grey = _white_on_black(picture)
    height, width = grey.shape
    if max(height, width) <= side:
        return _placed(grey, side, (side - height) // 2, (side - width) // 2)
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    sized = _sized(grey[top : top + shorter, left : left + shorter], (side, side))
    return sized.numpy()[..., None]


def centred(picture: np.ndarray, side: int) -> Float[np.ndarray, "side side 1"]:
    """As MNIST's digits are: fitted into 20 x 20 of 32 x 32, the centre of mass in the middle.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".

    Raises:
        ImageError: a picture of one colour.
    """
    grey = _white_on_black(picture)
    ink = grey > INK * grey.max()
    if grey.max() - grey.min() < 1 / 255 or ink.all():
        raise ImageError("there is no digit to see: the whole picture has one brightness")
    rows, columns = ink.any(1).nonzero().flatten(), ink.any(0).nonzero().flatten()
    digit = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX * side / max(digit.shape)
    size = [max(1, round(n * scale)) for n in digit.shape]
    digit = _sized(digit, (size[0], size[1]))
    weight = digit / digit.sum()
    y = float((weight.sum(1) * torch.arange(size[0])).sum())
    x = float((weight.sum(0) * torch.arange(size[1])).sum())
    middle = (side - 1) / 2
    return _placed(digit / digit.max(), side, round(middle - y), round(middle - x))


def looks_like_ours(picture: np.ndarray, side: int) -> bool:
    """Whether a picture is one of MNIST's or of our own drawings, to be taken as it is."""
    x = to_rgb(picture)
    height, width = x.shape[:2]
    known = height == width and (height == 28 or height % side == 0)
    return known and bool(_border(_planes(x).mean(0)).max() < INK)


def _planes(picture: np.ndarray) -> Float[Tensor, "C H W"]:
    return to_tensor(picture, 0)[0]


def _white_on_black(picture: np.ndarray) -> Float[Tensor, "H W"]:
    grey = (_planes(to_rgb(picture)) * torch.tensor(LUMA).view(3, 1, 1)).sum(0)
    return 1 - grey if _border(grey).median() > 0.5 else grey


def _border(grey: Float[Tensor, "H W"]) -> Float[Tensor, " n"]:
    return torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _sized(grey: Float[Tensor, "H W"], size: tuple[int, int]) -> Float[Tensor, "h w"]:
    if tuple(grey.shape) == size:
        return grey
    (height, width), (h, w) = grey.shape, size
    if height % h == 0 and width % w == 0:
        return F.avg_pool2d(grey[None, None], (height // h, width // w))[0, 0]
    sized = F.interpolate(grey[None, None], size, mode="bilinear", antialias=True)
    return sized[0, 0].clamp(0, 1)


def _placed(
    grey: Float[Tensor, "h w"], side: int, top: int, left: int
) -> Float[np.ndarray, "side side 1"]:
    """On a black square, moved inwards where it would stand out."""
    height, width = grey.shape
    top, left = min(max(top, 0), side - height), min(max(left, 0), side - width)
    placed = np.zeros((side, side, 1), np.float32)
    placed[top : top + height, left : left + width, 0] = grey.numpy()
    return placed

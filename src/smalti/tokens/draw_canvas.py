"""Between anybody's picture and the model's: of a digit 32 x 32, white on black, in the middle."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from smalti.errors import ImageError
from smalti.tokens.coding import square, to_rgb

LUMA = (0.299, 0.587, 0.114)  # Rec. 601
INK = 0.2  # of the brightest texel: what counts as the digit
BOX = 20 / 32  # of the side: into which MNIST's digits were fitted, by the longer side
COLOURLESS = 0.03  # mean distance of a texel's channels
EVEN = 0.15  # deviation along a border of one brightness


def seen(
    image: Float[Tensor, "C H W"], channels: int, side: int
) -> Float[Tensor, "channels side side"]:
    """Anybody's picture as a model of grey digits (1 channel) or of anything (3) sees it.

    Raises:
        ImageError: no digit to be seen.
    """
    if channels == 3:
        return square(to_rgb(image), side)
    grey = canvas(image, side) if looks_like_ours(image, side) else centred(image, side)
    return grey[None]


def whole(
    image: Float[Tensor, "C H W"], channels: int, side: int
) -> Float[Tensor, "channels side side"]:
    """The same, but a digit stays where it is in the picture: for completion."""
    return square(to_rgb(image), side) if channels == 3 else canvas(image, side)[None]


def looks_like_a_digit(image: Float[Tensor, "C H W"]) -> bool:
    """Whether a picture has no colour and a border of one brightness."""
    x = to_rgb(image)
    colour = float((x.amax(0) - x.amin(0)).mean())
    return colour < COLOURLESS and float(_border(x.mean(0)).std()) < EVEN


def canvas(image: Float[Tensor, "C H W"], side: int) -> Float[Tensor, "side side"]:
    """A whole picture at the model's size, white on black; a smaller one in the middle.

    Args:
        image: sRGB-encoded, [0, 1], 1 to 4 channels; brought to a square by cutting the middle.
    """
    grey = _white_on_black(image)
    height, width = grey.shape
    if max(height, width) <= side:
        return _placed(grey, side, (side - height) // 2, (side - width) // 2)
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    return _sized(grey[top : top + shorter, left : left + shorter], (side, side))


def centred(image: Float[Tensor, "C H W"], side: int) -> Float[Tensor, "side side"]:
    """As MNIST's digits are: fitted into 20 x 20 of 32 x 32, the centre of mass in the middle.

    Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".

    Raises:
        ImageError: a picture of one colour.
    """
    grey = _white_on_black(image)
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


def looks_like_ours(image: Float[Tensor, "C H W"], side: int) -> bool:
    """Whether a picture is one of MNIST's or of our own drawings, to be taken as it is."""
    height, width = image.shape[1:]
    known = height == width and (height == 28 or height % side == 0)
    return known and bool(_border(to_rgb(image).mean(0)).max() < INK)


def sheet(pictures: Float[Tensor, "N C H W"], scale: int = 1) -> Float[Tensor, "C rows columns"]:
    """Pictures beside and below each other, each texel `scale` x `scale`."""
    count, channels, height, width = pictures.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    drawn = torch.zeros(down * across, channels, height, width)
    drawn[:count] = pictures
    rows = drawn.view(down, across, channels, height, width).permute(2, 0, 3, 1, 4)
    rows = rows.reshape(channels, down * height, across * width)
    return rows.repeat_interleave(scale, 1).repeat_interleave(scale, 2)


def _white_on_black(image: Float[Tensor, "C H W"]) -> Float[Tensor, "H W"]:
    grey = (to_rgb(image) * torch.tensor(LUMA).view(3, 1, 1)).sum(0)
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
) -> Float[Tensor, "side side"]:
    """On a black square, moved inwards where it would stand out."""
    height, width = grey.shape
    top, left = min(max(top, 0), side - height), min(max(left, 0), side - width)
    placed = torch.zeros(side, side)
    placed[top : top + height, left : left + width] = grey
    return placed

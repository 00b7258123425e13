"""Pictures to codes and back through the FSQ model, whatever their size and channels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from smalti.errors import OptionError
from smalti.models import load_shared
from smalti.models.fsq import FsqAutoencoder
from smalti.models.layers import fsq
from smalti.models.layers.pad import to_multiple
from smalti.models.pictures import to_picture, to_rgb, to_tensor

TILED_FROM = 2**20  # texels of the pictures that run together
TILE = 128  # tokens
RAMP = " .:-=+*#%@"  # from dark to light


def load_tokenizer(weights: str | Path = "fsq-1m", *, device: str = "cpu") -> FsqAutoencoder:
    """The FSQ model of a set of weights, shared and without gradients.

    Raises:
        WeightsError: no such weights, or weights of another model.
    """
    return load_shared(FsqAutoencoder, weights, device=device)


def encode_pictures(
    model: FsqAutoencoder, pictures: Sequence[np.ndarray]
) -> list[Int[Tensor, "h w"]]:
    """Codes of pictures, one for each factor x factor texels; those of one size run together.

    Args:
        pictures: each `H W C`, or what else `smalti.image.as_picture` takes; transparency is drawn
            over white. Sides that are no multiples of the factor are filled up with their last row
            and column.
    Returns:
        codes 0 .. codebook_size - 1, on the processor.

    Examples:
        >>> import numpy as np
        >>> from smalti.tokens import coding
        >>> tokenizer = coding.load_tokenizer("fsq-1m")
        >>> codes = coding.encode_pictures(tokenizer, [np.zeros((7, 10, 3), np.uint8)])[0]
        >>> codes.shape
        torch.Size([4, 5])
        >>> coding.decode_picture(tokenizer, codes, height=7, width=10).shape
        (7, 10, 3)
    """
    batches: dict[tuple[int, ...], list[int]] = {}
    padded = [to_multiple(to_tensor(to_rgb(picture))[0], model.factor) for picture in pictures]
    for number, x in enumerate(padded):
        batches.setdefault(tuple(x.shape), []).append(number)
    found: dict[int, Tensor] = {}
    for numbers in batches.values():
        x = torch.stack([padded[number] for number in numbers]).to(model.device, model.dtype)
        with torch.inference_mode():
            # channels last: half the time on a processor
            x = x.contiguous(memory_format=torch.channels_last)
            digits = model.digits(x, tile=_tile(x[:, 0].numel()))
            tokens = fsq.to_index(digits, model.config.levels).cpu()
        found |= dict(zip(numbers, tokens, strict=True))
    return [found[number].clone() for number in range(len(padded))]


def decode_picture(
    model: FsqAutoencoder,
    indices: Int[Tensor, "h w"],
    *,
    height: int | None = None,
    width: int | None = None,
) -> Float[np.ndarray, "H W 3"]:
    """The picture of a grid of codes: float32, sRGB-encoded, in [0, 1].

    Args:
        height, width: of the picture that was encoded; without, factor texels a code.

    Raises:
        OptionError: no grid of codes of this codebook.
    """
    grid = torch.as_tensor(indices, dtype=torch.int64)
    if grid.ndim != 2 or not grid.numel():
        raise OptionError(f"codes of shape {tuple(grid.shape)}; a picture has h x w of them")
    low, high = int(grid.min()), int(grid.max())
    if low < 0 or high >= model.codebook_size:
        raise OptionError(f"codes {low} .. {high}; the codebook has 0 .. {model.codebook_size - 1}")
    with torch.inference_mode():
        digits = fsq.from_index(grid.unsqueeze(0).to(model.device), model.config.levels)
        digits = digits.contiguous(memory_format=torch.channels_last)
        x_hat = model.from_digits(digits, tile=_tile(grid.numel() * model.factor**2))[0]
    return to_picture(x_hat[:, :height, :width])


def _tile(texels: int) -> int | None:
    """Tokens along each side of a tile: large pictures all at once take 1.4 KB a texel."""
    return TILE if texels > TILED_FROM else None


def square(picture: np.ndarray, side: int) -> Float[np.ndarray, "side side C"]:
    """The middle square of a picture, brought to side x side texels, float32 in [0, 1].

    Raises:
        OptionError: `side` is less than 1.
    """
    if side < 1:
        raise OptionError(f"side {side}; a picture has at least 1 texel")
    x = to_tensor(picture, 0)
    height, width = x.shape[2:]
    shorter = min(height, width)
    top, left = (height - shorter) // 2, (width - shorter) // 2
    middle = x[:, :, top : top + shorter, left : left + shorter]
    if shorter == side:
        return to_picture(middle, 0)
    sized = F.interpolate(middle, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return to_picture(sized, 0)


def ascii_preview(picture: np.ndarray, columns: int = 72) -> str:
    """A picture in letters, at most `columns` wide: light texels are dense letters."""
    x = to_tensor(to_rgb(picture), 0)[0]
    _, height, width = x.shape
    across = min(columns, width)
    down = max(round(across * height / width / 2), 1)  # a letter is twice as high as wide
    grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0)  # luma of Rec. 601
    cells = F.adaptive_avg_pool2d(grey[None, None], (down, across))[0, 0]
    ramp = (cells * len(RAMP)).long().clamp(0, len(RAMP) - 1)
    return "\n".join("".join(RAMP[i] for i in line) for line in ramp.tolist())

"""Pictures for models and back: the one place where H W C arrays become N C H W tensors.

picture H W C, as files hold it ─to_tensor→ x 1 C H W ─model→ x̂ ─to_picture→ H W C float32
pictures N H W C, of one size ─to_tensors→ x N C H W ─model→ x̂ ─to_pictures→ N H W C float32
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from smalti import image


def to_tensor(
    picture: np.ndarray, low: float = -1.0, *, device: str | torch.device = "cpu"
) -> Tensor:
    """`1 C H W` float32 in [low, 1], contiguous, on `device`.

    Args:
        picture: `H W C` or `H W`, uint8, uint16 or float32 in [0, 1], or whatever else
            `smalti.image.as_picture` takes.
        low: what black is for the model: -1, or 0 for those of RGBA.

    Raises:
        ImageError: not a picture.
    """
    return to_tensors(image.as_picture(picture)[None], low, device=device)


def to_tensors(
    pictures: np.ndarray, low: float = -1.0, *, device: str | torch.device = "cpu"
) -> Tensor:
    """`N C H W` float32 in [low, 1] of pictures `N H W C`, each as `to_tensor` has it."""
    levels = np.stack([image.to_float(picture) for picture in pictures])
    x = torch.from_numpy(levels).permute(0, 3, 1, 2).contiguous().to(device)
    return x if low == 0 else x * (1 - low) + low


def to_picture(tensor: Tensor, low: float = -1.0) -> np.ndarray:
    """`H W C` float32 in [0, 1], contiguous: the picture that a model drew, clipped.

    Args:
        tensor: `C H W` or `1 C H W`, in [low, 1] but for what the model overshoots; any device
            and float type.
        low: what black is for the model.
    """
    return to_pictures(tensor if tensor.ndim == 4 else tensor[None], low)[0]


def to_pictures(batch: Tensor, low: float = -1.0) -> np.ndarray:
    """`N H W C` float32 in [0, 1] of `N C H W`, each as `to_picture` has it."""
    x = batch.detach().to("cpu", torch.float32)
    levels = x if low == 0 else (x - low) / (1 - low)
    return levels.clamp(0, 1).permute(0, 2, 3, 1).contiguous().numpy()


@torch.inference_mode()
def to_parts(
    tiles: Iterable[tuple[int, int, Float[Tensor, "1 C m n"]]],
    height: int,
    width: int,
    low: float = -1.0,
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Row, column and `to_picture` of each tile of a picture, cropped to its height and width.

    The tiles are made here, without gradients.
    """
    for top, left, x in tiles:
        yield top, left, to_picture(x[:, :, : height - top, : width - left], low)


def to_rgb(picture: Any) -> Float[np.ndarray, "H W 3"]:
    """float32 in [0, 1]: grey becomes three equal channels, transparency is drawn over white."""
    x = image.to_float(image.as_picture(picture))
    colour, alpha = (x[..., :-1], x[..., -1:]) if x.shape[2] in (2, 4) else (x, None)
    shown = colour if alpha is None else colour * alpha + 1 - alpha
    return np.ascontiguousarray(np.broadcast_to(shown, (*x.shape[:2], 3)))

"""Pictures for models and back: the one place where H W C arrays become N C H W tensors.

picture H W C, as files hold it ─to_tensor→ x 1 C H W ─model→ x̂ ─to_picture→ H W C float32
"""

import numpy as np
import torch
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
    levels = image.to_float(image.as_picture(picture))
    planes = np.array(levels.transpose(2, 0, 1), np.float32, order="C")  # its own memory
    x = torch.from_numpy(planes).unsqueeze(0).to(device)
    return x if low == 0 else x * (1 - low) + low


def to_picture(tensor: Tensor, low: float = -1.0) -> np.ndarray:
    """`H W C` float32 in [0, 1], contiguous: the picture that a model drew, clipped.

    Args:
        tensor: `C H W` or `1 C H W`, in [low, 1] but for what the model overshoots; any device
            and float type.
        low: what black is for the model.
    """
    planes = tensor.detach()[0] if tensor.ndim == 4 else tensor.detach()
    planes = planes.to("cpu", torch.float32)
    levels = planes if low == 0 else (planes - low) / (1 - low)
    return np.ascontiguousarray(levels.clamp(0, 1).permute(1, 2, 0).numpy())

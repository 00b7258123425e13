"""Padding to sizes that a network can take."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def to_multiple(image: Float[Tensor, "C H W"], multiple: int) -> Float[Tensor, "C h w"]:
    """Repeat the last row and column until both sides are multiples of `multiple`."""
    bottom, right = -image.shape[1] % multiple, -image.shape[2] % multiple
    return F.pad(image.unsqueeze(0), (0, right, 0, bottom), mode="replicate")[0]

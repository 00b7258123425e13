"""FSQ tokenizer as a codec: one of 15,360 tokens for each 2 x 2 texels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from smalti.codec import NOT_ON_WIRE, Options, Size, TrainedCodec
from smalti.entropy import decode_planes, encode_planes
from smalti.errors import FormatError
from smalti.models import load_shared
from smalti.models.fsq import FsqAutoencoder
from smalti.ops.pad import to_multiple

TILED_FROM = 2**20  # texels; below, all at once takes at most 1.4 GB and is a little faster
TILE = 128  # tokens along each side


@dataclass(frozen=True)
class Fsq(TrainedCodec):
    """x ─encoder→ z ─FSQ→ digits ─entropy→ section ─→ digits ─decoder→ x̂

    One section: the five digits of every token as planes of the adaptive coder (docs/ENTROPY.md),
    with as many levels as the quantiser has.
    """

    name: ClassVar[str] = "fsq"
    summary: ClassVar[str] = "discrete tokens for language models, 2 x 2 texels"
    channels: ClassVar[tuple[int, ...]] = (3,)
    settings: ClassVar[tuple[str, ...]] = ("fsq",)
    max_texels: ClassVar[int | None] = 2**24  # group normalisation sees it whole: 0.4 KB a texel

    weights: str = field(default="fsq-1m", metadata=NOT_ON_WIRE)

    def encode(self, image: Tensor, options: Options) -> list[bytes]:
        model = load_shared(FsqAutoencoder, self.weights, device=options.device)
        x = to_multiple(image.to(options.device), model.factor)
        with torch.inference_mode():
            digits = model.digits(2 * x.unsqueeze(0) - 1, tile=_tile(x.shape[1] * x.shape[2]))[0]
        return [encode_planes(digits.cpu().numpy(), model.config.levels)]

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> Tensor:
        model = load_shared(FsqAutoencoder, self.weights, device=device)
        if len(sections) != 1:
            raise FormatError(f"{len(sections)} sections; an fsq file has 1")
        levels = model.config.levels
        shape = (len(levels), -(-size.height // model.factor), -(-size.width // model.factor))
        digits = torch.from_numpy(decode_planes(sections[0], shape, levels)).to(device)
        with torch.inference_mode():
            tile = _tile(size.height * size.width)
            x_hat = model.from_digits(digits.unsqueeze(0), tile=tile)[0]
        return ((x_hat + 1) / 2).clamp(0, 1)[:, : size.height, : size.width].clone()


def _tile(texels: int) -> int | None:
    return TILE if texels > TILED_FROM else None

"""FSQ tokenizer as a codec: one of 15,360 tokens for each 2 x 2 texels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from smalti.codec import EncodeOptions, Part, Size, TrainedCodec, joined, only
from smalti.entropy import decode_planes, encode_planes
from smalti.errors import FormatError
from smalti.settings import setting

if TYPE_CHECKING:
    from smalti.models.fsq import FsqAutoencoder

TILED_FROM = 2**20  # texels; below, encoding at once takes at most 1.4 GB and is a little faster
DECODED = 48  # the same of a decoder that stays under 256 MB
WHOLE = 3 << 20  # numbers of a decoder's layer; below, decoding at once takes at most 150 MB
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

    weights: str = setting("fsq-1m", "An FSQ tokenizer: its name or file.", wire=False)

    def encode(self, image: np.ndarray, options: EncodeOptions) -> list[bytes]:
        import torch

        from smalti.models.layers.pad import to_multiple
        from smalti.models.pictures import to_tensor

        model = self.model(options.device)
        x = to_multiple(to_tensor(image, device=options.device)[0], model.factor)
        with torch.inference_mode():
            digits = model.digits(x.unsqueeze(0), tile=_tile(x.shape[1] * x.shape[2]))[0]
        return [encode_planes(digits.cpu().numpy(), model.config.levels)]

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        return joined(self.parts(sections, size, size[1:], device=device), size[1:])

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        import torch

        from smalti.models.pictures import to_parts

        model = self.model(device)
        if len(sections) != 1:
            raise FormatError(f"{len(sections)} sections; an fsq file has 1")
        levels = model.config.levels
        shape = (len(levels), -(-size.height // model.factor), -(-size.width // model.factor))
        digits = decode_planes(sections[0], shape, levels)
        tile = DECODED if digits[0].size * model.config.width > WHOLE else None
        x_hat = model.decode_tiles(torch.from_numpy(digits).to(device).unsqueeze(0), tile=tile)
        for part in to_parts(x_hat, size.height, size.width):
            yield Part(*part)

    def section_name(self, index: int, size: Size) -> str:
        return "tokens"

    def arrays(self, sections: Sequence[bytes], size: Size) -> dict[str, np.ndarray]:
        """Tokens `h w`, and the digits `D h w` that they are made of."""
        import torch

        from smalti.models.layers.fsq import to_index

        model = self.model("cpu")
        levels = model.config.levels
        shape = (len(levels), -(-size.height // model.factor), -(-size.width // model.factor))
        digits = decode_planes(only(sections, self.name), shape, levels)
        return {
            "tokens": to_index(torch.from_numpy(digits)[None], levels)[0].numpy(),
            "digits": digits,
        }

    def model(self, device: str) -> "FsqAutoencoder":
        from smalti.models import load_shared
        from smalti.models.fsq import FsqAutoencoder

        return load_shared(FsqAutoencoder, self.weights, device=device)


def _tile(texels: int) -> int | None:
    return TILE if texels > TILED_FROM else None

"""RGBA autoencoder as a codec: four small numbers for each 16 x 16 texels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from smalti.codec import EncodeOptions, Part, Size, TrainedCodec, between, joined, only
from smalti.entropy.ranges import HIGHEST, LOWEST, decode_signed, encode_signed
from smalti.errors import FormatError
from smalti.settings import setting

if TYPE_CHECKING:
    from smalti.models.rgba import RgbaAutoencoder

TILE = 64  # cells along each side at once: 1024 texels


@dataclass(frozen=True)
class RgbaAe(TrainedCodec):
    """x ─encoder→ z ─round(z / step)→ integers ─entropy→ section ─→ ẑ ─decoder→ x̂

    One section: for each latent channel its lowest value (zigzag varint) and its number of levels
    (varint), then the planes of the adaptive coder (docs/ENTROPY.md).
    """

    name: ClassVar[str] = "rgba-ae"
    summary: ClassVar[str] = "tiny autoencoder for pictures with transparency, 16 x 16 texels"
    channels: ClassVar[tuple[int, ...]] = (4,)
    settings: ClassVar[tuple[str, ...]] = ("rgba-ae:step=0.5", "rgba-ae")
    quick: ClassVar[tuple[str, ...]] = ("rgba-ae",)

    step: float = setting(1 / 8, "Of the uniform quantiser, in latent units.", least=1e-4, most=1e4)
    weights: str = setting(
        "rgba-finetune",
        "An RGBA autoencoder: its name or file; rgba-boxes was trained on drawn boxes alone.",
        wire=False,
    )

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return {"step": between(quality, 2.0, 1 / 16)}

    def encode(self, image: np.ndarray, options: EncodeOptions) -> list[bytes]:
        import torch

        from smalti.models.layers.pad import to_multiple
        from smalti.models.pictures import to_tensor

        model = self.model(options.device)
        with torch.inference_mode():
            x = to_multiple(to_tensor(image, 0, device=options.device)[0], model.factor)
            z = model.encode_unit(x.unsqueeze(0), tile=TILE)[0]
        q = (z / self.step).round().clamp(LOWEST, HIGHEST).to(torch.int32).cpu().numpy()
        return [encode_signed(q)]

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        return joined(self.parts(sections, size, size[1:], device=device), size[1:])

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        import torch

        from smalti.models.pictures import to_parts

        model = self.model(device)
        if len(sections) != 1:
            raise FormatError(f"{len(sections)} sections; an rgba-ae file has 1")
        cells = (-(-size.height // model.factor), -(-size.width // model.factor))
        q = decode_signed(sections[0], (model.config.latent_channels, *cells))
        z_hat = torch.from_numpy(q.astype(np.float32)).to(device) * self.step
        x_hat = model.decode_tiles(z_hat.unsqueeze(0), tile=TILE)
        for part in to_parts(x_hat, size.height, size.width, 0):
            yield Part(*part)

    def section_name(self, index: int, size: Size) -> str:
        return "latents"

    def arrays(self, sections: Sequence[bytes], size: Size) -> dict[str, np.ndarray]:
        """Latents `C h w` as the decoder takes them, and the integers that were stored."""
        model = self.model("cpu")
        cells = (-(-size.height // model.factor), -(-size.width // model.factor))
        q = decode_signed(only(sections, self.name), (model.config.latent_channels, *cells))
        return {"latents": q.astype(np.float32) * np.float32(self.step), "integers": q}

    def model(self, device: str) -> "RgbaAutoencoder":
        from smalti.models import load_shared
        from smalti.models.rgba import RgbaAutoencoder

        return load_shared(RgbaAutoencoder, self.weights, device=device)

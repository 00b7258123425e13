"""Resampler as a codec: a field of latents, drawn at any size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from smalti.codec import EncodeOptions, Size, TrainedCodec, Window, between, only
from smalti.entropy.ranges import HIGHEST, LOWEST, decode_signed, encode_signed
from smalti.errors import FormatError, WeightsError
from smalti.settings import setting

if TYPE_CHECKING:
    from smalti.models.resampler import Resampler

LARGEST = 2**20  # of a latent's magnitude


@dataclass(frozen=True)
class ResamplerCodec(TrainedCodec):
    """x ─look→ z ─round(z / step)→ integers ─entropy→ section ─→ ẑ ─draw→ x̂ of any size

    One section: the latents' planes, each with its range (`entropy.ranges`).
    """

    name: ClassVar[str] = "resampler"
    summary: ClassVar[str] = "a field of latents: one file, drawn at any size"
    channels: ClassVar[tuple[int, ...]] = (3,)
    settings: ClassVar[tuple[str, ...]] = ("resampler:step=2", "resampler")
    quick: ClassVar[tuple[str, ...]] = ("resampler",)

    step: float = setting(1.0, "Of the uniform quantiser, in latent units.", least=1e-3, most=1e3)
    weights: str = setting("r2ir-photos", "A resampler: its name or file.", wire=False)

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return {"step": between(quality, 8.0, 0.25)}

    def encode(self, image: np.ndarray, options: EncodeOptions) -> list[bytes]:
        import torch

        from smalti.models.pictures import to_tensor

        model = self.model(options.device)
        if model.channels not in (1, 3):
            raise WeightsError(f"weights for {model.channels} channels; resampler codes pictures")
        x = to_tensor(image, 0, device=options.device)
        if model.channels == 1:
            x = x.mean(1, keepdim=True)
        with torch.inference_mode():
            z = model.encode(2 * x - 1)[0]
        q = (z / self.step).round().clamp(LOWEST, HIGHEST)
        q = q.clamp(-LARGEST / self.step, LARGEST / self.step)
        return [encode_signed(q.to(torch.int32).cpu().numpy())]

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        return self._draw(sections, size, (size.height, size.width), None, device)

    def decode_at(
        self, sections: Sequence[bytes], size: Size, height: int, width: int, *, device: str = "cpu"
    ) -> np.ndarray:
        return self._draw(sections, size, (height, width), None, device)

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> np.ndarray:
        """All latents are read, but only the window is drawn."""
        return self._draw(sections, size, (size.height, size.width), window, device)

    def _draw(
        self,
        sections: Sequence[bytes],
        size: Size,
        drawn: tuple[int, int],
        window: Window | None,
        device: str,
    ) -> np.ndarray:
        import torch

        from smalti.models.pictures import to_picture

        model = self.model(device)
        if len(sections) != 1:
            raise FormatError(f"{len(sections)} sections; a resampler file has 1")
        shape = (model.config.latent_channels, *model.grid(size.height, size.width))
        q = decode_signed(sections[0], shape)
        if np.abs(q).max() * self.step > math.nextafter(LARGEST, math.inf):
            raise FormatError(f"latents beyond {LARGEST:,}")
        z = torch.from_numpy(q.astype(np.float32)).to(device) * self.step
        extent = model.extent(size.height, size.width)
        with torch.inference_mode():
            x_hat = model.decode(z.unsqueeze(0), drawn, extent=extent, window=window)[0]
        return to_picture(x_hat.expand(size.channels, -1, -1))

    def section_name(self, index: int, size: Size) -> str:
        return "latents"

    def arrays(self, sections: Sequence[bytes], size: Size) -> dict[str, np.ndarray]:
        """Latents `C h w` as the decoder takes them, and the integers that were stored."""
        model = self.model("cpu")
        shape = (model.config.latent_channels, *model.grid(size.height, size.width))
        q = decode_signed(only(sections, self.name), shape)
        return {"latents": q.astype(np.float32) * np.float32(self.step), "integers": q}

    def model(self, device: str) -> "Resampler":
        from smalti.models import load_shared
        from smalti.models.resampler import Resampler

        return load_shared(Resampler, self.weights, device=device)

"""Resampler as a codec: a field of latents, drawn at any size."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from smalti.codec import EncodeOptions, Part, Size, TrainedCodec, Window, between, joined, only
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
        return joined(self.parts(sections, size, size[1:], device=device), size[1:])

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        return self._draw(sections, size, drawn, Window(0, 0, *drawn), device)

    def decode_at(
        self, sections: Sequence[bytes], size: Size, height: int, width: int, *, device: str = "cpu"
    ) -> np.ndarray:
        return joined(self.parts(sections, size, (height, width), device=device), (height, width))

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> np.ndarray:
        """All latents are read, but only the window is drawn."""
        return joined(self._draw(sections, size, size[1:], window, device), window[2:])

    def _draw(
        self,
        sections: Sequence[bytes],
        size: Size,
        drawn: tuple[int, int],
        window: Window,
        device: str,
    ) -> Iterator[Part]:
        import torch

        from smalti.models.pictures import to_parts

        model = self.model(device)
        if len(sections) != 1:
            raise FormatError(f"{len(sections)} sections; a resampler file has 1")
        shape = (model.config.latent_channels, *model.grid(size.height, size.width))
        q = decode_signed(sections[0], shape)
        if max(int(q.max()), -int(q.min())) * self.step > math.nextafter(LARGEST, math.inf):
            raise FormatError(f"latents beyond {LARGEST:,}")
        z = torch.from_numpy(q).to(device).unsqueeze(0)
        extent = model.extent(size.height, size.width)
        x_hat = model.decode_tiles(z, drawn, step=self.step, extent=extent, window=window)
        for top, left, texels in to_parts(x_hat, window.height, window.width):
            shape = (*texels.shape[:2], size.channels)
            yield Part(top, left, np.ascontiguousarray(np.broadcast_to(texels, shape)))

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

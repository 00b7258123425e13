"""Patch autoencoder as a codec: 16 small numbers for each 8 x 8 texels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from smalti.codec import EncodeOptions, Part, Size, TrainedCodec, Window, between, joined
from smalti.entropy import decode_planes, encode_planes
from smalti.entropy.varint import read_varint, unzigzag, write_varint, zigzag
from smalti.errors import FormatError, WeightsError
from smalti.settings import setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from smalti.models.patch.fast import FastPatchAutoencoder
    from smalti.models.patch.model import PatchAutoencoder

LOWEST, HIGHEST = -(2**15), 2**15 - 1  # of a quantised latent: 65,536 levels
LARGEST = 2.0**20  # of a latent, both signs: nothing overflows behind it
FINENESS = 8  # a channel's step is the codec's times 2^(k / 8)
MAX_EXPONENT = 512  # of k, both signs
PROBED = 12  # cells along each side of the part on which the channels' effect is measured
PROBE = 0.1  # of the latents' standard deviation


@dataclass(frozen=True)
class PatchAe(TrainedCodec):
    """x ─encoder→ z ─round(z / step_c)→ integers ─entropy→ section ─→ ẑ ─decoder→ x̂

    Each channel c of the latent has a step of its own, so that rounding any of them moves the
    picture by the same amount: the least distortion for the bits, as long as rounding errors are
    small (reverse water-filling). The encoder measures how far a channel moves the middle of the
    picture, and writes the steps down.

    One section: for each latent channel k of its step (zigzag varint), its lowest value (zigzag
    varint) and its number of levels (varint), then the planes of the adaptive coder
    (docs/ENTROPY.md).
    """

    name: ClassVar[str] = "patch-ae"
    summary: ClassVar[str] = "fast autoencoder, 16 numbers for each 8 x 8 texels"
    channels: ClassVar[tuple[int, ...]] = (3,)
    settings: ClassVar[tuple[str, ...]] = ("patch-ae:step=8", "patch-ae")
    quick: ClassVar[tuple[str, ...]] = ("patch-ae",)

    step: float = setting(
        2.0,
        "Of every latent channel's quantiser, as the RMS change of the picture in 8-bit levels.",
        least=1e-2,
        most=1e3,
    )
    weights: str = setting("patch-f8c16", "A patch autoencoder: its name or file.", wire=False)

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return {"step": between(quality, 32.0, 0.5)}

    def encode(self, image: np.ndarray, options: EncodeOptions) -> list[bytes]:
        import torch

        from smalti.models.pictures import to_tensor

        model = self.model(options.device)
        z = model.encode(to_tensor(image, device=options.device))[0]
        levels = 255 / 2 * _effects(model, z)  # 8-bit levels for one unit of each channel
        fineness = (FINENESS * -levels.log2()).round().clamp(-MAX_EXPONENT, MAX_EXPONENT)
        exponents = [int(k) for k in fineness]
        steps = self._steps(exponents, z.device)
        z = z.clamp(-LARGEST / 2, LARGEST / 2)
        q = (z / steps).round().clamp(LOWEST, HIGHEST).to(torch.int32).cpu().numpy()
        low = q.min((1, 2))
        counts = q.max((1, 2)) - low + 1
        header = [
            write_varint(zigzag(k)) + write_varint(zigzag(int(lowest))) + write_varint(int(count))
            for k, lowest, count in zip(exponents, low, counts, strict=True)
        ]
        return [b"".join(header) + encode_planes(q - low[:, None, None], counts.tolist())]

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        return joined(self.parts(sections, size, size[1:], device=device), size[1:])

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        from smalti.models.pictures import to_parts

        model = self.model(device)
        q, steps = self._latents(model, sections, size, device)
        tiles = model.decode_tiles(q.unsqueeze(0), steps)
        for part in to_parts(tiles, size.height, size.width):
            yield Part(*part)

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> np.ndarray:
        """All latents are read, but only the window and its halo go through the decoder."""
        from smalti.models.pictures import to_picture

        model = self.model(device)
        q, steps = self._latents(model, sections, size, device)
        patch = model.config.patch
        top = max(0, window.top // patch - model.halo)
        left = max(0, window.left // patch - model.halo)
        bottom = -(-(window.top + window.height) // patch) + model.halo
        right = -(-(window.left + window.width) // patch) + model.halo
        x_hat = model.decode((q[:, top:bottom, left:right] * steps).unsqueeze(0))[0]
        row, column = window.top - top * patch, window.left - left * patch
        return to_picture(x_hat[:, row : row + window.height, column : column + window.width])

    def section_name(self, index: int, size: Size) -> str:
        return "latents"

    def arrays(self, sections: Sequence[bytes], size: Size) -> dict[str, np.ndarray]:
        """Latents `C h w` as the decoder takes them."""
        q, steps = self._latents(self.model("cpu"), sections, size, "cpu")
        return {"latents": (q * steps).numpy(), "integers": q.numpy()}

    def model(self, device: str) -> "FastPatchAutoencoder":
        from smalti.models import load_shared
        from smalti.models.patch.model import PatchAutoencoder

        return _fast(load_shared(PatchAutoencoder, self.weights, device=device))

    def _latents(
        self, model: "FastPatchAutoencoder", sections: Sequence[bytes], size: Size, device: str
    ) -> "tuple[Tensor, Tensor]":
        """Whole numbers "C h w", 16 bits each, and the steps "C 1 1" that they count."""
        import torch

        if len(sections) != 1:
            raise FormatError(f"{len(sections)} sections; a patch-ae file has 1")
        data, offset = sections[0], 0
        exponents, low, counts = [], [], []
        for _ in range(model.config.latent_channels):
            exponent, offset = read_varint(data, offset)
            lowest, offset = read_varint(data, offset)
            count, offset = read_varint(data, offset)
            exponents.append(unzigzag(exponent))
            low.append(unzigzag(lowest))
            counts.append(count)
            if abs(exponents[-1]) > MAX_EXPONENT:
                raise FormatError(f"a step of 2^({exponents[-1]}/8); the limit is {MAX_EXPONENT}/8")
            if low[-1] < LOWEST or not 1 <= count <= HIGHEST - low[-1] + 1:
                raise FormatError(
                    f"latents {low[-1]} .. {low[-1] + count - 1}; they lie in {LOWEST} .. {HIGHEST}"
                )
        steps = self._steps(exponents, device)
        reach = np.maximum(np.abs(low), np.abs(np.add(low, counts) - 1))
        if (reach * steps.flatten().cpu().numpy()).max() > LARGEST:
            raise FormatError(f"latents beyond {LARGEST:g}")
        patch = model.config.patch
        shape = (len(low), -(-size.height // patch), -(-size.width // patch))
        q = decode_planes(data[offset:], shape, counts)
        q += np.array(low, np.int32)[:, None, None]
        return torch.from_numpy(q.astype(np.int16)).to(device), steps

    def _steps(self, exponents: list[int], device: "str | torch.device") -> "Tensor":
        """ "C 1 1", in latent units."""
        import torch

        steps = [self.step * 2.0 ** (k / FINENESS) for k in exponents]
        return torch.tensor(steps, dtype=torch.float32, device=device).view(-1, 1, 1)


@lru_cache(maxsize=2)
def _fast(model: "PatchAutoencoder") -> "FastPatchAutoencoder":
    from smalti.models.patch.fast import FastPatchAutoencoder

    if model.config.channels != 3:
        raise WeightsError(f"weights for {model.config.channels} channels; patch-ae codes pictures")
    return FastPatchAutoencoder(model)


def _effects(model: "FastPatchAutoencoder", z: "Tensor") -> "Tensor":
    """RMS change of a texel, in the model's range, for one unit of each latent channel, "C".

    Every cell of a channel is moved, up or down at random, so that neighbours do not add up.
    """
    import torch

    rows, columns = (slice(max(0, (n - PROBED) // 2), None) for n in z.shape[1:])
    part = z[:, rows, columns][:, :PROBED, :PROBED]
    random = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, part.shape, generator=random).to(part) * 2 - 1
    moved = torch.diag_embed((PROBE * z.std(correction=0) + 1e-3) * signs.permute(1, 2, 0))
    probes = part + moved.permute(3, 2, 0, 1)
    change = model.decode(probes) - model.decode(part.unsqueeze(0))
    size = moved.abs().amax()
    return (change.square().mean((1, 2, 3)).sqrt() / size).clamp(min=1e-6)

"""The classical codecs as yardsticks, through the same interface as our own.

Their one section is a whole file in their own format, exactly as it lies on disk. They are no part
of the registry: `smalti compare` runs them, `smalti encode` does not.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from smalti import extras
from smalti.codec import Codec, EncodeOptions, Size
from smalti.errors import FormatError, ImageError, MissingExtraError
from smalti.image import to_uint8
from smalti.settings import setting, types_of

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # channels -> Pillow's name
SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")
TUNES = ("iq", "psnr", "ssim")  # what an AVIF encoder makes least
QUALITY, SUBSAMPLING = "From few bytes to like the picture.", "Of the two chroma planes."


@dataclass(frozen=True)
class Baseline(Codec):
    """x ─8 bit→ Pillow ─→ one file ─Pillow→ x̂

    Grey and grey + alpha are handed over as such; a format that stores them as colour is converted
    back after decoding, and its file is counted as it is. `extra` names that of ours which brings
    the library, where Pillow has none.
    """

    channels: ClassVar[tuple[int, ...]] = (1, 2, 3, 4)
    efforts: ClassVar[Mapping[str, str]] = {"medium": ""}  # the fields say how hard to search
    title: ClassVar[str]  # as people write it
    suffix: ClassVar[str]
    format: ClassVar[str]  # Pillow's name
    extra: ClassVar[str] = ""

    @classmethod
    def is_installed(cls) -> bool:
        return True

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        if "quality" not in types_of(cls):
            return super().of_quality(quality)
        return {"quality": max(1, round(quality))}

    def save_options(self, channels: int) -> dict[str, Any]:
        """What Pillow's `save` is told."""
        return {}

    def compress(self, levels: np.ndarray) -> bytes:
        """The bytes of a file of `H W C` uint8, or `H W` for grey."""
        channels = levels.shape[2] if levels.ndim == 3 else 1
        buffer = io.BytesIO()
        Image.fromarray(levels).save(buffer, self.format, **self.save_options(channels))
        return buffer.getvalue()

    def decompress(self, data: bytes, channels: int) -> np.ndarray:
        """`H W C` or `H W` uint8 of a file's bytes, with so many channels."""
        with Image.open(io.BytesIO(data), formats=[self.format]) as picture:
            return np.asarray(picture.convert(MODES[channels]))

    def encode(self, image: np.ndarray, options: EncodeOptions) -> list[bytes]:
        levels = to_uint8(image)
        try:
            return [self.compress(levels[:, :, 0] if levels.shape[2] == 1 else levels)]
        except MissingExtraError:
            raise
        except Exception as error:  # each of the libraries behind Pillow has its own
            height, width, _ = levels.shape
            raise ImageError(
                f"{self.title} cannot hold {width} x {height} texels in {MODES[levels.shape[2]]}"
                f" ({error or type(error).__name__})"
            ) from error

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> np.ndarray:
        if len(sections) != 1:
            raise FormatError(f"{len(sections)} sections; a {self.name} file is 1")
        try:
            levels = self.decompress(sections[0], size.channels)
        except MissingExtraError:
            raise
        except Exception as error:
            raise FormatError(
                f"no whole {self.title} file: {error or type(error).__name__}"
            ) from error
        height, width = levels.shape[:2]
        if (width, height) != (size.width, size.height):
            raise FormatError(
                f"a {self.title} file of {width} x {height} texels; expected "
                f"{size.width} x {size.height}"
            )
        return levels.reshape(size.height, size.width, size.channels)


@dataclass(frozen=True)
class Jpeg(Baseline):
    """JPEG (ITU-T T.81) by libjpeg-turbo: progressive, Huffman tables fitted to the picture."""

    name: ClassVar[str] = "jpeg"
    title: ClassVar[str] = "JPEG"
    summary: ClassVar[str] = "JPEG, progressive, optimised tables; no alpha"
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    suffix: ClassVar[str] = ".jpg"
    format: ClassVar[str] = "JPEG"
    settings: ClassVar[tuple[str, ...]] = (
        *[f"jpeg:quality={quality}" for quality in (5, 10, 25, 50, 75, 90)],
        *[f"jpeg:quality={quality},subsampling=4:4:4" for quality in (90, 97)],
    )
    quick: ClassVar[tuple[str, ...]] = tuple(f"jpeg:quality={quality}" for quality in (10, 50, 90))

    quality: int = setting(75, QUALITY, least=1, most=100)
    subsampling: str = setting("4:2:0", SUBSAMPLING, choices=SUBSAMPLINGS)

    def save_options(self, channels: int) -> dict[str, Any]:
        return {
            "quality": self.quality,
            "subsampling": self.subsampling,
            "optimize": True,
            "progressive": True,
        }


@dataclass(frozen=True)
class WebP(Baseline):
    """Lossy WebP (RFC 9649) by libwebp; chroma is always 4:2:0."""

    name: ClassVar[str] = "webp"
    title: ClassVar[str] = "WebP"
    summary: ClassVar[str] = "lossy WebP, method 6; 5 with alpha"
    suffix: ClassVar[str] = ".webp"
    format: ClassVar[str] = "WEBP"
    settings: ClassVar[tuple[str, ...]] = tuple(
        f"webp:quality={quality}" for quality in (1, 20, 50, 75, 90, 98)
    )
    quick: ClassVar[tuple[str, ...]] = tuple(f"webp:quality={quality}" for quality in (1, 50, 90))

    quality: int = setting(75, QUALITY, least=1, most=100)

    def save_options(self, channels: int) -> dict[str, Any]:
        # Method 6 looks so long for a smaller alpha plane (20 times method 5 for 3 % of the bytes)
        # that it is left to pictures without.
        return {"quality": self.quality, "method": 5 if channels in (2, 4) else 6}


@dataclass(frozen=True)
class Avif(Baseline):
    """AVIF: a key frame of AV1, by libavif."""

    name: ClassVar[str] = "avif"
    title: ClassVar[str] = "AVIF"
    summary: ClassVar[str] = "AVIF, speed 6"
    suffix: ClassVar[str] = ".avif"
    format: ClassVar[str] = "AVIF"
    settings: ClassVar[tuple[str, ...]] = (
        *[f"avif:quality={quality}" for quality in (1, 20, 40, 60, 80)],
        *[f"avif:quality={quality},subsampling=4:4:4" for quality in (85, 97)],
    )
    quick: ClassVar[tuple[str, ...]] = tuple(f"avif:quality={quality}" for quality in (1, 40, 80))

    quality: int = setting(60, QUALITY, least=1, most=100)
    subsampling: str = setting("4:2:0", SUBSAMPLING, choices=SUBSAMPLINGS)
    speed: int = setting(  # 4 takes five times as long and gains 0.3 dB or so
        6, "From slow and small to fast.", least=0, most=10
    )
    tune: str = setting(  # libavif's own choice is "iq", for the eye: 0.8 dB less than "psnr"
        "", "What is made least.", choices=TUNES, shown="as libavif chooses"
    )

    def save_options(self, channels: int) -> dict[str, Any]:
        options = {"quality": self.quality, "subsampling": self.subsampling, "speed": self.speed}
        return options | ({"advanced": {"tune": self.tune}} if self.tune else {})


@dataclass(frozen=True)
class JpegXl(Baseline):
    """JPEG XL (ISO/IEC 18181) by libjxl; quality 100 is lossless."""

    name: ClassVar[str] = "jxl"
    title: ClassVar[str] = "JPEG XL"
    summary: ClassVar[str] = "JPEG XL, effort 7; quality 100 is lossless"
    suffix: ClassVar[str] = ".jxl"
    format: ClassVar[str] = "JXL"
    extra: ClassVar[str] = "jxl"
    settings: ClassVar[tuple[str, ...]] = tuple(
        f"jxl:quality={quality}" for quality in (1, 10, 40, 70, 90, 97, 100)
    )
    quick: ClassVar[tuple[str, ...]] = tuple(f"jxl:quality={quality}" for quality in (1, 40, 90))

    quality: int = setting(75, QUALITY, least=1, most=100)
    effort: int = setting(7, "From fast to slow and small.", least=1, most=9)

    @classmethod
    def is_installed(cls) -> bool:
        return extras.installed("imagecodecs")

    @property
    def distance(self) -> float:
        """Butteraugli distance of a quality, as libjxl's `JxlEncoderDistanceFromQuality` has it."""
        if self.quality >= 30:
            return 0.1 + (100 - self.quality) * 0.09
        return 53 / 3000 * self.quality**2 - 23 / 20 * self.quality + 25

    def compress(self, levels: np.ndarray) -> bytes:
        lossless = self.quality == 100
        data: bytes = self._library().jpegxl_encode(
            levels,
            effort=self.effort,
            lossless=lossless,
            distance=None if lossless else self.distance,
        )
        return data

    def decompress(self, data: bytes, channels: int) -> np.ndarray:
        levels: np.ndarray = self._library().jpegxl_decode(data)
        return levels

    def _library(self) -> ModuleType:
        return extras.need("imagecodecs", extra=self.extra, what=self.title)


@dataclass(frozen=True)
class Png(Baseline):
    """PNG (W3C recommendation, third edition) with zlib's best compression: lossless."""

    name: ClassVar[str] = "png"
    title: ClassVar[str] = "PNG"
    summary: ClassVar[str] = "PNG, optimised; lossless"
    suffix: ClassVar[str] = ".png"
    format: ClassVar[str] = "PNG"
    settings: ClassVar[tuple[str, ...]] = ("png",)

    def save_options(self, channels: int) -> dict[str, Any]:
        return {"optimize": True}


BASELINES: dict[str, type[Baseline]] = {cls.name: cls for cls in (Jpeg, WebP, Avif, JpegXl, Png)}

"""BC7 texture blocks: 16 bytes for each 4 x 4 texels, as every GPU since 2010 reads them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from smalti.codec import EFFORTS, Codec, EncodeOptions, Part, Size, Window, nearest_of, windows
from smalti.errors import FormatError, OptionError
from smalti.files import TEXTURE_MAGICS
from smalti.settings import setting

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Bc7Options(EncodeOptions):
    """What the search makes least, and at what price in bytes."""

    metric: str = setting(
        "rgba",
        "The error that is made least: of each channel, of luma before colour, of colour times "
        "alpha, of unit vectors, or of each channel under alpha 0 too.",
        choices=("rgba", "perceptual", "premultiplied", "normal", "data"),
    )
    weights: tuple[int, ...] = setting(
        (1, 1, 1, 1), "Weights of R, G, B, A in the error, for instance 4x4x4x1."
    )
    rdo: float = setting(
        0.0, "Above 0, blocks that zip and zstd make smaller: 4 is about 15 % for 1 dB.", least=0
    )


@dataclass(frozen=True)
class Bc7(Codec):
    """x ─8 bit→ 4 x 4 blocks ─search→ 16 bytes each;  any block decodes alone

    One section: the blocks in rows from the top left, as a GPU wants them. Khronos Data Format
    Specification 1.3, chapter "BPTC Compressed Texture Image Formats".
    """

    Options: ClassVar[type[EncodeOptions]] = Bc7Options
    name: ClassVar[str] = "bc7"
    summary: ClassVar[str] = "GPU texture blocks, 8 bits a texel, random access, also .dds, .ktx2"
    efforts: ClassVar[Mapping[str, str]] = {
        "ultrafast": "one mode a block",
        "fast": "up to 6 further trials a block",
        "medium": "up to 10",
        "high": "up to 38",
        "best": "up to 74",
        "pca": "mode 6 alone, ends on the principal axis: to learn from",
        "nelder-mead": "mode 6 alone, ends moved by a simplex: to learn from",
    }
    channels: ClassVar[tuple[int, ...]] = (3, 4)
    for_gpu: ClassVar[bool] = True
    settings: ClassVar[tuple[str, ...]] = ("bc7:effort=fast", "bc7:effort=best")
    own_devices: ClassVar[tuple[str, ...]] = ("gpu",)
    exact: ClassVar[bool] = True
    foreign: ClassVar[tuple[str, ...]] = tuple(TEXTURE_MAGICS)

    @classmethod
    def of_quality(cls, quality: float) -> dict[str, Any]:
        return {"effort": nearest_of(quality, EFFORTS)}

    def prepare(self, device: str = "cpu", *, encoding: bool) -> None:
        if encoding:
            from smalti.bc7 import encode  # noqa: F401
        else:
            from smalti.bc7 import decode  # noqa: F401

    def encode(self, image: "np.ndarray", options: Bc7Options) -> list[bytes]:
        from smalti.image import to_uint8

        texels = to_uint8(image)
        if not options.device.startswith("gpu"):
            from smalti.bc7.encode import encode_image

            blocks = encode_image(
                texels,
                effort=options.effort,
                metric=options.metric,
                weights=options.weights,
                rdo=options.rdo,
                on_rows=options.on_step,
            )
            return [blocks]
        if options.metric != "rgba" or options.weights != (1, 1, 1, 1):
            raise OptionError("metric and weights are for --device cpu; the GPU knows rgba only")
        import numpy as np

        from smalti.bc7 import gpu

        opaque = np.full_like(texels[..., :1], 255)
        rgba = texels if texels.shape[2] == 4 else np.concatenate([texels, opaque], axis=2)
        blocks = gpu.encode_image(rgba, effort=options.effort, device=options.device)
        if options.rdo > 0:
            from smalti.bc7.rdo import optimise

            blocks = optimise(blocks, rgba, lagrangian=options.rdo)
        return [blocks]

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> "np.ndarray":
        from smalti.bc7.decode import decode_image

        return decode_image(_only(sections), *size[1:], channels=size.channels)

    def parts(
        self, sections: Sequence[bytes], size: Size, drawn: tuple[int, int], *, device: str = "cpu"
    ) -> Iterator[Part]:
        for window in windows(*drawn):
            yield Part(*window[:2], self.decode_window(sections, size, window))

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> "np.ndarray":
        from smalti.bc7.decode import decode_window

        return decode_window(_only(sections), *size[1:], *window, channels=size.channels)

    def section_name(self, index: int, size: Size) -> str:
        return "blocks"

    def arrays(self, sections: Sequence[bytes], size: Size) -> "dict[str, np.ndarray]":
        """Blocks `rows columns 16` bytes."""
        import numpy as np

        from smalti.bc7.layout import BLOCK_BYTES, block_grid

        blocks = np.frombuffer(_only(sections), np.uint8)
        grid = block_grid(size.height, size.width)
        if blocks.size != grid[0] * grid[1] * BLOCK_BYTES:
            raise FormatError(f"{blocks.size} bytes of blocks; {grid[0]} x {grid[1]} were to come")
        return {"blocks": blocks.reshape(*grid, BLOCK_BYTES)}

    def write_foreign(self, suffix: str, sections: Sequence[bytes], size: Size) -> bytes:
        from smalti.textures import Texture, write_texture

        levels = (_only(sections),)
        return write_texture(Texture("bc7", True, size.height, size.width, levels), suffix)

    @classmethod
    def read_foreign(cls, data: bytes) -> tuple[list[bytes], Size]:
        from smalti.textures import read_texture

        texture = read_texture(data)
        if texture.format != "bc7":
            raise FormatError(f"the file holds {texture.format}, not bc7; smalti unpack draws it")
        if texture.premultiplied:
            raise FormatError(
                "the file's colours are multiplied with alpha; smalti unpack draws them straight"
            )
        return [texture.surface()], Size(4, texture.height, texture.width)


def _only(sections: Sequence[bytes]) -> bytes:
    if len(sections) != 1:
        raise FormatError(f"{len(sections)} sections; a bc7 file has 1")
    return sections[0]

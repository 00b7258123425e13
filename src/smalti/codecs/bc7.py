"""BC7 texture blocks: 16 bytes for each 4 x 4 texels, as every GPU since 2010 reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from smalti.bc7 import dds
from smalti.bc7.decode import decode_image, decode_window
from smalti.bc7.encode import encode_image
from smalti.codec import Codec, Options, Size, Window
from smalti.errors import FormatError
from smalti.image import from_uint8, to_uint8


@dataclass(frozen=True)
class Bc7(Codec):
    """x ─8 bit→ 4 x 4 blocks ─search→ 16 bytes each;  any block decodes alone

    One section: the blocks in rows from the top left, as a GPU wants them. Khronos Data Format
    Specification 1.3, chapter "BPTC Compressed Texture Image Formats".
    """

    name: ClassVar[str] = "bc7"
    summary: ClassVar[str] = "GPU texture blocks, 8 bits a texel, random access, also .dds"
    channels: ClassVar[tuple[int, ...]] = (3, 4)
    settings: ClassVar[tuple[str, ...]] = ("bc7:effort=fast", "bc7:effort=best")
    exact: ClassVar[bool] = True
    foreign: ClassVar[tuple[str, ...]] = (".dds",)

    def encode(self, image: Tensor, options: Options) -> list[bytes]:
        rgba = to_uint8(image)
        if rgba.shape[2] == 3:
            rgba = np.concatenate([rgba, np.full_like(rgba[:, :, :1], 255)], axis=2)
        return [encode_image(rgba, effort=options.effort)]

    def decode(self, sections: Sequence[bytes], size: Size, *, device: str = "cpu") -> Tensor:
        rgba = decode_image(_only(sections), size.height, size.width)
        return _to_image(rgba, size.channels, device)

    def decode_window(
        self, sections: Sequence[bytes], size: Size, window: Window, *, device: str = "cpu"
    ) -> Tensor:
        rgba = decode_window(_only(sections), size.height, size.width, *window)
        return _to_image(rgba, size.channels, device)

    def write_foreign(self, suffix: str, sections: Sequence[bytes], size: Size) -> bytes:
        return dds.write_dds(_only(sections), size.height, size.width)

    @classmethod
    def read_foreign(cls, data: bytes) -> tuple[list[bytes], Size]:
        texture = dds.read_dds(data)
        return [texture.blocks], Size(4, texture.height, texture.width)


def _only(sections: Sequence[bytes]) -> bytes:
    if len(sections) != 1:
        raise FormatError(f"{len(sections)} sections; a bc7 file has 1")
    return sections[0]


def _to_image(rgba: np.ndarray, channels: int, device: str) -> Tensor:
    return torch.as_tensor(from_uint8(rgba[:, :, :channels]), device=device)

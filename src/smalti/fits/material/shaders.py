"""The decoder as a function in GLSL, WGSL or Slang, and the buffers that it reads.

    grids.bin    32-bit words: of every grid level the first word, rows and columns of the fine and
                 of the coarse grid; then the grids, each from a whole word on: node by node, row
                 by row, the node's channels one behind the other, their bits without gaps, the low
                 ones first
    weights.bin  binary16, of each layer the weights (outputs x inputs), then the biases
    decode.*     the function, with this material's numbers as constants
    material.json  the same numbers, and which channels are which map's

Both buffers are uploaded as they are (storage buffers, StructuredBuffer<uint>; as a texture, a row
of R32_UINT). Nodes of 4, 8, 16 or 32 bits may as well be texels of a texture, since a node is
packed as R4G4B4A4 and the like are.
"""

import json
from collections.abc import Sequence
from importlib import resources

import numpy as np

from smalti.errors import OptionError
from smalti.fits.material.layout import Layout
from smalti.fits.material.maps import Map, channel_slices
from smalti.fits.material.texture import NeuralTexture

# How a language writes a constant.
LANGUAGES = {
    "glsl": "const int {} = {};",
    "wgsl": "const {}: i32 = {};",
    "slang": "static const int {} = {};",
}


def export_shader(texture: NeuralTexture, maps: Sequence[Map], language: str) -> dict[str, bytes]:
    """Name -> content of every file.

    Raises:
        OptionError: a language that is not glsl, wgsl or slang.
    """
    layout = texture.layout
    channels = channel_slices(maps)
    about = {
        "width": layout.width,
        "height": layout.height,
        "mips": layout.mip_count,
        "repeat": layout.repeat,
        "maps": [
            {
                "name": m.name,
                "kind": m.kind,
                "first": channels[m.name].start,
                "channels": m.channels,
            }
            for m in maps
        ],
        "fine": layout.fine._asdict(),
        "coarse": layout.coarse._asdict(),
        "layers": [list(layer) for layer in layout.layers],
    }
    return {
        "grids.bin": pack_grids(texture),
        "weights.bin": pack_weights(texture),
        f"decode.{language}": shader_text(layout, language).encode(),
        "material.json": (json.dumps(about, indent=2) + "\n").encode(),
    }


def shader_text(layout: Layout, language: str) -> str:
    """The decoder of a layout: constants, two buffers, and the function `smalti_decode`.

    Raises:
        OptionError: a language that is not glsl, wgsl or slang.
    """
    if language not in LANGUAGES:
        raise OptionError(f"no decoder in {language!r}; there are {', '.join(LANGUAGES)}")
    constants = {
        "CHANNELS": layout.channels,
        "INPUTS": layout.layers[0][1],
        "HIDDEN_1": layout.hidden[0],
        "HIDDEN_2": layout.hidden[1],
        "REPEAT": int(layout.repeat),
    }
    for name, grid in (("FINE", layout.fine), ("COARSE", layout.coarse)):
        for field, value in grid._asdict().items():
            constants[f"{name}_{field.upper()}"] = value
    lines = [LANGUAGES[language].format(f"SMALTI_{n}", value) for n, value in constants.items()]
    body = resources.files("smalti.fits.material") / "decoders" / f"decode.{language}"
    return "\n".join(lines) + "\n\n" + body.read_text("utf-8")


def pack_grids(texture: NeuralTexture) -> bytes:
    """The content of grids.bin."""
    slices = texture.layout.grid_slices()
    table, parts = [], []
    at = 3 * len(slices)
    for values, (channels, rows, columns), grid in slices:
        codes = texture.codes[values].reshape(channels, -1).T.ravel()  # node by node
        bits = codes[:, None] >> np.arange(grid.bits, dtype=np.uint8) & 1
        packed = np.packbits(bits, bitorder="little")
        words = np.pad(packed, (0, -len(packed) % 4)).view("<u4")
        table += [at, rows, columns]
        parts.append(words)
        at += len(words)
    return np.concatenate([np.array(table, "<u4"), *parts]).astype("<u4").tobytes()


def pack_weights(texture: NeuralTexture) -> bytes:
    """The content of weights.bin: an even number of halves."""
    weights = texture.network.astype("<f2")
    return np.pad(weights, (0, len(weights) % 2)).tobytes()

"""What benchmarks/bc7.py measures: smalti's efforts, etcpak, other encoders, a calibration loop.

Another encoder joins as a shared library of four functions (`RivalLibrary`); none is part of this
repository.
"""

import ctypes
import importlib.metadata
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

import smalti
from smalti.bc7.encode import encode_image
from smalti.bc7.layout import BLOCK_BYTES, BLOCK_SIDE

Encode = Callable[[np.ndarray], bytes]  # uint8 (H, W, 4), sides multiples of 4 -> blocks


class Contender(NamedTuple):
    name: str
    version: str
    encode: Encode
    ours: bool = False


def contenders(
    efforts: list[str], libraries: list[Path], only: list[str], *, with_packages: bool
) -> list[Contender]:
    """smalti at each effort, the packages that are there, and libraries' encoders that fit `only`."""
    version = f"smalti {smalti.__version__}"
    found = [
        Contender(effort, version, partial(encode_image, effort=effort), ours=True)
        for effort in efforts
    ]
    if with_packages:
        found += _etcpak() + _ispc_texcomp() + _bc7enc()
    for path in libraries:
        found += [
            contender
            for contender in RivalLibrary(path).contenders()
            if any(fnmatch(contender.name, pattern) for pattern in only)
        ]
    return found


def _etcpak() -> list[Contender]:
    """etcpak's BC7 (bc7enc, modes 1, 5, 6 and 7) with linear weights, if it is installed."""
    try:
        import etcpak
    except ImportError:
        return []
    parameters = etcpak.BC7CompressBlockParams()
    parameters.init_linear_weights()

    def encode(image: np.ndarray) -> bytes:
        height, width = image.shape[:2]
        return etcpak.compress_bc7(image.tobytes(), width, height, parameters)

    return [Contender("etcpak linear", f"etcpak {importlib.metadata.version('etcpak')}", encode)]


def _ispc_texcomp() -> list[Contender]:
    """Intel's ISPC texture compressor; its profiles with alpha where a picture has any."""
    try:
        import ispc_texcomp
    except ImportError:
        return []
    version = f"ispc-texcomp {importlib.metadata.version('ispc-texcomp')}"

    def encode(image: np.ndarray, profile: str) -> bytes:
        height, width = image.shape[:2]
        alpha = "" if (image[..., 3] == 255).all() else "alpha_"
        settings = ispc_texcomp.BC7EncSettings.from_profile(alpha + profile)
        surface = ispc_texcomp.RGBASurface(image.tobytes(), width, height)
        return ispc_texcomp.compress_blocks_bc7(surface, settings)

    return [
        Contender(f"ispc-texcomp {profile}", version, partial(encode, profile=profile))
        for profile in ("ultrafast", "fast", "slow")
    ]


def _bc7enc() -> list[Contender]:
    """bc7enc-py: bc7enc_rdo's encoder (modes 1, 5, 6 and 7) with linear weights."""
    try:
        import bc7enc
    except ImportError:
        return []
    parameters = bc7enc.bc7enc_compress_block_params_init()
    parameters.m_perceptual = False
    parameters.m_weights[:] = [1, 1, 1, 1]

    def encode(image: np.ndarray) -> bytes:
        height, width = image.shape[:2]
        image = np.ascontiguousarray(image)
        blocks = np.empty(height // BLOCK_SIDE * (width // BLOCK_SIDE) * BLOCK_BYTES, np.uint8)
        bc7enc.bc7.compress_image(
            ctypes.c_void_p(image.ctypes.data),
            ctypes.c_int(width),
            ctypes.c_int(height),
            ctypes.c_void_p(blocks.ctypes.data),
            ctypes.byref(parameters),
        )
        return blocks.tobytes()

    return [
        Contender(
            "bc7enc-py linear", f"bc7enc-py {importlib.metadata.version('bc7enc-py')}", encode
        )
    ]


class RivalLibrary:
    """Encoders in a shared library of four C functions.

    int rival_count(void);
    const char *rival_name(int i);
    const char *rival_version(int i);       source, commit, compiler flags
    void rival_encode(int i, const uint8_t *rgba, int width, int height, uint8_t *blocks);

    rgba: height rows of width texels of 4 bytes; both are multiples of 4. blocks: 16 bytes each,
    row-major. rival_encode uses one thread.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._library = ctypes.CDLL(str(path.resolve()))
            self._library.rival_name.restype = ctypes.c_char_p
            self._library.rival_version.restype = ctypes.c_char_p
            self._count = self._library.rival_count()
        except (OSError, AttributeError) as error:
            raise SystemExit(f"{path.name} is no library of rivals: {error}") from error

    def contenders(self) -> list[Contender]:
        return [
            Contender(
                self._library.rival_name(i).decode(),
                self._library.rival_version(i).decode(),
                partial(self._encode, i),
            )
            for i in range(self._count)
        ]

    def _encode(self, i: int, image: np.ndarray) -> bytes:
        height, width = image.shape[:2]
        image = np.ascontiguousarray(image)
        blocks = np.empty(height // BLOCK_SIDE * (width // BLOCK_SIDE) * BLOCK_BYTES, np.uint8)
        self._library.rival_encode(
            i,
            ctypes.c_void_p(image.ctypes.data),
            ctypes.c_int(width),
            ctypes.c_int(height),
            ctypes.c_void_p(blocks.ctypes.data),
        )
        return blocks.tobytes()


# The calibration loop: the least squared error of texels against the 16 entries of a line, as every
# BC7 search computes it, always on the same numbers. Speeds divided by its speed carry over to other
# machines better than MPix/s do.
CALIBRATION_TEXELS = 960  # 19 KiB with their errors: within the first-level cache
CALIBRATION_ROUNDS = 8192
CALIBRATION_MEGA_OPERATIONS = CALIBRATION_TEXELS * CALIBRATION_ROUNDS * 16 * 4 / 1e6

_C_LOOP = """
void least_errors(const float *restrict x, float *restrict least, int texels, int rounds) {
    for (int round = 0; round < rounds; round++)
        for (int entry = 0; entry < 16; entry++) {
            float colour = 15 * entry + round % 16;
            for (int t = 0; t < texels; t++) {
                float r = x[t] - colour, g = x[texels + t] - colour;
                float b = x[2 * texels + t] - colour, a = x[3 * texels + t] - colour;
                float error = r * r + g * g + b * b + a * a;
                least[t] = error < least[t] ? error : least[t];
            }
        }
}
"""


def calibration_loops() -> dict[str, Callable[[], None]]:
    """The loop compiled by the C compiler, where there is one.

    A call does CALIBRATION_MEGA_OPERATIONS million multiply-adds in float32.
    """
    # Aligned to whole vectors, and no two rows 4096 bytes apart: either would make the speed depend
    # on where the memory happens to lie.
    memory = np.empty(5 * CALIBRATION_TEXELS + 16, np.float32)
    first = -memory.ctypes.data % 64 // 4
    rows = memory[first : first + 5 * CALIBRATION_TEXELS].reshape(5, CALIBRATION_TEXELS)
    texels, least = rows[:4], rows[4]
    texels[:] = np.random.default_rng(7).uniform(0, 255, texels.shape)
    least[:] = 1e30
    compiled = _compile_c_loop()
    if compiled is None:
        return {}
    return {
        "c": lambda: compiled(
            ctypes.c_void_p(texels.ctypes.data),
            ctypes.c_void_p(least.ctypes.data),
            ctypes.c_int(CALIBRATION_TEXELS),
            ctypes.c_int(CALIBRATION_ROUNDS),
        )
    }


def _compile_c_loop() -> Callable[..., None] | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "loop.c"), Path(folder, "loop.so")
        source.write_text(_C_LOOP, encoding="utf-8")
        flags = ["-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, "-o", str(library), str(source)], check=True)
        return ctypes.CDLL(str(library)).least_errors  # stays mapped when the file is gone

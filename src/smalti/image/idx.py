"""MNIST's file format, idx: a magic number, the sizes, the bytes; gzipped or not.

    00 00 08 D | D sizes, 32-bit big-endian | unsigned bytes, last index fastest

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

from smalti.errors import ImageError, OptionError

SUFFIXES = ("-ubyte", "-ubyte.gz")  # of the file names
UNSIGNED_BYTE = 8
MULTIPLE = 16  # to which sides are padded: 28 x 28 become 32 x 32, as in LeNet-5


def is_idx(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def in_folder(folder: Path, name: str) -> Path:
    """One of MNIST's files, such as train-labels-idx1-ubyte, gzipped or not.

    Raises:
        OptionError: it is not there.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise OptionError(f"no {name} or {name}.gz in {folder}; name the folder of MNIST's four files")


def read(path: Path) -> np.ndarray:
    """The array of an idx file, uint8 of any number of dimensions.

    Raises:
        ImageError: it is truncated, damaged, or of another number format.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as cause:
        raise ImageError(f"{path} cannot be read: {cause}") from cause
    dims = data[3] if len(data) > 3 else 0
    start = 4 + 4 * dims
    if data[:3] != bytes((0, 0, UNSIGNED_BYTE)) or dims == 0 or len(data) < start:
        raise ImageError(f"{path} is no idx file of unsigned bytes: it begins {data[:4].hex(' ')}")
    sizes = [int(n) for n in np.frombuffer(data, ">u4", dims, 4)]
    values = np.frombuffer(data, np.uint8, offset=start)
    if len(values) != np.prod(sizes):
        raise ImageError(f"{path} holds {len(values)} bytes, not {' x '.join(map(str, sizes))}")
    return values.reshape(sizes)


def read_pictures(path: Path) -> np.ndarray:
    """Grey pictures `N H W` uint8, padded all around with 0 to multiples of 16 texels.

    Raises:
        ImageError: as `read`, or no set of pictures.
    """
    pictures = read(path)
    if pictures.ndim != 3:
        raise ImageError(f"{path} is an array of {pictures.shape}, not of pictures N H W")
    missing = [-size % MULTIPLE for size in pictures.shape[1:]]
    return np.pad(pictures, [(0, 0), *((n // 2, n - n // 2) for n in missing)])

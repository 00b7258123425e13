"""Files: the package's own, suffixes and first bytes, and writing so that a reader never meets half of a file."""

import codecs
import os
from pathlib import Path
from typing import Any

from smalti.errors import FormatError, OptionError

# What comes with the package.
BUNDLED_PICTURES = Path(__file__).parent / "assets" / "pictures"
BUNDLED_WEIGHTS = Path(__file__).parent / "assets" / "weights"

# What `image.save` writes, by the format as Pillow names it, and what `image.load` reads.
WRITTEN_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
WRITTEN_SUFFIXES = tuple(WRITTEN_FORMATS)
SMT = ".smt"  # our own files
PICTURE_SUFFIXES: tuple[str, ...] = (*WRITTEN_SUFFIXES, ".gif", ".jxl")

# Linear light of any range, read and written by the extra `hdr`; no codec's picture.
HDR_FORMATS = {".exr": "EXR", ".hdr": "HDR"}

# Textures, by their first bytes.
TEXTURE_MAGICS = {".dds": b"DDS ", ".ktx2": b"\xabKTX 20\xbb\r\n\x1a\n"}

MAX_PIXELS = 2**26  # of a picture, unless told otherwise: 8192 x 8192, 0.2 GB as RGB of 8 bits


def content(source: Any) -> bytes:
    """The bytes of a file of ours: themselves, or what lies at a path or in a file object.

    Raises:
        FormatError: no such file, or none of these.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        found = source.read() if hasattr(source, "read") else Path(source).read_bytes()
    except TypeError:
        found = None
    except FileNotFoundError:
        raise FormatError(f"{source}: no such file") from None
    except OSError as cause:
        raise FormatError(f"{source} cannot be read: {cause.strerror or cause}") from cause
    if not isinstance(found, bytes):
        raise FormatError(
            f"a file is its bytes, a path or a binary file object, not {type(source).__name__}"
        )
    return found


def check_new(path: str | os.PathLike[str], *, force: bool) -> None:
    """The one rule about files: what exists is replaced only where that was asked for.

    Raises:
        OptionError: it exists, and `force` is not given.
    """
    if not force and Path(path).exists():
        raise OptionError(f"{path} exists; --force replaces it")


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of some suffixes in a folder and the folders in it, sorted; links are followed.

    What begins with a dot is no one's picture: macOS's ._a.png, .ipynb_checkpoints. A link that
    leads nowhere is among the files: who reads it says so.

    Raises:
        OSError: a folder in it cannot be looked into.
    """
    found, seen = [], set()
    for path, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        inside = Path(path)
        real = inside.resolve()
        if real in seen:  # a link to a folder above it
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            inside / name
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes
        ]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def unicode_of(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 with a byte order mark as PowerShell and Excel write it.

    Raises:
        UnicodeDecodeError: neither.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def text_of(data: bytes) -> str:
    """The same of what people write themselves: what is no Unicode is Windows' Latin-1."""
    try:
        return unicode_of(data)
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`: afterwards the file holds all of it, or what it held before.

    The bytes go to a temporary name in the same folder (a rename is atomic only within one file
    system), reach the disk, and take the place of `path` in one step. On any failure, Ctrl-C
    included, the temporary is removed. An existing file passes its permissions on to the new one,
    and a symbolic link is followed, never replaced.

    Raises:
        OSError: in one sentence, where the folder does not exist, `path` is no regular file, or
            the disk refuses.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {target.parent} does not exist")
    if target.exists() and not target.is_file():
        raise FileExistsError(f"cannot write {path}: it exists and is no regular file")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"cannot write {path}: it is write-protected")
    # A short name of its own, so that it is no longer than a file system allows when `path` is.
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            temporary.chmod(target.stat().st_mode)
        temporary.replace(target)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)  # gone already where the replacement succeeded

"""Folders, tar files and arrays as one indexed set of pictures, decoded once if memory allows."""

import tarfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from smalti import image
from smalti.errors import ImageError
from smalti.files import PICTURE_SUFFIXES, files_in
from smalti.image import idx
from smalti.image.refusals import reason

CACHE_MB = 2048  # of decoded pictures, in each process


class Pictures:
    """`pictures[i]` is picture number i, `H W C` uint8, or None if it cannot be read.

    What is decoded stays in memory until `cache_mb` are full; the rest is decoded at each use.
    Nothing is ever evicted: crops are drawn uniformly, so no picture is likelier to come back
    than another. Safe to use from several threads.

    Args:
        sources: folders of pictures, searched recursively, WebDataset shards in them included;
            uncompressed .tar files of pictures; .npz files with `images N H W 3` (or `N 3 H W`)
            uint8 and idx files of grey pictures, as MNIST's (these stay in memory whole, beside
            the cache).
        channels: 3, without alpha, or 4.
        cache_mb: megabytes of 2^20 bytes.

    Raises:
        ImageError: a source that is none of these, or no picture in any.
    """

    def __init__(
        self, sources: Sequence[str | Path], *, channels: int = 3, cache_mb: int = CACHE_MB
    ) -> None:
        self.channels = channels
        self.names: list[str] = []
        self._readers: list[Callable[[], np.ndarray]] = []
        for source in map(Path, sources):
            self._add(source)
        if not self._readers:
            raise ImageError(f"no picture in {', '.join(map(str, sources))}")
        self._room = cache_mb * 2**20
        self._cache: dict[int, np.ndarray | None] = {}
        self._lock = threading.Lock()
        self.unreadable: dict[str, str] = {}  # name -> why

    def __len__(self) -> int:
        return len(self._readers)

    def __getitem__(self, index: int) -> np.ndarray | None:
        if index in self._cache:
            return self._cache[index]
        try:
            picture = with_channels(self._readers[index](), self.channels)
        except (ImageError, OSError) as cause:
            picture, self.unreadable[self.names[index]] = None, str(cause)
        with self._lock:
            size = 0 if picture is None else picture.nbytes
            if index not in self._cache and size <= self._room:
                self._cache[index] = picture
                self._room -= size
        return picture

    def _add(self, source: Path) -> None:
        if source.suffix == ".npz" and source.is_file():
            self._add_array(source)
        elif source.suffix == ".tar" and source.is_file():
            self._add_tar(source)
        elif idx.is_idx(source) and source.is_file():
            pictures = idx.read_pictures(source)[..., None]
            for row in range(len(pictures)):
                self._append(f"{source}[{row}]", partial(pictures.__getitem__, row))
        elif source.is_dir():
            for path in files_in(source, (".tar", *PICTURE_SUFFIXES)):
                if path.suffix == ".tar":
                    self._add_tar(path)
                else:
                    self._append(str(path), partial(_read, path))
        else:
            raise ImageError(
                f"{source} is no folder of pictures, no .tar and no .npz file, nor idx"
            )

    def _add_array(self, source: Path) -> None:
        try:
            images = np.asarray(np.load(source)["images"])  # bytes where it is no array
        except Exception as cause:  # of a damaged header numpy and zipfile say nearly anything
            why = reason(cause)
            raise ImageError(f"{source} has no readable array `images`: {why}") from cause
        if (
            images.ndim != 4
            or 3 not in (images.shape[1], images.shape[3])
            or images.dtype != np.uint8
        ):
            raise ImageError(
                f"{source}: `images` is {images.dtype} {images.shape}, not N H W 3 or N 3 H W of uint8"
            )
        if images.shape[3] != 3:
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        for row in range(len(images)):
            self._append(f"{source}[{row}]", partial(images.__getitem__, row))

    def _add_tar(self, source: Path) -> None:
        """Note where in the file each picture lies; a shard is read at random places."""
        try:
            with tarfile.open(source, "r:") as tar:
                members = [(m.name, m.offset_data, m.size) for m in tar if m.isfile()]
        except (tarfile.TarError, OSError) as cause:
            raise ImageError(f"{source} is no uncompressed tar file: {cause}") from cause
        for name, offset, size in members:
            if Path(name).suffix.lower() in PICTURE_SUFFIXES:
                self._append(
                    f"{source}/{name}",
                    partial(_read_part, source, offset, size),
                )

    def _append(self, name: str, reader: Callable[[], np.ndarray]) -> None:
        self.names.append(name)
        self._readers.append(reader)


def with_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """`H W c` uint8 of 1 to 4 channels as 3, alpha dropped, or 4, opaque where it had none."""
    height, width, has = picture.shape
    colour = picture[:, :, :3] if has >= 3 else picture[:, :, :1].repeat(3, 2)
    if channels == 3:
        return np.ascontiguousarray(colour)
    alpha = picture[:, :, -1:] if has in (2, 4) else np.full((height, width, 1), 255, np.uint8)
    return np.concatenate([colour, alpha], 2)


def _read_part(path: Path, offset: int, size: int) -> np.ndarray:
    with path.open("rb") as file:
        file.seek(offset)
        return _read(file.read(size))


def _read(source: Path | bytes) -> np.ndarray:
    return image.to_uint8(image.as_picture(source))

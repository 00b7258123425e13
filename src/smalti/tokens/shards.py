"""Data sets of codes: Parquet shards that `datasets.load_dataset("parquet", ...)` reads.

    column    type          what
    codes     list<int32>   rows x columns codes of the FSQ tokenizer, row by row, 0 .. N - 1
    rows      int32         of codes
    columns   int32
    height    int32         of the picture, in texels
    width     int32
    caption   string        "" where there is none
    file      string        name within the folder

Codes, not ids: one data set serves every language model (`ImageVocabulary.sequence` makes the ids).
The schema's metadata holds, under "smalti", the tokenizer that made them.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smalti import image, tables, weights
from smalti.errors import FormatError, ImageError, OptionError
from smalti.extras import need
from smalti.files import MAX_PIXELS, PICTURE_SUFFIXES, files_in, text_of, write_atomically
from smalti.models.pictures import to_rgb
from smalti.tokens.coding import encode_pictures, load_tokenizer, square

if TYPE_CHECKING:
    import pyarrow

    from smalti.models.fsq import FsqAutoencoder

VERSION = 1
BATCH = 16  # pictures that are read and encoded together
CAPTIONS = ("txt", "folders", "none")


@dataclass(frozen=True)
class Source:
    """One picture of a data set to be."""

    path: Path
    name: str  # within the folder, with /
    caption: str


def sources_of(folder: str | Path, captions: str = "txt") -> list[Source]:
    """The pictures of a folder and the folders in it, by name, with their captions.

    Args:
        captions: "txt", the text file of the same name beside each picture, if there is one;
            "folders", the name of the picture's folder; "none"; or a .csv file with the columns
            file and caption, names as within the folder.

    Raises:
        OptionError: no folder, no picture in it, no such captions, or a picture that the .csv file
            names and that is not there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise OptionError(f"{folder} is no folder; shards are made of one")
    paths = files_in(folder, PICTURE_SUFFIXES)
    if not paths:
        raise OptionError(f"no {', '.join(PICTURE_SUFFIXES)} file in the folder {folder}")
    table: dict[str, str] = {}
    if captions.endswith(".csv"):
        rows = tables.read(Path(captions), ("file", "caption"))
        table = {row["file"]: row["caption"] for row in rows}
        names = {path.relative_to(folder).as_posix() for path in paths}
        if missing := sorted(table.keys() - names):
            raise OptionError(f"{captions} names {missing[0]}, which is not in {folder}")
    elif captions not in CAPTIONS:
        raise OptionError(f"captions {captions!r}; known: {', '.join(CAPTIONS)}, or a .csv file")
    found = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        text = table.get(name, "")
        if captions == "folders":
            text = path.parent.relative_to(folder).name
        elif captions == "txt" and (beside := path.with_suffix(".txt")).is_file():
            text = text_of(beside.read_bytes()).strip()
        found.append(Source(path, name, text))
    return found


def write_shards(
    sources: Sequence[Source],
    out: str | Path,
    *,
    tokenizer: str | Path = "fsq-1m",
    per_shard: int = 1000,
    side: int | None = None,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    on_step: Callable[[int, int, str], None] = lambda *_: None,
    on_error: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Write OUT/tokens-00000-of-00007.parquet and so on; the same call again goes on.

    A shard is written whole or not at all, and one that is there of the same pictures, captions
    and settings is kept, so an interrupted run loses one shard at most. Unreadable pictures are
    left out and reported.

    Args:
        per_shard: pictures in each, the last may have fewer.
        side: bring the middle square of each picture to side x side texels.
        on_step: called with (done, total, what is being done).
        on_error: called with a sentence on each picture that is left out.

    Raises:
        OptionError: a number out of range, or shards of another run in the folder.
        WeightsError: no such weights.
    """
    if per_shard < 1:
        raise OptionError(f"{per_shard} pictures a shard; at least 1")
    parquet, out = _parquet(), Path(out)
    model = load_tokenizer(tokenizer, device=device)
    count = -(-len(sources) // per_shard)
    paths = [out / f"tokens-{i:05}-of-{count:05}.parquet" for i in range(count)]
    if others := sorted(set(out.glob("tokens-*.parquet")) - set(paths)):
        raise OptionError(f"{out} holds {others[0].name} of another run; name an empty folder")
    made = {
        "version": VERSION,
        "weights": Path(tokenizer).stem,
        "sha256": weights.sha256(weights.find(tokenizer)).hex(),
        "levels": [*model.config.levels],
        "factor": model.factor,
        "side": side,
    }
    out.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        first = number * per_shard
        part = sources[first : first + per_shard]
        made["sources"] = _digest(part)
        if path.is_file() and read_metadata(path) == made:
            on_step(first + len(part), len(sources), path.name)
            continue
        rows: list = []
        for start in range(0, len(part), BATCH):
            rows += _encode(part[start : start + BATCH], model, side, max_pixels, on_error)
            on_step(first + min(start + BATCH, len(part)), len(sources), path.name)
        buffer = io.BytesIO()
        parquet.write_table(_table(rows, made), buffer, compression="zstd")
        write_atomically(path, buffer.getvalue())
    return paths


def read_metadata(path: Path) -> dict[str, Any] | None:
    """What a shard says of its making: version, weights, sha256, levels, factor, side, sources.

    None for a Parquet file of somebody else.

    Raises:
        FormatError: no Parquet file.
    """
    parquet = _parquet()
    import pyarrow

    try:
        text = (parquet.read_schema(path).metadata or {}).get(b"smalti")
    except (pyarrow.ArrowException, OSError) as cause:
        raise FormatError(f"{path} is no Parquet file: {str(cause).rstrip('.')}") from cause
    try:
        return None if text is None else dict(json.loads(text))
    except (ValueError, TypeError, RecursionError) as cause:
        raise FormatError(f"{path} is a shard whose description is damaged") from cause


def _digest(part: Sequence[Source]) -> str:
    """Changes with any picture's name, size or date, and any caption."""
    told = [(s.name, s.caption, s.path.stat().st_size, s.path.stat().st_mtime_ns) for s in part]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _encode(
    part: Sequence[Source],
    model: "FsqAutoencoder",
    side: int | None,
    max_pixels: int,
    on_error: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    read: list[tuple[Source, np.ndarray]] = []
    for source in part:
        try:
            x = to_rgb(image.load(source.path, max_pixels=max_pixels))
        except (ImageError, OSError) as error:
            text = str(error)
            on_error(text if source.path.name in text else f"{source.path}: {text}")
            continue
        read.append((source, x if side is None else square(x, side)))
    codes = encode_pictures(model, [x for _, x in read])
    for (source, x), grid in zip(read, codes, strict=True):
        yield {
            "codes": grid.flatten().tolist(),
            "rows": grid.shape[0],
            "columns": grid.shape[1],
            "height": x.shape[0],
            "width": x.shape[1],
            "caption": source.caption,
            "file": source.name,
        }


def _table(rows: list[dict[str, Any]], made: dict[str, Any]) -> "pyarrow.Table":
    import pyarrow

    number = pyarrow.int32()
    schema = pyarrow.schema(
        [
            ("codes", pyarrow.list_(number)),
            *((name, number) for name in ("rows", "columns", "height", "width")),
            ("caption", pyarrow.string()),
            ("file", pyarrow.string()),
        ],
        metadata={"smalti": json.dumps(made)},
    )
    return pyarrow.Table.from_pylist(rows, schema=schema)


def _parquet() -> Any:
    return need("pyarrow.parquet", extra="tokens", what="a data set of codes")

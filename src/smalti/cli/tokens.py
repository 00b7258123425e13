"""`smalti tokens` and `smalti untokens`: pictures to ids of a language model's vocabulary."""

import sys
from pathlib import Path

from smalti.cli import measured, show, streams
from smalti.cli.paths import check_new_picture
from smalti.errors import OptionError
from smalti.files import MAX_PIXELS


def tokens(
    picture: Path,
    /,
    *,
    weights: str = "fsq-1m",
    out: Path | None = None,
    shards: Path | None = None,
    captions: str = "txt",
    per_shard: int = 1000,
    side: int | None = None,
    text_size: int = 0,
    ascii: bool = False,
    device: str = "cpu",
    max_pixels: int = MAX_PIXELS,
    quiet: bool = False,
    json: bool = False,
    force: bool = False,
) -> int:
    """A picture as ids of a language model's vocabulary.

    With --shards a whole folder becomes a data set. The ids go to standard output, or to a file with --out.

    Args:
        picture: A picture; - is standard input. With --shards, a folder of pictures.
        weights: An FSQ tokenizer: its name, file, folder, or repository on the hub.
        out: Write the ids to this file, .json, .npy or .txt.
        shards: Write Parquet shards of codes and captions to this folder; the same command goes on
            after an interruption.
        captions: Of shards: txt (beside each picture), folders (their names), none, or a .csv file
            with the columns file and caption.
        per_shard: Pictures in each shard.
        side: First bring the middle square of the picture to this many texels.
        text_size: The id of code 0: how many ids the language model's own tokenizer has.
        ascii: Draw the picture of the codes in letters instead of printing ids.
        device: Where models run: cpu, cuda or mps.
        max_pixels: Refuse pictures of more texels than this.
        quiet: Print nothing but errors and ids, and measure nothing.
        json: Of --out: print an object.
        force: Replace a file of ids that exists.

    Examples:
        smalti tokens a.png --out a.json
        smalti tokens a.png --ascii
        smalti tokens pictures --shards codes --captions folders
    """
    if shards is not None:
        if out is not None or ascii or text_size:
            raise OptionError(
                "--shards takes no --out, --ascii or --text-size: shards hold the codes themselves"
            )
        return _shards(picture, shards, captions, weights, per_shard, side, device, max_pixels)
    if out is not None:
        streams.check_output(out, force=force)
    if picture.is_dir():
        raise OptionError(f"{picture} is a folder; name one picture, or add --shards OUT")
    from smalti.models.pictures import to_rgb
    from smalti.tokens import ImageVocabulary, coding, files
    from smalti.weights import find, sha256

    if out is not None and out.suffix not in files.WRITTEN:
        raise OptionError(f"{out} is no file of ids; known: {', '.join(files.WRITTEN)}")
    x = to_rgb(streams.load(picture, max_pixels=max_pixels))
    if side is not None:
        x = coding.square(x, side)
    model = coding.load_tokenizer(weights, device=device)
    grid = coding.encode_pictures(model, [x])[0]
    # without text, code 0 is id 0
    vocabulary = ImageVocabulary(model.config.levels, text_size)
    ids = vocabulary.sequence(grid).tolist()
    if ascii:
        show.note(coding.ascii_preview(coding.decode_picture(model, grid)))
    if out is None:
        if not ascii:
            sys.stdout.write(" ".join(str(number) for number in ids) + "\n")
        return 0
    held = files.TokenFile(
        ids,
        text_size=text_size,
        levels=model.config.levels,
        weights=weights,
        sha256=sha256(find(weights)).hex(),
        rows=grid.shape[0],
        columns=grid.shape[1],
        height=x.shape[0],
        width=x.shape[1],
    )
    streams.write(out, files.to_bytes(held, out.suffix))
    near, facts = measured.quality(
        x,
        lambda: coding.decode_picture(model, grid, height=x.shape[0], width=x.shape[1]),
        metrics=False,
        quiet=quiet,
    )
    name, (rows, columns) = streams.input_name(picture), grid.shape
    show.Printer(quiet, json).tell(
        f"{name} -> {out}: {len(ids):,} ids, {columns} x {rows} codes of {vocabulary.codes:,}{near}",
        {
            "input": name,
            "output": str(out),
            "ids": len(ids),
            "columns": columns,
            "rows": rows,
            "codes": vocabulary.codes,
            **facts,
        },
    )
    return 0


def untokens(
    ids: Path,
    picture: Path,
    /,
    *,
    weights: str | None = None,
    text_size: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
    suffix: str = ".png",
    device: str = "cpu",
    force: bool = False,
) -> int:
    """Draw the first picture of a file of ids.

    A malformed picture is repaired, and what was wrong is told.

    Args:
        ids: A .json, .npy or .txt file.
        picture: The picture to write; - is standard output.
        weights: The FSQ tokenizer (default: that of the file, or fsq-1m).
        text_size: The id of code 0 (default: as the file says, or 0).
        rows: Of codes, if you know better than the ids.
        columns: Of codes, if you know better than the ids.
        suffix: Format of standard output.
        device: Where models run: cpu, cuda or mps.
        force: Replace a picture that exists.

    Examples:
        smalti untokens a.json b.png
    """
    check_new_picture(picture, force=force, suffix=suffix)
    for name, count in (("rows", rows), ("columns", columns)):
        if count is not None and count < 1:
            raise OptionError(f"--{name} {count}; a picture has at least 1")
    from smalti.tokens import ImageVocabulary, coding, files
    from smalti.weights import bundled, find, sha256

    held = files.read(ids)
    name = weights or held.weights or "fsq-1m"
    if weights is None and name not in bundled():
        raise OptionError(
            f"{ids} names the weights {name!r}, which are not bundled; --weights says that they "
            "are meant"
        )
    model = coding.load_tokenizer(name, device=device)
    if held.levels not in (None, model.config.levels):
        raise OptionError(f"{ids} has codes of levels {held.levels}, {name} {model.config.levels}")
    if held.sha256 not in (None, sha256(find(name)).hex()):
        show.error(f"{ids}: made by other weights of the name {name}; colours may be wrong")
    first = held.text_size or 0 if text_size is None else text_size
    vocabulary = ImageVocabulary(model.config.levels, first)
    found = vocabulary.picture(held.ids, rows=rows, columns=columns)
    for problem in found.problems:
        show.error(f"{ids}: {problem}")
    if not found.indices.numel():
        return 1
    size: tuple[int | None, int | None] = (None, None)
    if tuple(found.indices.shape) == (held.rows, held.columns):
        size = (held.height, held.width)
    x = coding.decode_picture(model, found.indices, height=size[0], width=size[1])
    streams.save(x, picture, suffix)
    drawn = f"{x.shape[1]} x {x.shape[0]}, {len(found.problems)} repairs"
    show.note(f"{ids} -> {streams.output_name(picture)}: {drawn}", picture)
    return 0


def _shards(
    folder: Path,
    out: Path,
    captions: str,
    weights: str,
    per_shard: int,
    side: int | None,
    device: str,
    max_pixels: int,
) -> int:
    from smalti.tokens.shards import sources_of, write_shards

    sources = sources_of(folder, captions)
    unread: list[str] = []

    def on_error(text: str) -> None:
        unread.append(text)
        show.error(text)

    with show.progress() as bar:
        paths = write_shards(
            sources,
            out,
            tokenizer=weights,
            per_shard=per_shard,
            side=side,
            device=device,
            max_pixels=max_pixels,
            on_step=bar,
            on_error=on_error,
        )
    captioned = sum(bool(source.caption) for source in sources)
    show.note(
        f"{folder} -> {out}: {len(sources) - len(unread):,} pictures, {captioned:,} captions, "
        f"shards {len(paths)}"
    )
    return 1 if unread else 0

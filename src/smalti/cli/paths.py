"""From what the user names to pairs of input and output."""

from collections.abc import Sequence
from pathlib import Path

from smalti.cli import streams
from smalti.errors import OptionError
from smalti.files import SMT, WRITTEN_SUFFIXES, files_in
from smalti.registry import FOREIGN

FILES = (SMT, *FOREIGN)


def check_new_picture(picture: Path, *, force: bool, suffix: str) -> None:
    """Refuse a name that is no picture's, or a picture that exists, before anything is made.

    Args:
        suffix: of a picture on standard output.

    Raises:
        OptionError: either.
    """
    written = suffix if streams.is_pipe(picture) else picture.suffix.lower()
    if written not in WRITTEN_SUFFIXES:
        what = f"suffix {suffix!r}" if streams.is_pipe(picture) else f"{picture}"
        raise OptionError(f"{what} is no picture to write; known: {' '.join(WRITTEN_SUFFIXES)}")
    streams.check_output(picture, force=force)


def plan(
    inputs: Sequence[Path],
    out: Path | None,
    *,
    force: bool,
    read: tuple[str, ...],
    written: tuple[str, ...],
    suffix: str,
    beside: str = "",
) -> list[tuple[Path, Path]]:
    """Input -> output of every file, checked before anything is written.

    Args:
        inputs: files, folders and -; a last one that ends in one of `written` or is -, and is not
            the only one, is the output. What comes from standard input goes to standard output
            where nothing else is said.
        out: folder for the outputs, or beside each input.
        force: allow outputs that exist.
        read: suffixes to take from folders.
        written: suffixes that an output may have.
        suffix: of outputs that were not named.
        beside: goes before it where an output lies beside its input, as its original may.

    Raises:
        OptionError: no input, an output for several inputs, two inputs for one output, an output
            that exists, an output that is its own input, a pipe without an output.
    """
    named = None
    if len(inputs) == 1 and streams.is_stream(inputs[0]) and not out:
        inputs = (*inputs, streams.STREAM)
    if len(inputs) > 1 and _is_output(inputs[-1], written):
        *inputs, named = inputs
    elif len(inputs) > 1 and inputs[-1].suffix and not inputs[-1].exists():
        raise OptionError(f"{inputs[-1]} is not there to read; outputs end in {' '.join(written)}")
    if suffix not in written:
        raise OptionError(f"suffix {suffix!r}; known: {', '.join(written)}")
    if named and out:
        raise OptionError(f"either {named} as the output or --out {out}, not both")
    sources = expand(inputs, read)
    if named:
        if len(sources) != 1:
            raise OptionError(f"{len(sources)} inputs and one output, {named}; use --out FOLDER")
        jobs = [(sources[0][0], named)]
    else:
        for path, _ in sources:
            if streams.is_pipe(path) and not out:
                raise OptionError(f"{path} has no place for an output beside it; name the output")
        jobs = [
            (path, (out / inner).with_suffix(suffix) if out else path.with_suffix(beside + suffix))
            for path, inner in sources
        ]
    _check(jobs, force=force)
    return jobs


def expand(inputs: Sequence[Path], read: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """Files and folders -> (file, name within its folder), folders searched recursively.

    Raises:
        OptionError: nothing was named, a name is not there, or a folder holds nothing to read.
    """
    if not inputs:
        raise OptionError("name at least one file or folder; --help shows how")
    found = []
    for path in inputs:
        if streams.is_stream(path):
            found.append((path, Path("stdin")))
            continue
        if not path.exists():
            raise OptionError(f"{path}: no such file or folder")
        if not path.is_dir():
            found.append((path, Path(path.name)))
            continue
        inside = files_in(path, read)
        if not inside:
            raise OptionError(f"no {', '.join(read)} file in the folder {path}")
        found += [(p, p.relative_to(path)) for p in inside]
    return found


def _is_output(path: Path, written: tuple[str, ...]) -> bool:
    return streams.is_stream(path) or (path.suffix.lower() in written and not path.is_dir())


def _check(jobs: list[tuple[Path, Path]], *, force: bool) -> None:
    first: dict[str, Path] = {}
    for source, target in jobs:
        if streams.is_pipe(target):
            streams.check_output(target, force=force)
            continue
        if target.resolve() == source.resolve():
            raise OptionError(f"{target} would be written over its own input")
        key = str(target.resolve()).casefold()  # some file systems know no other difference
        if (other := first.setdefault(key, source)) != source:
            raise OptionError(f"{other} and {source} would both be written to {target}")
        streams.check_output(target, force=force)

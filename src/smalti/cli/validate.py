"""`smalti validate`: what is wrong with texture files."""

from pathlib import Path

from smalti.cli import paths, show, streams
from smalti.errors import SmaltiError


def validate(
    inputs: tuple[Path, ...], /, *, max_bytes: int = 2**30, json: bool = False, quiet: bool = False
) -> int:
    """What is wrong with .dds and .ktx2 files: structure, sizes, flags that their texels contradict.

    The exit code is 1 where there is an error; a warning is read by most, or just looks odd.

    Args:
        inputs: .dds and .ktx2 files, and folders of them; - is standard input.
        max_bytes: Refuse compressed levels that take more bytes than this.
        json: Print an object a file.
        quiet: Print nothing but what is wrong.

    Examples:
        smalti validate a.ktx2
        smalti validate textures --quiet
    """
    from smalti.textures import SUFFIXES, validate_texture

    failures = 0
    for source, _ in paths.expand(inputs, paths.FILES):
        if source.suffix.lower() not in SUFFIXES and not streams.is_pipe(source):
            continue
        name = streams.input_name(source)
        try:
            found = validate_texture(streams.read(source), max_bytes=max_bytes)
        except BrokenPipeError:
            raise
        except (SmaltiError, OSError) as error:
            failures += 1
            show.error(f"{name}: {error}")
            continue
        failures += any(each.kind == "error" for each in found)
        lines = [f"{name}: {'nothing wrong' if not found else ''}".rstrip()]
        lines += [f"  {each.kind:<9} {each.text}" for each in found]
        if found or not quiet:
            facts = {"file": name, "findings": [each._asdict() for each in found]}
            show.Printer(json=json).tell("\n".join(lines), facts)
    return 1 if failures else 0

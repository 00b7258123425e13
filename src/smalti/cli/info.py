"""`smalti info`: what files hold."""

from pathlib import Path
from typing import TYPE_CHECKING

from smalti import geometry
from smalti.cli import paths, show, streams
from smalti.errors import SmaltiError
from smalti.settings import changed

if TYPE_CHECKING:
    from smalti.about import FileInfo
    from smalti.textures import Texture


def info(inputs: tuple[Path, ...], /) -> int:
    """What files hold, section by section.

    Nothing is decoded.

    Args:
        inputs: .smt, .dds and .ktx2 files, and folders of them; - is standard input.

    Examples:
        smalti info a.smt
        smalti info compressed
    """
    failures = 0
    for source, _ in paths.expand(inputs, paths.FILES):
        try:
            _tell(streams.input_name(source), streams.read(source))
        except BrokenPipeError:
            raise
        except (SmaltiError, OSError) as error:
            failures += 1
            show.error(f"{streams.input_name(source)}: {error}")
    return 1 if failures else 0


def _tell(name: str, data: bytes) -> None:
    from smalti import registry

    if registry.is_foreign(data):
        from smalti.textures import read_texture

        _tell_texture(name, read_texture(data), len(data))
    else:
        from smalti.about import info

        _tell_file(name, info(data))


def _tell_file(name: str, held: "FileInfo") -> None:
    channels, height, width = held.size
    texels = height * width
    show.note(
        f"{name}: {held.codec}, {width} x {height} {geometry.CHANNELS[channels]}, "
        f"{held.total:,} bytes, {held.bpp:.3f} bpp"
    )
    set_ = {key: text for key, text in changed(held.config).items() if key != "weights"}
    texts = ", ".join(f"{key}={text}" for key, text in set_.items())
    show.note(f"  settings     {texts or 'all at their defaults'}")
    if held.weights:
        show.note(f"  weights      SHA-256 {held.weights}...")
    parts = list(zip(held.names, held.sections, strict=True))
    parts.append(("envelope", held.total - sum(held.sections)))
    for part, length in parts:
        show.note(f"  {part:<14} {length:>10,} bytes  {8 * length / texels:8.3f} bpp")


def _tell_texture(name: str, held: "Texture", total: int) -> None:
    surfaces = held.layers * held.faces
    show.note(f"{name}: {held.summary}, {total:,} bytes")
    for level, blocks in enumerate(held.levels):
        height, width = held.size(level)
        each = f", {surfaces} surfaces" if surfaces > 1 else ""
        show.note(f"  level {level:<8} {len(blocks):>10,} bytes  {width} x {height}{each}")
    show.note(f"  {'in memory':<14} {held.total_bytes:>10,} bytes")

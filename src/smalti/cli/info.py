"""`smalti info`: what files hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti import geometry
from smalti.cli import paths, show, streams
from smalti.errors import SmaltiError

if TYPE_CHECKING:
    from smalti.about import FileInfo
    from smalti.textures import Texture


def info(inputs: tuple[Path, ...], /, *, json: bool = False) -> int:
    """What files hold, section by section.

    Nothing is decoded.

    Args:
        inputs: .smt, .dds and .ktx2 files, and folders of them; - is standard input.
        json: Print an object a file.

    Examples:
        smalti info a.smt
        smalti info compressed
    """
    failures = 0
    for source, _ in paths.expand(inputs, paths.FILES):
        try:
            lines, facts = _told(streams.input_name(source), streams.read(source))
            show.Printer(json=json).tell("\n".join(lines), facts)
        except BrokenPipeError:
            raise
        except (SmaltiError, OSError) as error:
            failures += 1
            show.error(f"{streams.input_name(source)}: {error}")
    return 1 if failures else 0


def _told(name: str, data: bytes) -> tuple[list[str], dict[str, Any]]:
    """Lines for people, and the same by name."""
    from smalti import registry

    if registry.is_foreign(data):
        from smalti.textures import read_texture

        return _of_texture(name, read_texture(data), len(data))
    from smalti.about import info

    return _of_file(name, info(data))


def _of_file(name: str, held: "FileInfo") -> tuple[list[str], dict[str, Any]]:
    from smalti.settings import changed

    channels, height, width = held.size
    texels = height * width
    size = f"{width} x {height} {geometry.CHANNELS[channels]}"
    lines = [f"{name}: {held.codec}, {size}, {held.total:,} bytes, {held.bpp:.3f} bpp"]
    set_ = {key: text for key, text in changed(held.config).items() if key != "weights"}
    texts = ", ".join(f"{key}={text}" for key, text in set_.items())
    lines.append(f"  settings     {texts or 'all at their defaults'}")
    if held.weights:
        lines.append(f"  weights      SHA-256 {held.weights}...")
    parts = list(zip(held.names, held.sections, strict=True))
    parts.append(("envelope", held.total - sum(held.sections)))
    for part, length in parts:
        lines.append(f"  {part:<14} {length:>10,} bytes  {8 * length / texels:8.3f} bpp")
    return lines, {
        "file": name,
        "codec": held.codec,
        "width": width,
        "height": height,
        "channels": channels,
        "bytes": held.total,
        "bpp": round(held.bpp, 4),
        "settings": set_,
        "weights": held.weights or None,
        "sections": dict(parts),
    }


def _of_texture(name: str, held: "Texture", total: int) -> tuple[list[str], dict[str, Any]]:
    surfaces = held.layers * held.faces
    lines, levels = [f"{name}: {held.summary}, {total:,} bytes"], []
    for level, blocks in enumerate(held.levels):
        height, width = held.size(level)
        each = f", {surfaces} surfaces" if surfaces > 1 else ""
        lines.append(f"  level {level:<8} {len(blocks):>10,} bytes  {width} x {height}{each}")
        levels.append({"width": width, "height": height, "bytes": len(blocks)})
    lines.append(f"  {'in memory':<14} {held.total_bytes:>10,} bytes")
    return lines, {
        "file": name,
        "format": held.format,
        "srgb": held.srgb,
        "premultiplied": held.premultiplied,
        "width": held.width,
        "height": held.height,
        "layers": held.layers,
        "faces": held.faces,
        "bytes": total,
        "in_memory": held.total_bytes,
        "levels": levels,
    }

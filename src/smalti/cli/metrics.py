"""`smalti metrics`: how far one picture is from another."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti.cli import measured, show, streams

if TYPE_CHECKING:
    from smalti.eval.metrics import Metrics


def metrics(original: Path, picture: Path, /, *, json: bool = False) -> int:
    """How far a picture, or a compressed file, is from its original.

    PSNR, SSIM and MS-SSIM of the 8-bit pictures; with transparency of colour times alpha, and of
    alpha. Grey beside colour counts as colour, what has no alpha as opaque.

    Args:
        original: A picture; - is standard input.
        picture: A picture, or a .smt, .dds or .ktx2 file.
        json: Print an object.

    Examples:
        smalti metrics a.png b.png
        smalti metrics a.png a.smt
    """
    from smalti import api

    found = api.metrics(_input(original), _input(picture))
    names = {"original": streams.input_name(original), "picture": streams.input_name(picture)}
    printer = show.Printer(json=json)
    printer.tell("\n".join(_lines(found, **names)), {**names, **_facts(found)})
    return 0


def _input(path: Path) -> Any:
    return streams.read(path) if streams.is_pipe(path) else path


def _lines(found: "Metrics", original: str, picture: str) -> list[str]:
    rows = [("PSNR", measured.decibels(found.psnr))]
    if len(found.channels) > 1:
        rows += [(f"  {name}", measured.decibels(psnr)) for name, psnr in found.channels.items()]
    rows += [
        ("SSIM", f"{found.ssim:.4f}".replace("nan", "- (under 11 texels)")),
        ("MS-SSIM", f"{found.ms_ssim:.4f}".replace("nan", "- (under 176 texels)")),
        ("largest error", f"{found.largest} of 255"),
    ]
    if "alpha" in found.channels:
        rows += [
            ("opaque texels made translucent", f"{100 * found.opaque_lost:.2f} %"),
            ("clear texels made visible", f"{100 * found.clear_lost:.2f} %"),
        ]
    width = max(len(name) for name, _ in rows) + 2
    return [f"{original}, {picture}", *[f"  {name:<{width}}{text}" for name, text in rows]]


def _facts(found: "Metrics") -> dict[str, Any]:
    facts = dataclasses.asdict(found)
    facts["channels"] = {
        name: None if psnr == float("inf") else psnr for name, psnr in found.channels.items()
    }
    return facts

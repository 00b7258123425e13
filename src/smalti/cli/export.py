"""`smalti export`: trained models for other runtimes."""

from pathlib import Path
from typing import Literal

from smalti.cli import show


def export(
    model: str,
    out: Path,
    /,
    *,
    format: Literal["onnx"] = "onnx",
    int8: bool = False,
    force: bool = False,
) -> int:
    """Write a trained model's encoder and decoder as ONNX files.

    A file says in its metadata what it takes. Beside them lies run_onnx.py, which puts a picture
    through both and needs onnxruntime, numpy and Pillow alone.

    Args:
        model: A bundled set of weights, a file, a folder, or a repository or file of the hub.
        out: Folder for the files.
        format: Of the files.
        int8: 8-bit arithmetic, a quarter of the bytes and faster; for RGBA models.
        force: Replace files that exist.

    Examples:
        smalti export rgba-boxes onnx --int8
    """
    from smalti.extras import need_torch

    need_torch(extra="onnx", what="export to ONNX")
    from smalti.export.onnx import write_onnx

    for path in write_onnx(model, out, int8="static" if int8 else None, force=force):
        show.note(f"{path}, {path.stat().st_size:,} bytes")
    return 0

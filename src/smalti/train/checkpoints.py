"""Checkpoints: written whole or not at all, checked when read, the last two kept.

    FOLDER/checkpoint-00000050.pt    a zip file of torch's, with a CRC-32 for each tensor

A kill at any moment leaves at least one whole checkpoint once the first is written; if the newest
is damaged, the one before it is used.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from smalti.errors import OptionError
from smalti.files import write_atomically

KEPT = 2


def store(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of a step, then remove those before the last two."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = folder / f"checkpoint-{step:08d}.pt"
    write_atomically(path, buffer.getvalue())
    for old in stored(folder)[:-KEPT]:
        old.unlink()
    return path


def newest(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The state of the newest whole checkpoint; None where there is none at all.

    Raises:
        OptionError: there are checkpoints, and each is damaged.
    """
    paths = stored(folder)
    for path in reversed(paths):
        if _is_whole(path):
            return torch.load(path, weights_only=True, map_location=device)
    if paths:
        raise OptionError(
            f"every checkpoint in {folder} is damaged ({', '.join(p.name for p in paths)}); "
            "choose another folder (--out), or delete them to begin anew"
        )
    return None


def stored(folder: Path) -> list[Path]:
    """Checkpoint files, oldest first."""
    return sorted(folder.glob("checkpoint-*.pt"))


def _is_whole(path: Path) -> bool:
    """Whether every part has its CRC-32; torch itself does not look at them."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError):
        return False

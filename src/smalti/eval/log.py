"""results.jsonl: what was measured and under which conditions, one JSON object a line.

    {"smalti": "0.1.0", "date": ..., "processor": ..., ...}    the conditions of the lines below
    {"picture": "cat", "contender": "bc7", "bytes": ..., ...}  one picture through one contender

Lines are only ever appended, so that a comparison may be interrupted at any time; of two lines on
the same pair the later counts. A number that does not exist is null, an infinite one "inf".
"""

import dataclasses
import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import PIL

import smalti
from smalti import native
from smalti.eval.results import Row

FILE = "results.jsonl"

_FIELDS = {f.name: f.type for f in dataclasses.fields(Row)}


class Log:
    """The lines of a comparison's folder, and where further ones go."""

    def __init__(self, folder: Path, device: str) -> None:
        self._folder = folder
        self._device = device
        self._path = folder / FILE
        self._conditions: list[dict[str, Any]] = []  # of every run so far
        self._rows: dict[tuple[str, str], tuple[Row, int]] = {}  # with the run's number
        self._started = False  # this run's conditions are in the file
        self._read()

    def find(self, picture: str, sha256: str, contender: str, version: str) -> Row | None:
        """The row of an earlier run, if it still holds and its compressed file is still there."""
        row, _ = self._rows.get((picture, contender), (None, 0))
        if row is None or row.error or (row.sha256, row.version) != (sha256, version):
            return None
        path = self._folder / row.file
        if not path.is_file() or path.stat().st_size != row.bytes:
            return None
        return row if hashlib.sha256(path.read_bytes()).hexdigest() == row.file_sha256 else None

    def append(self, row: Row) -> None:
        """Add a row to the file, at once."""
        lines = []
        if not self._started:
            self._conditions.append(conditions(self._device))
            lines.append(self._conditions[-1])
            self._started = True
        lines.append(_to_json(row))
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))
        self._rows[row.picture, row.contender] = row, len(self._conditions) - 1

    def conditions_of(self, rows: Sequence[Row]) -> tuple[dict[str, Any], ...]:
        """The conditions of the runs that made these rows, latest last."""
        runs = {self._rows[row.picture, row.contender][1] for row in rows}
        return tuple(self._conditions[run] for run in sorted(runs))

    def _read(self) -> None:
        if not self._path.is_file():
            return
        text = self._path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):  # the end of a run that was killed while writing
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")
        for line in text.splitlines():
            try:
                content = json.loads(line)
            except json.JSONDecodeError:
                continue
            if "smalti" in content:
                self._conditions.append(content)
            elif content.keys() == _FIELDS.keys() and self._conditions:
                row = _from_json(content)
                self._rows[row.picture, row.contender] = row, len(self._conditions) - 1


def conditions(device: str) -> dict[str, Any]:
    """Under which conditions numbers are measured here and now."""
    found = {
        "smalti": smalti.__version__,
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": native.threads(),
        "instruction_set": native.instruction_set(),
        "device": _device(device),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
    return {key: value for key, value in found.items() if value is not None}


def _processor() -> str:
    """The processor's name; only Linux tells Python."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    """Of an optional package; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device


def _commit() -> str:
    """The commit of the source, where smalti runs from its own checkout; "+" for changes."""
    package = Path(smalti.__file__).resolve().parent
    if not (package.parents[1] / ".git").exists():
        return ""
    try:
        commit = _git(package, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(package, "status", "--porcelain", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=10
    ).stdout.strip()


def _to_json(row: Row) -> dict[str, Any]:
    return {key: json_number(value) for key, value in dataclasses.asdict(row).items()}


def json_number(value: Any) -> Any:
    """NaN as null and infinity as "inf": JSON has neither."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf"
    return value


def _from_json(content: dict[str, Any]) -> Row:
    return Row(**{key: _number(value, _FIELDS[key]) for key, value in content.items()})


def _number(value: Any, kind: Any) -> Any:
    return (math.nan if value is None else float(value)) if kind is float else value

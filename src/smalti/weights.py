"""Trained weights: where they lie, and the hash by which a file names them."""

import hashlib
import json
import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti.container import HASH_BYTES
from smalti.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SEARCH_PATH_VARIABLE = "SMALTI_WEIGHTS"  # folders of further .safetensors files


def bundled() -> dict[str, Path]:
    """Name -> file of every set of weights in the package."""
    folder = Path(str(files("smalti") / "assets" / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find(name: str | Path) -> Path:
    """The file of a bundled set of weights, or the path itself if it is a file.

    Raises:
        WeightsError: neither is there.
    """
    path = Path(name)
    if str(name) in bundled():
        return bundled()[str(name)]
    if path.suffix == ".safetensors" and path.is_file():
        return path
    raise WeightsError(
        f"no weights {str(name)!r}: neither a .safetensors file nor one of the bundled sets "
        f"({', '.join(bundled()) or 'none'})"
    )


def find_by_hash(digest: bytes, named: str | Path | None = None) -> Path:
    """The weights whose SHA-256 starts with `digest`: `named`, bundled, or in SMALTI_WEIGHTS.

    Raises:
        WeightsError: none has that hash.
    """
    candidates = [find(named)] if named else []
    candidates += bundled().values()
    for folder in os.environ.get(SEARCH_PATH_VARIABLE, "").split(os.pathsep):
        if folder:
            candidates += [p for p in sorted(Path(folder).glob("*.safetensors")) if p.is_file()]
    for path in candidates:
        if sha256(path)[:HASH_BYTES] == digest:
            return path
    raise WeightsError(
        f"the weights {digest.hex()} that this file was made with are not among the "
        f"{len(candidates)} sets here; name their .safetensors file with weights= (--weights), or "
        f"a folder with it in {SEARCH_PATH_VARIABLE}"
    )


def sha256(path: Path) -> bytes:
    """SHA-256 of a file, 32 bytes; read once as long as the file does not change."""
    return _sha256(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _modified: int) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def read(path: Path) -> tuple[dict[str, Any], dict[str, "Tensor"]]:
    """What `Model.save_pretrained` wrote: {"model": ..., "config": ...}, and the tensors.

    Raises:
        WeightsError: no safetensors file, a damaged one, or one without our metadata.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            metadata = dict(json.loads((stored.metadata() or {})["smalti"]))
            return metadata, {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as cause:
        raise WeightsError(f"{path.name} is no readable safetensors file: {cause}") from cause
    except (KeyError, ValueError, TypeError) as cause:
        raise WeightsError(f"{path.name} does not say which model its weights are of") from cause

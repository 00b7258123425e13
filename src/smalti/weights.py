"""Trained weights: where they lie, and the hash by which a file names them."""

import contextlib
import hashlib
import json
import os
import re
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti.container import HASH_BYTES
from smalti.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

SEARCH_PATH_VARIABLE = "SMALTI_WEIGHTS"  # folders of further .safetensors files
MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"  # of a folder or repository
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name


def bundled() -> dict[str, Path]:
    """Name -> file of every set of weights in the package."""
    folder = Path(str(files("smalti") / "assets" / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find(name: str | Path) -> Path:
    """The file of a set of weights.

    Args:
        name: a bundled set ("fsq-1m"), a .safetensors file, a folder with model.safetensors, or a
            repository of the Hugging Face hub ("owner/name"), which is downloaded and kept.

    Raises:
        WeightsError: none of these is there.
    """
    path = Path(name)
    if str(name) in bundled():
        return bundled()[str(name)]
    if path.suffix == ".safetensors" and path.is_file():
        return path
    if path.is_dir():
        if (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        raise WeightsError(f"the folder {path} has no {MODEL_FILE}; name one with it, or a file")
    if isinstance(name, str) and REPOSITORY.fullmatch(name) and path.suffix != ".safetensors":
        return _from_hub(name)
    raise WeightsError(
        f"no weights {str(name)!r}: neither a .safetensors file, nor a folder with one, nor a "
        f"repository owner/name, nor one of the bundled sets ({', '.join(bundled()) or 'none'})"
    )


def _from_hub(repository: str) -> Path:
    """The weights of a repository, from the hub or the cache of an earlier download."""
    import huggingface_hub

    try:
        with contextlib.suppress(huggingface_hub.errors.RemoteEntryNotFoundError):
            huggingface_hub.hf_hub_download(repository, CONFIG_FILE)
        return Path(huggingface_hub.hf_hub_download(repository, MODEL_FILE))
    except Exception as cause:  # of any of the layers of a download
        reason = str(cause).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        raise WeightsError(
            f"no folder {repository}, and the Hugging Face hub does not give its {MODEL_FILE}: "
            f"{reason or type(cause).__name__}"
        ) from cause


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

    A file without our metadata is read with the config.json beside it, as
    `huggingface_hub.PyTorchModelHubMixin` writes it; "model" is None if that does not say.

    Raises:
        WeightsError: no safetensors file, a damaged one, or one that nothing describes.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            text = (stored.metadata() or {}).get("smalti")
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as cause:
        raise WeightsError(f"{path.name} is no readable safetensors file: {cause}") from cause
    try:
        if text is not None:
            return dict(json.loads(text)), tensors
        config = dict(json.loads(path.with_name(CONFIG_FILE).read_text()))
        return {"model": config.pop("model", None), "config": config}, tensors
    except (OSError, ValueError, TypeError) as cause:
        raise WeightsError(f"{path.name} does not say which model its weights are of") from cause

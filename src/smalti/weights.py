"""Trained weights: where they lie, what keeps them the same, and the hash that names them."""

import contextlib
import hashlib
import json
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smalti.container import HASH_BYTES
from smalti.errors import WeightsError, nearest
from smalti.files import BUNDLED_WEIGHTS, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

SEARCH_PATH_VARIABLE = "SMALTI_WEIGHTS"  # folders of further .safetensors files
MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"  # of a folder or repository
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name
HUB = "hf:"  # hf:owner/name/file
PICKLES = (".pt", ".pth", ".bin")  # what torch.save writes
SUFFIXES = (".safetensors", *PICKLES)


def bundled() -> dict[str, Path]:
    """Name -> file of every set of weights in the package."""
    return {path.stem: path for path in sorted(BUNDLED_WEIGHTS.glob("*.safetensors"))}


def autoencoders() -> tuple[str, ...]:
    """The bundled sets that encode pictures; a diffuser draws latents alone."""
    return tuple(name for name, path in bundled().items() if read(path)[0]["model"] != "Diffuser")


def find(name: str | Path) -> Path:
    """The file of a set of weights.

    Args:
        name: a bundled set ("fsq-1m"), a .safetensors, .pt, .pth or .bin file, a folder with
            model.safetensors, or a file of the Hugging Face hub, which is downloaded and kept:
            "hf:owner/name/file", or "owner/name" for its model.safetensors. What the hub gave
            first is what it has to give ever after (`pinned`).

    Raises:
        WeightsError: none of these is there, or the hub's file has changed.
    """
    path = Path(name)
    if str(name) in bundled():
        return bundled()[str(name)]
    if isinstance(name, str) and name.startswith(HUB):
        return _from_hub(*_repository_and_file(name))
    if path.suffix in SUFFIXES and path.is_file():
        return path
    if path.is_dir():
        if (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        raise WeightsError(f"the folder {path} has no {MODEL_FILE}; name one with it, or a file")
    if isinstance(name, str) and REPOSITORY.fullmatch(name) and path.suffix not in SUFFIXES:
        return _from_hub(name, MODEL_FILE, f"no folder {name}, and ")
    if (meant := nearest(str(name), bundled())) and not REPOSITORY.fullmatch(str(name)):
        raise WeightsError(f"no weights {str(name)!r}; is {meant} meant? smalti list shows all")
    raise WeightsError(
        f"no weights {str(name)!r}: neither a .safetensors or .pt file, nor a folder with one, nor "
        f"a repository owner/name or file hf:owner/name/file of the hub, nor one of the bundled "
        f"sets ({', '.join(bundled()) or 'none'})"
    )


def _repository_and_file(name: str) -> tuple[str, str]:
    """("owner/name", file) of "hf:owner/name/file"; the file may lie in a folder."""
    owner, _, rest = name.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    file = file or MODEL_FILE
    if not REPOSITORY.fullmatch(f"{owner}/{repository}") or not file.endswith(SUFFIXES):
        raise WeightsError(
            f"{name!r} is no file of the hub; it is hf:owner/name/file with a file that ends in "
            f"{', '.join(SUFFIXES)}"
        )
    return f"{owner}/{repository}", file


def _from_hub(repository: str, file: str, otherwise: str = "") -> Path:
    """A file of a repository, from the hub or the cache of an earlier download; as pinned."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    try:
        if file == MODEL_FILE:
            # offline, what an earlier download did not find is not in the cache either
            with contextlib.suppress(RemoteEntryNotFoundError, LocalEntryNotFoundError):
                huggingface_hub.hf_hub_download(repository, CONFIG_FILE)
        path = Path(huggingface_hub.hf_hub_download(repository, file))
    except Exception as cause:  # of any of the layers of a download
        reason = str(cause).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        raise WeightsError(
            f"{otherwise}the Hugging Face hub does not give {file} of {repository}: "
            f"{reason or type(cause).__name__}; a copy from elsewhere can be named by its path"
        ) from cause
    return _pinned(path, f"{repository}/{file}")


def pin_file() -> Path:
    """Where the hashes of downloaded files are noted: in the user's cache folder."""
    home = Path.home()
    if sys.platform == "win32":
        folder = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        folder = home / "Library" / "Caches"
    else:
        folder = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(folder) / "smalti" / "pinned.json"


def _pinned(path: Path, name: str) -> Path:
    """`path`, if it is the file that `name` was at first; its SHA-256 is noted then.

    Weights are data that run: who swaps them changes every result, and a repository's file can
    change under its name.
    """
    store, digest = pin_file(), sha256(path).hex()
    try:
        known = dict(json.loads(store.read_text())) if store.is_file() else {}
        if name not in known:
            store.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(known | {name: digest}, indent=2, sort_keys=True) + "\n"
            write_atomically(store, text.encode())
            return path
    except (OSError, ValueError, TypeError) as cause:
        raise WeightsError(
            f"the SHA-256 of {name} cannot be kept in {store}: {cause}; mend or remove that file"
        ) from cause
    if known[name] != digest:
        raise WeightsError(
            f"{name} on the hub is another file than at first: its SHA-256 is {digest}, not "
            f"{known[name]}; if the change is meant, remove its line from {store}"
        )
    return path


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
    `huggingface_hub.PyTorchModelHubMixin` writes it. "model" and "config" are None where nothing
    says them. Of a .pt, .pth or .bin file only tensors are read: none of its code runs.

    Raises:
        WeightsError: no such file, a damaged one, or one that holds more than tensors.
    """
    text, tensors = _unpickled(path) if path.suffix in PICKLES else _safetensors(path)
    try:
        if text is not None:
            return _described(json.loads(text)), tensors
        described = path.with_name(CONFIG_FILE)
        if path.name != MODEL_FILE or not described.is_file():
            return {"model": None, "config": None}, tensors
        config = dict(json.loads(described.read_text()))
        return _described({"model": config.pop("model", None), "config": config}), tensors
    except (OSError, ValueError, TypeError, RecursionError) as cause:
        raise WeightsError(f"{path.name} does not say which model its weights are of") from cause


def _described(content: Any) -> dict[str, Any]:
    """The name of a model and its config, either of them None where nothing says it.

    Raises:
        ValueError: JSON of another kind.
    """
    content = {"model": None, "config": None, **content}
    if not isinstance(content["model"], str | None):
        raise ValueError("a model's name is a text")
    if not isinstance(content["config"], dict | None):
        raise ValueError("a config is an object")
    return content


def _safetensors(path: Path) -> tuple[str | None, dict[str, "Tensor"]]:
    """Our line of metadata, if there is one, and the tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            text = (stored.metadata() or {}).get("smalti")
            return text, {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as cause:
        raise WeightsError(f"{path.name} is no readable safetensors file: {cause}") from cause


def _unpickled(path: Path) -> tuple[None, dict[str, "Tensor"]]:
    """The state dict of a file that torch.save wrote, itself or under the name "state_dict"."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as cause:  # whatever a damaged or hostile pickle brings about
        raise WeightsError(
            f"{path.name} is damaged or holds more than tensors, which could run its author's "
            f"code, and is not loaded; ask its author for a .safetensors file"
        ) from cause
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()
    ):
        raise WeightsError(f"{path.name} holds no state dict, that is names and their tensors")
    return None, dict(content)

"""Optional packages: found without being imported, and one sentence where one is missing."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from smalti.errors import MissingExtraError


def need(module: str, *, extra: str, what: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: as in `import module`; one of smalti's own stands for whatever it imports.
        extra: of ours that brings it: "models" for pip install 'smalti[models]'.
        what: needs it, as the sentence begins: "the codec fsq".

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as cause:
        package = (cause.name or "").partition(".")[0]
        if module.partition(".")[0] not in (package, "smalti") or package in ("", "smalti"):
            raise  # installed, and something that it needs itself is not
        raise MissingExtraError(
            f"{what} needs {package}, which is not installed: pip install 'smalti[{extra}]'"
        ) from None


def need_torch(*, extra: str = "models", what: str) -> None:
    """What everything with models stands on: torch, safetensors and jaxtyping.

    Args:
        extra, what: as `need` has them.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    for module in ("torch", "safetensors", "jaxtyping"):
        need(module, extra=extra, what=what)


def installed(module: str) -> bool:
    """Whether a top-level package is there; it is not imported."""
    return find_spec(module) is not None

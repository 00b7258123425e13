"""The package's build backend: scikit-build-core, with a compiler from PyPI where there is none.

`ziglang` carries clang and its libraries for every platform. It is asked for only on a machine
without a C++ compiler, or on Windows without clang-cl (the kernels use vector types, which MSVC
lacks). Everything else is scikit-build-core's.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import scikit_build_core.build as upstream
from scikit_build_core.build import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

prepare_metadata_for_build_editable = upstream.prepare_metadata_for_build_editable

COMPILERS = ("clang-cl",) if sys.platform == "win32" else ("c++", "g++", "clang++")
Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return [*upstream.get_requires_for_build_wheel(config_settings), *_compiler()]


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return [*upstream.get_requires_for_build_editable(config_settings), *_compiler()]


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    with _chosen_compiler():
        return upstream.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    with _chosen_compiler():
        return upstream.build_editable(wheel_directory, config_settings, metadata_directory)


def _compiler() -> list[str]:
    """What to install for want of a compiler."""
    return [] if _has_compiler() else ["ziglang>=0.13"]


def _has_compiler() -> bool:
    return "CXX" in os.environ or any(shutil.which(name) for name in COMPILERS)


@contextmanager
def _chosen_compiler() -> Iterator[None]:
    """CMake's arguments in the environment for the length of a build."""
    before = os.environ.get("CMAKE_ARGS", "")
    os.environ["CMAKE_ARGS"] = f"{before} {' '.join(_arguments())}".strip()
    try:
        yield
    finally:
        os.environ["CMAKE_ARGS"] = before


def _arguments() -> list[str]:
    if "CXX" in os.environ:
        return []
    if _has_compiler():
        clang = "-DCMAKE_C_COMPILER=clang-cl -DCMAKE_CXX_COMPILER=clang-cl"
        return [clang] if sys.platform == "win32" else []
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        names = " or ".join(COMPILERS)
        raise SystemExit(
            f"smalti: no C++ compiler ({names}) on this machine ({platform.platform()}) and ziglang, "
            "which has one, is not installed: install a compiler, or pip install ziglang, or use a "
            "wheel"
        )
    zig = Path(found.origin).with_name("zig.exe" if sys.platform == "win32" else "zig")
    return [f"-DCMAKE_C_COMPILER={zig};cc", f"-DCMAKE_CXX_COMPILER={zig};c++"]

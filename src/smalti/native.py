"""The native kernels (`native/`, C++): found, loaded once, called with checked arrays.

    _soften = native.kernel("fits_soften", values="in f32", seen="out f32", slope="out f32",
                            count="i64", temperature="f32", amplitude="f32", key="u32", threads="i32")
    _soften(values=x, seen=y, slope=s, count=x.size, temperature=1.0, amplitude=0.5, key=7)

A kernel's fields are those of its struct in `native/include/smalti/*.h`, in that order; the struct's
size is compared with the library's when the kernel is first called. An array must be C-contiguous,
of the field's type, and writeable where the kernel writes; its shape is the caller's to check.
`threads` is filled in where it is not given. The library is loaded at the first call, not at import.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import smalti
from smalti.errors import OptionError, SmaltiError

_NUMBERS = {
    "i32": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}
_ITEMS: dict[str, np.dtype] = {
    "u8": np.dtype(np.uint8),
    "i8": np.dtype(np.int8),
    "u16": np.dtype(np.uint16),
    "i16": np.dtype(np.int16),
    "u32": np.dtype(np.uint32),
    "i32": np.dtype(np.int32),
    "u64": np.dtype(np.uint64),
    "i64": np.dtype(np.int64),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
_NAMES = {"win32": "smalti.dll", "darwin": "libsmalti.dylib"}

_library: ctypes.CDLL | None = None
_threads: int | None = None  # as set by `set_threads`
_build: int | None = None  # the build that `using` asks for


class NativeError(SmaltiError):
    """The native library is missing, of another version, or refused its arguments."""


class DamagedError(NativeError):
    """A kernel met compressed data that no encoder writes."""


def library() -> ctypes.CDLL:
    """The shared library beside this file.

    Raises:
        NativeError: it is not there, does not load, or has no build that SMALTI_ISA names.
    """
    global _library
    if _library is None:
        path = _library_path()
        try:
            found = ctypes.CDLL(str(path))
        except OSError as error:
            raise NativeError(f"{path.name} does not load: {error}") from error
        found.smalti_instruction_set.restype = ctypes.c_char_p
        found.smalti_kernel.restype = ctypes.c_void_p
        found.smalti_kernel.argtypes = [
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_int64),
            ctypes.POINTER(ctypes.c_char_p),
        ]
        used, wanted = found.smalti_instruction_set().decode(), os.environ.get("SMALTI_ISA", "")
        if not used.endswith({"neon": "arm64"}.get(wanted, wanted)):
            raise NativeError(
                f"SMALTI_ISA={wanted}; no kernels of that name run here, the best that do are {used}; "
                "known: v2, v3, v4, neon, plain"
            )
        _library = found
    return _library


def _library_path() -> Path:
    name = _NAMES.get(sys.platform, "libsmalti.so")
    for folder in smalti.__path__:  # two where the package is installed in editable mode
        if (path := Path(folder, name)).exists():
            return path
    raise NativeError(
        f"{name} is missing from {Path(__file__).parent}: the package was not built; install it "
        "with pip install ."
    )


def instruction_set() -> str:
    """What the kernels use here: x86-64-v2, x86-64-v3, x86-64-v4, arm64 or plain."""
    return str(library().smalti_instruction_set().decode())


def threads() -> int:
    """How many threads a kernel uses: `set_threads`, else SMALTI_NUM_THREADS, else every core.

    Raises:
        OptionError: SMALTI_NUM_THREADS is no number of 1 or more.
    """
    if _threads is not None:
        return _threads
    text = os.environ.get("SMALTI_NUM_THREADS")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise OptionError(f"SMALTI_NUM_THREADS={text}; it is a number of 1 or more")
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int | None) -> None:
    """Threads of every call from now on in this process; None for what `threads` finds itself.

    Raises:
        OptionError: fewer than 1.
    """
    global _threads
    if count is not None and count < 1:
        raise OptionError(f"threads={count}; it is a number of 1 or more")
    _threads = count


def builds() -> list[str]:
    """The instruction sets that this processor can run, the least first."""
    found: list[str] = []
    name = ctypes.c_char_p()
    while library().smalti_kernel(b"fits_adam", len(found), None, ctypes.byref(name)):
        found.append((name.value or b"").decode())
    return found


@contextlib.contextmanager
def using(build: str) -> Iterator[None]:
    """Run the kernels built for one of `builds()`, for tests that compare them."""
    global _build
    before = _build
    _build = builds().index(build)
    try:
        yield
    finally:
        _build = before


def kernel(name: str, **fields: str) -> Callable[..., None]:
    """A kernel as a function of keyword arguments.

    Args:
        name: without its prefix, as "fits_soften".
        fields: of its struct, in order: a number's type ("i32", "u32", "i64", "u64", "f32", "f64"),
            or "in" / "out" and the type of an array's items ("in u8"); "out" is also what is read
            and written. With a "?" at the end ("in f32?") None may be given.

    Returns:
        A function that raises NativeError where the kernel refuses its arguments, DamagedError where
        it meets damaged data, TypeError for an array of another type or layout.
    """
    return _Kernel(name, fields)


class _Kernel:
    def __init__(self, name: str, fields: dict[str, str]) -> None:
        self.name = name
        self.arrays: dict[str, tuple[np.dtype, bool, bool]] = {}  # items, written, optional
        layout = []
        for field, text in fields.items():
            if text in _NUMBERS:
                layout.append((field, _NUMBERS[text]))
                continue
            direction, _, items = text.partition(" ")
            optional = items.endswith("?")
            self.arrays[field] = (_ITEMS[items.removesuffix("?")], direction == "out", optional)
            layout.append((field, ctypes.c_void_p))
        self.takes_threads = "threads" in fields
        self.struct = type(name, (ctypes.Structure,), {"_fields_": layout})
        self.functions: dict[int | None, Callable[..., int]] = {}

    def __call__(self, **values: Any) -> None:
        function = self.functions.get(_build) or self._load()
        arguments = self.struct()
        if self.takes_threads and "threads" not in values:
            arguments.threads = threads()
        for field, value in values.items():
            if field in self.arrays:
                value = self._address(field, value)
            setattr(arguments, field, value)
        status = function(ctypes.byref(arguments))
        if status == 2:
            raise DamagedError(f"{self.name}: damaged data")
        if status == 3:
            raise MemoryError(f"{self.name}: not enough memory")
        if status:
            raise NativeError(f"{self.name} refused its arguments (status {status})")

    def _address(self, field: str, array: np.ndarray | None) -> int | None:
        items, written, optional = self.arrays[field]
        if array is None:
            if optional:
                return None
            raise TypeError(f"{self.name}: {field} is missing")
        if array.dtype != items or not array.flags.c_contiguous:
            layout = "contiguous" if array.flags.c_contiguous else "strided"
            raise TypeError(
                f"{self.name}: {field} is {layout} {array.dtype}, not contiguous {items}"
            )
        if written and not array.flags.writeable:
            raise TypeError(f"{self.name}: {field} is read-only")
        address: int = array.__array_interface__["data"][0]
        return address

    def _load(self) -> Callable[..., int]:
        size = ctypes.c_int64()
        loaded = library()
        if _build is None:
            address = loaded.smalti_kernel(self.name.encode(), 0, ctypes.byref(size), None)
            function: Callable[..., int] = getattr(loaded, f"smalti_{self.name}", _missing)
        else:
            address = loaded.smalti_kernel(self.name.encode(), _build, ctypes.byref(size), None)
            function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(address or 0)
        if not address or size.value != ctypes.sizeof(self.struct):
            raise NativeError(
                f"the native library is of another version: {self.name} takes {size.value} bytes of "
                f"arguments, not {ctypes.sizeof(self.struct)}; build the package again"
            )
        self.functions[_build] = function
        return function


def _missing(*_: Any) -> int:
    raise NativeError("the native library is of another version; build the package again")

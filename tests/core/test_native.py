"""The border to the native library: what it checks, and that every build computes the same."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smalti import native
from smalti.errors import OptionError

from native_builds import on_every_build

soften = native.kernel(
    "fits_soften", values="in f32", seen="out f32", slope="out f32", count="i64",
    temperature="f32", amplitude="f32", key="u32", threads="i32",
)  # fmt: skip


def softened(x: np.ndarray, **changes) -> tuple[np.ndarray, np.ndarray]:
    seen, slope = np.empty_like(x), np.empty_like(x)
    numbers = {"count": x.size, "temperature": 0.3, "amplitude": 0.5, "key": 4_000_000_000}
    soften(**({"values": x, "seen": seen, "slope": slope} | numbers | changes))
    return seen, slope


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.machine() != "x86_64",
    reason="reads /proc/cpuinfo of an x86-64 processor",
)
def test_builds_are_those_that_the_processor_runs():
    text = Path("/proc/cpuinfo").read_text()
    flags = set(re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)[1].split())
    expected = ["x86-64-v2"]
    if {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"} <= flags:
        expected.append("x86-64-v3")
        if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
            expected.append("x86-64-v4")
    assert native.builds() == expected


def test_an_instruction_set_that_is_not_there_is_said():
    code = "from smalti import native; native.library()"
    environment = {**os.environ, "SMALTI_ISA": "v9", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert b"NativeError: SMALTI_ISA=v9; no kernels of that name run here" in done.stderr


def test_builds_and_threads_agree():
    values = np.random.default_rng(0).normal(0, 2, 100_003).astype(np.float32)
    one = on_every_build(lambda: softened(values, threads=1))
    two = softened(values, threads=2)
    assert [a.tobytes() for a in one] == [a.tobytes() for a in two]


def test_arrays_are_checked():
    values = np.zeros(8, np.float32)
    with pytest.raises(TypeError, match="float64"):
        softened(values, values=np.zeros(8))
    with pytest.raises(TypeError, match="strided"):
        softened(values, values=np.zeros((8, 2), np.float32)[:, 0])
    fixed = np.zeros(8, np.float32)
    fixed.flags.writeable = False
    with pytest.raises(TypeError, match="read-only"):
        softened(values, seen=fixed)


def test_a_kernel_refuses_what_it_cannot_use():
    with pytest.raises(native.NativeError, match="fits_soften"):
        softened(np.zeros(8, np.float32), temperature=0.0)


def test_another_layout_of_arguments_is_found_out():
    short = native.kernel("fits_soften", values="in f32")
    with pytest.raises(native.NativeError, match="another version"):
        short(values=np.zeros(1, np.float32))


def test_number_of_threads(monkeypatch):
    monkeypatch.setenv("SMALTI_NUM_THREADS", "3")
    assert native.threads() == 3
    monkeypatch.setenv("SMALTI_NUM_THREADS", "many")
    with pytest.raises(OptionError, match="many"):
        native.threads()
    native.set_threads(2)
    assert native.threads() == 2
    native.set_threads(None)
    with pytest.raises(OptionError, match="threads=0"):
        native.set_threads(0)

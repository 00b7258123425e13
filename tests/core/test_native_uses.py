"""The native library as others use it: from C, and after a fork."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from smalti import native
from smalti.bc7.encode import encode_image

from conftest import ROOT

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

FORK = """
import multiprocessing
import numpy as np
from smalti import native
from smalti.bc7.decode import decode_image
from smalti.bc7.encode import encode_image

def there_and_back(seed):
    image = np.random.default_rng(seed).integers(0, 256, (512, 512, 4), dtype=np.uint8)
    return decode_image(encode_image(image, effort="ultrafast"), 512, 512).tobytes()

native.set_threads(2)
here = [there_and_back(seed) for seed in range(4)]
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(there_and_back, range(4)) == here
print("equal")
"""


@pytest.mark.skipif(COMPILER is None, reason="no C compiler")
@pytest.mark.skipif(sys.platform == "win32", reason="the command is for Unix")
def test_a_c_program_encodes_a_row_of_blocks(tmp_path):
    library = native._library_path()
    headers = library.parent / "include"
    if not headers.exists():  # a checkout
        headers = ROOT / "native" / "include"
    source = ROOT / "docs" / "examples" / "encode_row.c"
    program = tmp_path / "encode_row"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", headers]
    subprocess.run(
        [COMPILER, source, *flags, library, f"-Wl,-rpath,{library.parent}", "-o", program],
        check=True,
    )
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    column = np.arange(64)[:, None] * np.array([1, 2, 3, 0])
    row = (column + np.array([0, 0, 0, 255])).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(row, (4, 64, 4)))
    assert bytes.fromhex(done.stdout) == encode_image(image, effort="medium")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_kernels_work_after_a_fork():
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "equal"

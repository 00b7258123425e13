"""The Triton kernels of fitting in Triton's interpreter: no GPU is needed.

Triton chooses between compiler and interpreter when it is first imported, for its own functions as
well as for ours, and parts of torch and of libraries on top of it import it. So the kernels' tests
have a process of their own, in which the choice is made before anything else.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

KERNELS = Path(__file__).with_name("triton_kernels.py")


@pytest.mark.skipif(not find_spec("triton"), reason="this torch comes without Triton")
def test_kernels_are_those_of_the_cpu():
    pytest_alone = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*pytest_alone, "-o", "addopts=--strict-config --strict-markers", KERNELS],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr

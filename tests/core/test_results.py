"""docs/RESULTS.md says what the stored results say."""

import subprocess
import sys
from pathlib import Path

import pytest

REPORT = Path(__file__).parents[2] / "benchmarks" / "report"


@pytest.mark.skipif(not REPORT.is_dir(), reason="a package's tests come without benchmarks")
def test_the_page_is_made_of_the_stored_results():
    done = subprocess.run([sys.executable, REPORT, "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""README's picture: the top of the page that `smalti compare` writes, as a browser shows it.

    python docs/images/compare.py                 # runs the comparison, a few minutes
    python docs/images/compare.py smalti-compare  # the page of one that was run before

Needs Chromium (Debian: chromium-headless-shell) and, to look as it does here, the typeface Inter
(fonts-inter). Nothing is reduced to a palette: the picture is WebP at quality 90.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome", "chrome")
WIDTH, HEIGHT = 1280, 1110  # of the window, in CSS pixels; the picture has twice as many
TARGET = Path(__file__).with_suffix(".webp")


def main(folder: Path | None) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory() as temporary:
        if folder is None:
            folder = Path(temporary) / "compare"
            command = [sys.executable, "-m", "smalti", "compare", "--out", str(folder)]
            subprocess.run(command, check=True)
        shot = Path(temporary) / "shot.png"
        options = (
            "--no-sandbox",
            "--hide-scrollbars",
            "--force-device-scale-factor=2",
            f"--window-size={WIDTH},{HEIGHT}",
            "--virtual-time-budget=5000",
            f"--screenshot={shot}",
        )
        page = (folder / "report.html").absolute().as_uri()
        subprocess.run([browser, *options, page], check=True, capture_output=True)
        with Image.open(shot) as picture:
            picture.convert("RGB").save(TARGET, quality=90, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)

"""Draws the picture of each codec's page (the original, what its file decodes to, what is lost), and
runs the page's commands: what the last one prints is written into the page.

    python docs/codecs/pictures.py [NAME ...]      # and a line for the caption
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import smalti
from smalti.eval.metrics import psnr
from smalti.files import BUNDLED_PICTURES

GAP = 6  # texels of white between the panels


@dataclass(frozen=True)
class Example:
    """A bundled picture, how to encode it, and the part of it that is shown."""

    setting: str
    picture: str = "cat"
    part: tuple[int, int, int] = (50, 64, 96)  # top, left, texels along each side
    zoom: int = 2
    gain: int = 8  # of the difference
    drawn: int = 1  # decoded at this many times the size, and shown in place of the difference


EXAMPLES = {
    "bc7": Example("bc7", part=(72, 84, 32), zoom=6, gain=16),
    "latent-texture": Example("latent-texture:effort=fast"),
    "rgba-ae": Example("rgba-ae", picture="plant", part=(30, 40, 192), zoom=1, gain=2),
    "fsq": Example("fsq"),
    "patch-ae": Example("patch-ae", gain=4),
    "fitted": Example("fitted:effort=fast", gain=8),
    "neural-texture": Example("neural-texture:effort=fast", picture="bark", part=(80, 80, 96)),
    "hash-texture": Example("hash-texture:preset=tiny,effort=fast", gain=4),
    "resampler": Example("resampler", part=(66, 80, 48), zoom=4, drawn=4),
}


def draw(example: Example, path: Path) -> str:
    """Write the panels side by side; the caption's numbers."""
    x = smalti.load(BUNDLED_PICTURES / f"{example.picture}.png")
    height, width = x.shape[:2]
    data = smalti.encode(x, example.setting)
    x_hat = smalti.decode(data)
    panels = [_enlarged(_opaque(_part(y, example)), example.zoom) for y in (x, x_hat)]
    if example.drawn == 1:
        error = _opaque(x).astype(int) - _opaque(x_hat)
        error = np.clip(128 + example.gain * error, 0, 255).astype(np.uint8)
        panels.append(_enlarged(_part(error, example), example.zoom))
    else:
        large = smalti.decode(data, size=(example.drawn * height, example.drawn * width))
        panels.append(_part(large, example, example.drawn))
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    row = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    Image.fromarray(row).save(path, quality=90, method=6)
    bpp = 8 * len(data) / (height * width)
    return f"{example.setting}: {example.picture}, {bpp:.2f} bpp, {psnr(x, x_hat):.2f} dB"


def print_again(page: Path) -> None:
    """What the last of the page's commands prints, where the page shows it; no more lines than now."""
    text = page.read_text()
    found = re.search(r"```sh\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert found, page
    with tempfile.TemporaryDirectory() as folder:
        for path in BUNDLED_PICTURES.glob("*.png"):
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        for line in found[1].splitlines():
            words = line.partition("#")[0].split()
            command = [sys.executable, "-m", *words]
            done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()[: found[2].count("\n")]
    page.write_text(text.replace(found[2], "".join(f"{line}\n" for line in lines)))


def _part(picture: np.ndarray, example: Example, times: int = 1) -> np.ndarray:
    top, left, side = (times * number for number in example.part)
    return picture[top : top + side, left : left + side]


def _enlarged(picture: np.ndarray, times: int) -> np.ndarray:
    return picture.repeat(times, 0).repeat(times, 1)


def _opaque(picture: np.ndarray) -> np.ndarray:
    """Over a chequered ground, where there is transparency."""
    if picture.shape[2] == 3:
        return picture
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] // 8
    ground = np.where((y + x) % 2, 255, 216)[..., None]
    alpha = picture[..., 3:] / 255
    return np.round(alpha * picture[..., :3] + (1 - alpha) * ground).astype(np.uint8)


if __name__ == "__main__":
    for name in sys.argv[1:] or EXAMPLES:
        page = Path(__file__).with_name(f"{name}.md")
        print_again(page)
        line = draw(EXAMPLES[name], page.with_suffix(".webp"))
        sys.stdout.write(line + "\n")

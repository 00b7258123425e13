"""A comparison as one page: report.html opens from disk and needs nothing but a browser."""

import base64
import dataclasses
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from smalti.codec import Size, Window
from smalti.eval.contenders import decode, resolve
from smalti.eval.log import json_number
from smalti.eval.results import Mean, Results, Row, mean
from smalti.eval.verdicts import verdicts
from smalti.files import write_atomically
from smalti.image import as_picture, to_uint8

FILE = "report.html"
PAGE_BYTES = 5_000_000  # of the whole page, unless it is `full`
LARGEST_CROP, SMALLEST_CROP, CROP_STEP = 65536, 112, 16  # texels, each side
HELD_BYTES = 2**28  # of pictures decoded for the page
SHOWN_BY_BROWSERS = {".jpg": "jpeg", ".webp": "webp", ".avif": "avif"}
ALIKE = 1.25  # times the bits at most: sizes of a pair that the page opens on
VISIBLE = 38.0  # dB; above, nobody sees what is missing
TELLING = 2.0  # dB between two pictures that look different

OnProgress = Callable[[int, int, str], None]


def write_report(
    results: Results,
    folder: Path,
    *,
    device: str = "cpu",
    full: bool = False,
    on_progress: OnProgress = lambda done, total, text: None,
) -> Path:
    """Write `folder/report.html`, whole or not at all.

    The page has a viewer with the original and what every file decodes to, the curves, a sentence
    for each of our codecs, and the table. JPEG, WebP and AVIF files stand in it as they are, what
    others decode to as lossless WebP; they are decoded anew where `compare` has not just done so.
    Where that is too much for a page of 5 MB, the viewer has a crop around the most detailed place
    of each picture, and at worst not every picture; the page says so. The numbers are always those
    of whole pictures, all of them.

    Args:
        results: what `compare` returned.
        folder: where to; made if missing.
        device: where our codecs decode.
        full: all pictures whole, however large the page.
        on_progress: called with (pictures done, pictures in all, what is being done).

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = Path(__file__).parent / "page"
    read = {path.name: path.read_text(encoding="utf-8") for path in parts.iterdir()}
    content = _numbers(results)
    # The colour map inferno of Smith and van der Walt (CC0): 256 colours, six digits each.
    content["inferno"] = "".join(read["inferno.hex"].split())
    taken = len(_safe_json(content).encode()) + sum(len(text.encode()) for text in read.values())
    budget = math.inf if full else max(PAGE_BYTES - taken, 0)
    content["pictures"] = _pictures(results, device, budget, on_progress)
    content["opening"] = opening(results, [each["name"] for each in content["pictures"]])
    page = read["page.html"]
    for placeholder, text in {
        "/*STYLE*/": read["page.css"],
        "/*SCRIPT*/": "\n".join(read[name] for name in ("data.js", "viewer.js", "numbers.js")),
        "/*DATA*/": _safe_json(content),
    }.items():
        page = page.replace(placeholder, text, 1)
    path = folder / FILE
    write_atomically(path, page.encode())
    return path


def _numbers(results: Results) -> dict[str, Any]:
    """Everything but pixels, ready for JSON."""
    means = results.means()
    names = list(results.sources)
    whole = [row for row in results.rows if not row.error]
    done = {
        m.contender: {row.picture for row in whole if row.contender == m.contender} for m in means
    }
    shared = [name for name in names if all(name in pictures for pictures in done.values())]
    groups = [{"label": _count(names, "picture", "All"), "means": means}]
    if 0 < len(shared) < len(names):
        of_shared = [
            mean([row for row in whole if row.contender == m.contender and row.picture in shared])
            for m in means
        ]
        label = f"{_count(shared, 'picture')} that every codec took"
        groups.append({"label": label, "means": of_shared})
    for group in groups:
        group["means"] = [_plain(m) for m in group["means"]]
    hidden = {"sha256", "version", "file_sha256", "label", "series", "codec"}
    return {
        "conditions": results.conditions,
        "names": names,
        "groups": groups,
        "rows": [
            {key: value for key, value in _plain(row).items() if key not in hidden} for row in whole
        ],
        "failures": [
            {"who": who, "pictures": pictures, "error": error}
            for who, pictures, error in results.unfinished()
        ],
        "verdicts": [dataclasses.asdict(verdict) for verdict in verdicts(results)],
    }


def _count(names: list[str], noun: str, before: str = "") -> str:
    return f"{before} {len(names)} {noun}{'' if len(names) == 1 else 's'}".strip()


def _plain(record: Any) -> dict[str, Any]:
    return {key: json_number(value) for key, value in dataclasses.asdict(record).items()}


def opening(results: Results, names: list[str]) -> dict[str, Any]:
    """What the page shows first, of the pictures in it: {"picture": number, "left", "right"}.

    The first picture on which ours is visibly ahead of a classical codec at about its size, and the
    two that differ most; without one the first with any such difference; without that the original
    beside the worst.
    """
    if not names:
        return {}
    pairs: list[tuple[int, float, str, str]] = []  # picture, dB that ours is ahead, contenders
    for number, name in enumerate(names):
        means = [mean([row]) for row in results.rows if row.picture == name and not row.error]
        pairs += [
            (number, ours.psnr - theirs.psnr, theirs.contender, ours.contender)
            for theirs in means
            for ours in means
            if theirs.classical and not ours.classical and _comparable(theirs, ours)
        ]
    ahead = [pair for pair in pairs if pair[1] >= TELLING]
    if telling := ahead or [pair for pair in pairs if abs(pair[1]) >= TELLING]:
        number, _, left, right = min(telling, key=lambda pair: (pair[0], -abs(pair[1])))
        return {"picture": number, "left": left, "right": right}
    rows = [row for row in results.rows if row.picture == names[0] and not row.error]
    worst = min(rows, key=lambda row: row.psnr)
    return {"picture": 0, "left": "original", "right": worst.contender}


def _comparable(theirs: Mean, ours: Mean) -> bool:
    alike = 1 / ALIKE <= theirs.bpp / ours.bpp <= ALIKE
    seen = min(theirs.psnr, ours.psnr) < VISIBLE and math.inf not in (theirs.psnr, ours.psnr)
    return alike and seen and not ours.for_gpu


def _pictures(
    results: Results, device: str, budget: float, on_progress: OnProgress
) -> list[dict[str, Any]]:
    """Originals and decoded pictures as data URIs, within the budget.

    Bytes grow with the area of the crops: what came out at one side says which to try next.
    """
    rows: dict[str, list[Row]] = {}
    for row in results.rows:
        if not row.error:
            rows.setdefault(row.picture, []).append(row)
    held = Results(results.folder, results.sources, results.rows, (), dict(results.decoded))
    side = LARGEST_CROP
    while True:
        embedded: list[dict[str, Any]] = []
        size = 0
        for number, (name, of_picture) in enumerate(rows.items()):
            on_progress(number, len(rows), f"report: {name}")
            embedded.append(_picture(held, of_picture, side, device))
            size += _size(embedded[-1])
            if size > budget:
                break
        if size <= budget:
            return embedded
        if side == SMALLEST_CROP:  # too many pictures even so: the first for which there is room
            return embedded[: max(1, len(embedded) - 1)]
        longest = max(max(each["crop"]["height"], each["crop"]["width"]) for each in embedded)
        share = budget / (size * len(rows) / len(embedded))
        side = min(int(longest * math.sqrt(share)), longest - 1) // CROP_STEP * CROP_STEP
        side = max(side, SMALLEST_CROP)


def _picture(results: Results, rows: list[Row], side: int, device: str) -> dict[str, Any]:
    first = rows[0]
    x = to_uint8(as_picture(results.sources[first.picture]))
    crop = _most_detailed(x, side)
    return {
        "name": first.picture,
        "width": first.width,
        "height": first.height,
        "channels": first.channels,
        "crop": crop._asdict(),
        "original": _data_uri(x, crop),
        "decoded": {row.contender: _shown(row, crop, results, device) for row in rows},
    }


def _size(picture: dict[str, Any]) -> int:
    return len(picture["original"]) + sum(map(len, picture["decoded"].values()))


def _shown(row: Row, crop: Window, results: Results, device: str) -> str:
    """A data URI; "" for what is equal to the original."""
    if row.psnr == math.inf:
        return ""
    if _as_it_is(row, crop):
        path = results.folder / row.file
        return _base64(SHOWN_BY_BROWSERS[path.suffix], path.read_bytes())
    return _data_uri(_decoded(row, results, device), crop)


def _as_it_is(row: Row, crop: Window) -> bool:
    """Whether a browser shows the file itself, whole or cut to the crop."""
    # Where it is large for what is shown of it, a crop takes less.
    small = row.bytes <= crop.height * crop.width
    return small and Path(row.file).suffix in SHOWN_BY_BROWSERS


def _most_detailed(x: np.ndarray, side: int) -> Window:
    """The window of at most `side` x `side` with the largest sum of absolute gradients."""
    height, width = x.shape[:2]
    rows, columns = min(side, height), min(side, width)
    if (rows, columns) == (height, width):
        return Window(0, 0, height, width)
    light = x.astype(np.float32).sum(2)
    if x.shape[2] in (2, 4):
        light *= x[:, :, -1] / np.float32(255)
    detail = np.abs(np.diff(light, axis=0, append=light[-1:]))
    detail += np.abs(np.diff(light, axis=1, append=light[:, -1:]))
    sums = np.pad(detail.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    step = 16  # the corners of the blocks of every block codec here
    tops = np.arange(0, height - rows + 1, step)
    lefts = np.arange(0, width - columns + 1, step)
    inside = sums[tops[:, None] + rows, lefts + columns] - sums[tops[:, None], lefts + columns]
    inside -= sums[tops[:, None] + rows, lefts] - sums[tops[:, None], lefts]
    row, column = np.unravel_index(inside.argmax(), inside.shape)
    return Window(int(tops[row]), int(lefts[column]), rows, columns)


def _decoded(row: Row, results: Results, device: str) -> np.ndarray:
    """The whole picture, kept for the next size of crop while there is room."""
    key = (row.picture, row.contender)
    if (known := results.decoded.get(key)) is not None:
        return known
    size = Size(row.channels, row.height, row.width)
    data = (results.folder / row.file).read_bytes()
    x_hat = decode(data, resolve(row.contender), size, device=device)
    if sum(each.nbytes for each in results.decoded.values()) + x_hat.nbytes <= HELD_BYTES:
        results.decoded[key] = x_hat
    return x_hat


def _data_uri(levels: np.ndarray, crop: Window) -> str:
    """A window of H W C uint8 as lossless WebP."""
    top, left, height, width = crop
    part = np.ascontiguousarray(levels[top : top + height, left : left + width])
    buffer = io.BytesIO()
    Image.fromarray(part[:, :, 0] if part.shape[2] == 1 else part).save(
        buffer, "WEBP", lossless=True, quality=50, method=4
    )
    return _base64("webp", buffer.getvalue())


def _base64(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _safe_json(content: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")

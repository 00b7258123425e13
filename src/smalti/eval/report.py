"""A comparison as one page: report.html opens from disk and needs nothing but a browser."""

import base64
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from smalti.codec import Size, Window
from smalti.eval.contenders import decode, resolve
from smalti.eval.log import json_number
from smalti.eval.results import Results, Row, mean, title
from smalti.files import write_atomically
from smalti.image import as_picture, to_uint8

FILE = "report.html"
PIXEL_BUDGET = 22_000_000  # bytes of embedded pictures, as base64
CROP_SIDES = (
    4096,
    1024,
    768,
    640,
    512,
    448,
    384,
    320,
    256,
    192,
    128,
)  # texels; the largest that fits the budget


def write_report(
    results: Results,
    folder: Path,
    *,
    device: str = "cpu",
    on_progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> Path:
    """Write `folder/report.html`, whole or not at all.

    The page has the curves, the table, the verdicts, and a viewer with the original and what every
    file decodes to, losslessly. The compressed files are decoded anew for it where `compare` has not just done so. Where the pictures
    are too many or too large for a page of about 25 MB, the viewer has a crop around the most
    detailed place of each, and at worst not every picture; the page says so. The numbers are
    always those of whole pictures, all of them.

    Args:
        results: what `compare` returned.
        folder: where to; made if missing.
        device: where our codecs decode.
        on_progress: called with (pictures done, pictures in all, what is being done).

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = _numbers(results)
    content["pictures"] = _pictures(results, device, on_progress)
    parts = Path(__file__).parent
    # The colour map inferno of Smith and van der Walt (CC0): 256 colours, six digits each.
    content["inferno"] = "".join((parts / "inferno.hex").read_text(encoding="utf-8").split())
    page = (parts / "report.html").read_text(encoding="utf-8")
    for placeholder, text in {
        "/*STYLE*/": (parts / "report.css").read_text(encoding="utf-8"),
        "/*SCRIPT*/": (parts / "report.js").read_text(encoding="utf-8"),
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
            {"picture": row.picture, "codec": title(row.codec), "error": row.error}
            for row in results.failures
        ],
        "duels": [_plain(duel) for duel in results.duels()],
    }


def _count(names: list[str], noun: str, before: str = "") -> str:
    return f"{before} {len(names)} {noun}{'' if len(names) == 1 else 's'}".strip()


def _plain(record: Any) -> dict[str, Any]:
    return {key: json_number(value) for key, value in dataclasses.asdict(record).items()}


def _pictures(
    results: Results, device: str, on_progress: Callable[[int, int, str], None]
) -> list[dict[str, Any]]:
    """Originals and decoded pictures as data URIs, within the budget."""
    rows: dict[str, list[Row]] = {}
    for row in results.rows:
        if not row.error:
            rows.setdefault(row.picture, []).append(row)
    side, names = _choose_crops(results, rows)
    embedded = []
    for number, name in enumerate(names):
        on_progress(number, len(names), f"report: {name}")
        x = to_uint8(as_picture(results.sources[name]))
        crop = _most_detailed(x, side)
        first = rows[name][0]
        embedded.append(
            {
                "name": name,
                "width": first.width,
                "height": first.height,
                "channels": first.channels,
                "crop": crop._asdict(),
                "original": _data_uri(x, crop),
                "decoded": {
                    row.contender: _data_uri(_decoded(row, results, device), crop)
                    for row in rows[name]
                },
            }
        )
    return embedded


def _choose_crops(results: Results, rows: dict[str, list[Row]]) -> tuple[int, list[str]]:
    """The side of the crops, and the pictures to embed.

    What a codec leaves of a picture is seldom larger, losslessly, than the picture itself: the
    originals tell how much the decoded ones take.
    """
    needed: dict[str, int] = {}
    for side in CROP_SIDES:
        needed = {}
        for name in rows:
            x = to_uint8(as_picture(results.sources[name]))
            size = len(_data_uri(x, _most_detailed(x, side)))
            needed[name] = size * (1 + len(rows[name]))
            if sum(needed.values()) > PIXEL_BUDGET:
                break
        else:
            return side, list(rows)
    fitting = max(1, PIXEL_BUDGET * len(needed) // sum(needed.values()))
    names = list(rows)
    return CROP_SIDES[-1], [
        names[i * len(names) // fitting] for i in range(min(fitting, len(names)))
    ]


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
    if (held := results.decoded.get((row.picture, row.contender))) is not None:
        return held
    size = Size(row.channels, row.height, row.width)
    data = (results.folder / row.file).read_bytes()
    return decode(data, resolve(row.contender), size, device=device)


def _data_uri(levels: np.ndarray, crop: Window) -> str:
    """A window of H W C uint8 as lossless WebP."""
    top, left, height, width = crop
    part = np.ascontiguousarray(levels[top : top + height, left : left + width])
    buffer = io.BytesIO()
    Image.fromarray(part[:, :, 0] if part.shape[2] == 1 else part).save(
        buffer, "WEBP", lossless=True, quality=0, method=1
    )
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _safe_json(content: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")

"""Markdown tables of what `resolution.py` stored: the goals first, then size by size.

Every number is computed from the file's lines alone; where the file has no such line, the cell is
empty.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smalti.errors import OptionError

Row = dict[str, Any]
WITHIN = ("16x16", "20x20", "28x28", "32x32", "48x48", "64x64")  # of the goal on PSNR
SQUARES = (*WITHIN, "10x10", "128x128", "256x256")
ASPECTS = ("48x24", "48x32", "32x48", "24x48")


class Found:
    """The lines of a file; of two on the same thing the later counts."""

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
            lines = [json.loads(line) for line in text.splitlines()]
        except (OSError, ValueError) as cause:
            raise OptionError(f"{path} cannot be read as stored results: {cause}") from cause
        self.rows = [line for line in lines if "core_seconds" not in line or len(line) > 2]

    def all(self, what: str, **keys: Any) -> list[Row]:
        found = [row for row in self.rows if row.get("what") == what and "missing" not in row]
        return [row for row in found if all(row.get(k) == v for k, v in keys.items())]

    def one(self, what: str, **keys: Any) -> Row:
        return (self.all(what, **keys) or [{}])[-1]

    def models(self) -> list[str]:
        return list(dict.fromkeys(row["model"] for row in self.all("reconstruction")))


def tables(path: Path) -> str:
    """All tables.

    Raises:
        OptionError: no such file, or one of something else.
    """
    found = Found(path)
    parts = [_goals(found), _truth(found), _samples(found), _grids(found), _steps(found)]
    parts += [_drift(found), _photos(found)]
    text = "\n".join(part for part in parts if part)
    if not text:
        raise OptionError(f"{path} holds no line of resolution.py")
    return text


def _goals(found: Found) -> str:
    models = found.models()
    rows: list[list[Any]] = []
    for model in models:
        one = found.one("reconstruction", model=model, latent="4x4")
        few = one.get("numbers", 0) < 1024
        best = f"PCA {one.get('pca_mse')}" if few else "PixelUnshuffle 0"
        goal = "≤ 0.0104, 0.0023" if few else "≤ 0.002, 0.001"
        label = f"MSE at 32 x 32, {one.get('numbers')} numbers, `{model}`"
        rows.append([label, f"{one.get('mse')} ({one.get('psnr')} dB)", best, goal])
    for model in models:
        rows += _quality_goals(found, model)
    rows += _drawing_goals(found)
    for row in found.all("cost"):
        label = f"decode at {row['size']}, `{row['model']}`"
        reached = f"{row['seconds']} s, peak {row['peak_mb']} MB ({row['before_mb']} MB before)"
        rows.append([label, reached, "", "≤ 1 GB, 256 MB"])
    heads = ["metric", "reached", "beside", "target, stretch"]
    return _table("Goals", heads, rows) if rows else ""


def _quality_goals(found: Found, model: str) -> list[list[Any]]:
    rows: list[list[Any]] = []
    squares = {row["size"]: row for row in found.all("truth", model=model, fit="stretch")}
    near = [squares[size] for size in WITHIN if size in squares]
    if near:
        worst = min(near, key=lambda row: row["psnr"] - row["resized"])
        margin = worst["psnr"] - worst["resized"]
        label = f"PSNR against the truth at 16 to 64, least margin, `{model}`"
        rows.append([label, f"{margin:+.2f} dB at {worst['size']}", "resized", "≥ -0.5 dB"])
        small = " ".join(f"{squares[s]['psnr']:.2f}" for s in ("10x10", "16x16", "20x20"))
        plain = " ".join(f"{squares[s]['resized']:.2f}" for s in ("10x10", "16x16", "20x20"))
        rows.append([f"the same at 10, 16, 20, `{model}`", f"{small} dB", f"{plain} dB", "above"])
    one = found.one("consistency", model=model)
    if one:
        reached = f"{one['float32']} dB; bfloat16 {one['bfloat16']} dB"
        rows.append([f"same points of nested grids, `{model}`", reached, "", "≥ 90; bfloat16 50"])
    down = found.all("downscale", model=model)
    if down:
        worst = min(down, key=lambda row: row["psnr"])
        real = f"real digits {worst['real']} dB"
        reached = f"{worst['psnr']} dB at {worst['size']}, the worst"
        rows.append([f"decode(s) against decode(4 s) brought down, `{model}`", reached, real,
                     "≥ 35, 40 dB"])  # fmt: skip
    return rows


def _drawing_goals(found: Found) -> list[list[Any]]:
    rows: list[list[Any]] = []
    drawn = found.all("samples", latent="4x4")
    for label, some, goal in (
        ("1:1, 16 to 256", [r for r in drawn if r["size"] in SQUARES[:-3] + SQUARES[-2:]],
         "≥ 97 %, 99 %"),
        ("1:1, 10", [r for r in drawn if r["size"] == "10x10"], "≥ 97 %, 99 %"),
        ("1:2 to 2:1", [r for r in drawn if r["size"] in ASPECTS], "≥ 95 %, 99 %"),
    ):  # fmt: skip
        if some:
            worst = min(some, key=lambda row: row["accuracy"])
            where = f"{worst['size']} {worst['fit']}"
            beside = (
                f"resized {_percent(worst['resized_accuracy'])}, "
                f"real {_percent(worst['real_accuracy'])}"
            )
            reached = f"{_percent(worst['accuracy'])} at {where}, the worst"
            rows.append([f"right label of drawn digits, {label}", reached, beside, goal])
    wide = [r for r in drawn if "fid" in r and r["size"] in SQUARES and r["size"] != "10x10"]
    if wide:
        worst = max(wide, key=lambda row: row["fid"] / row["fid_32"])
        reached = f"{worst['fid'] / worst['fid_32']:.2f} at {worst['size']}, the worst"
        beside = f"resized {worst['resized_fid'] / worst['fid_32']:.2f}"
        rows.append(["FID(size) / FID(32), 16 to 256", reached, beside, "≤ 1.25, 1.1"])
    drifts = found.all("drift")
    if drifts:
        worst = max(drifts, key=lambda row: row["drawn_mean"])
        where = f"{worst['size']} {worst['fit']}"
        beside = f"resized {_percent(worst['resized_mean'])}, real {_percent(worst['real_mean'])}"
        reached = f"{_percent(worst['drawn_mean'])} at {where}, the worst mean"
        rows.append(["drift of the inertia ratio with the aspect", reached, beside, "≤ 5 %, 2 %"])
    eight = found.one("samples", latent="8x8", size="32x32")
    if eight:
        label = f"right label at 32 x 32 from 4 x 4, {eight['pictures']} pictures"
        beside = f"8 x 8: {_percent(eight['accuracy'])}"
        rows.append([label, _percent(eight["accuracy_4x4"]), beside, "within 1 %"])
    steps = found.all("steps")
    if steps:
        best = min(row["fid"] for row in steps)
        few = min((r for r in steps if r["fid"] <= 1.1 * best), key=lambda r: r["calls"])
        reached = f"{few['calls']} ({few['sampler']}, {few['fid']})"
        rows.append(
            [
                "calls of the network to within 10 % of the least FID",
                reached,
                f"least {best}",
                "20, 4",
            ]
        )
    return rows


def _truth(found: Found) -> str:
    rows = [
        [row["model"], row["size"], row["fit"], row["pictures"], row["psnr"], row["resized"],
         row["unshuffle"]]
        for row in found.all("truth")
    ]  # fmt: skip
    heads = ["model", "size", "fit", "pictures", "PSNR dB", "resized", "unshuffle"]
    return _table("Against the truth at each size", heads, rows)


def _samples(found: Found) -> str:
    keys = ("size", "fit", "pictures", "accuracy", "resized_accuracy", "real_accuracy", "fid",
            "fid_32", "resized_fid", "real_fid", "floor")  # fmt: skip
    rows = [[row.get(key, "") for key in keys] for row in found.all("samples", latent="4x4")]
    heads = ["size", "fit", "pictures", "right", "resized", "real", "FID", "FID at 32",
             "resized FID", "real FID", "floor"]  # fmt: skip
    return _table("Drawn from 4 x 4", heads, rows)


def _grids(found: Found) -> str:
    rows = []
    for latent in dict.fromkeys(row["latent"] for row in found.all("reconstruction")):
        row: list[Any] = [latent]
        for model in found.models():
            row.append(found.one("reconstruction", model=model, latent=latent).get("psnr", ""))
        drawn = found.all("samples", latent=latent)
        own = found.one("samples", latent=latent, size="32x32")
        row += [own.get("pictures", ""), own.get("accuracy", ""), own.get("fid", "")]
        row.append(min((r["accuracy"] for r in drawn), default=""))
        rows.append(row)
    heads = ["latents", *(f"PSNR dB, `{m}`" for m in found.models()), "drawn", "right at 32",
             "FID at 32", "right, worst size or aspect"]  # fmt: skip
    return _table("Grids of latents", heads, rows)


def _steps(found: Found) -> str:
    keys = ("sampler", "steps", "calls", "pictures", "accuracy", "fid", "floor", "seconds")
    rows = [[row[key] for key in keys] for row in found.all("steps")]
    heads = ["sampler", "steps", "calls", "pictures", "right", "FID", "floor", "core s"]
    return _table("Steps", heads, rows)


def _drift(found: Found) -> str:
    keys = ("size", "fit", "drawn_mean", "drawn_median", "resized_mean", "resized_median",
            "real_mean", "real_median")  # fmt: skip
    rows = [[row[k] for k in keys[:2]] + [_percent(row[k]) for k in keys[2:]]
            for row in found.all("drift")]  # fmt: skip
    heads = ["size", "fit", "drawn, mean", "median", "resized", "median", "real", "median"]
    return _table("Drift of the ratio of inertias", heads, rows)


def _photos(found: Found) -> str:
    keys = ("scale", "pictures", "psnr", "resized", "unshuffle")
    rows = [[row.get(key, "") for key in keys] for row in found.all("photos")]
    heads = ["scale", "pictures", "PSNR dB", "resized", "unshuffle"]
    return _table("Photographs", heads, rows)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return ""
    lines = [f"### {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    shown = [["" if value is None else str(value) for value in row] for row in rows]
    lines += ["| " + " | ".join(row) + " |" for row in shown]
    return "\n".join(lines) + "\n"

"""Stored results: JSON lines, those of a run after a line of its conditions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
Row = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What one command measured."""

    file: str
    conditions: Row
    rows: list[Row]

    @property
    def where(self) -> str:
        """Machine, instruction set, threads, commit and date, for a caption."""
        c = self.conditions
        set_of_old = {512: "x86-64-v4", 256: "x86-64-v3"}.get(c.get("vector_bits"))
        parts = (
            c.get("processor"),
            c.get("instruction_set") or set_of_old or "instruction set not noted",
            _threads(c.get("threads")),
            f"commit {c['commit'][:7]}" if c.get("commit") else "commit not noted",
            c["date"][:10],
        )
        return f"[{self.file}](../benchmarks/results/{self.file}): " + ", ".join(
            filter(None, parts)
        )


def _threads(threads: Any) -> str:
    count = max(threads.values()) if isinstance(threads, dict) else threads
    return "" if count is None else "1 thread" if count == 1 else f"{count} threads"


def runs(pattern: str) -> list[Run]:
    """The runs of the newest file of a kind, such as "*-bc7.jsonl"; [] where there is none."""
    path = max(RESULTS.glob(pattern), default=None)
    found: list[Run] = []
    for line in path.read_text().splitlines() if path else []:
        row = json.loads(line)
        if "smalti" in row and "date" in row:
            found.append(Run(path.name, row, []))
        elif found:
            found[-1].rows.append(row)
    return found


def rows(pattern: str, **wanted: Any) -> Iterator[Row]:
    """Lines of `runs` with these values, each with its run's `pictures_of`, the set."""
    for run in runs(pattern):
        for row in run.rows:
            if all(row.get(key) == value for key, value in wanted.items()):
                yield {"pictures_of": run.conditions.get("set", "").removeprefix("data/")} | row


def published(what: str) -> list[Row]:
    """What others report of their work, each with its source."""
    lines = (RESULTS / "published.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["what"] == what]

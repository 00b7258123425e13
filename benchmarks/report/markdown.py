"""Tables and captions."""

from collections.abc import Iterable, Sequence

from stored import Run


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def caption(found: Iterable[Run]) -> str:
    """Where numbers are from."""
    return "<sub>" + "; ".join(dict.fromkeys(run.where for run in found if run.rows)) + "</sub>"


def folded(title: str, text: str) -> str:
    """Text behind a line to click."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"

"""docs/RESULTS.md and its plots, from the stored results alone.

    python benchmarks/report           # writes them
    python benchmarks/report --check   # exit status 1 if the page is not what the results say

A table names the file that its numbers are from, with machine, instruction set and commit. What
others report of their work is quoted from results/published.jsonl, with its source.
"""

import argparse
import sys
from pathlib import Path

import sections
from losses import where_others_are_better
from rates import SETS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "RESULTS.md"
SECTIONS = (
    sections.opening,
    where_others_are_better,
    sections.rate_and_quality,
    sections.textures,
    sections.light,
    sections.autoencoders,
    sections.tokenizers,
    sections.sizes,
    sections.fitting,
    sections.starting,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="report", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the page that is there")
    check = parser.parse_args().check
    page = "\n\n".join(part for section in SECTIONS for part in section()) + "\n"
    if check:
        same = PAGE.is_file() and PAGE.read_text() == page
        sys.stdout.write(
            "" if same else "docs/RESULTS.md is out of date: python benchmarks/report\n"
        )
        return int(not same)
    from plots import plot

    PAGE.write_text(page)
    for name in SETS:
        plot(name, DOCS / "images" / "results" / f"rd-{name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())

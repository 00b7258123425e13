"""Mutated files through every reader: only errors of ours, quickly, in little memory.

PYTHONPATH=src:tests python -m fuzz --files 1000000 --seed 1 [--reader "smt bc7"]
"""

import argparse
import collections
import sys
import time

from fuzz.readers import readers
from fuzz.run import Fault, run


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--files", type=int, default=10_000, help="of all readers together")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--reader", help="only those whose names contain this")
    given = words.parse_args()
    chosen = [r for r in readers() if given.reader is None or given.reader in r.name]
    shares, faults = sum(r.share for r in chosen), []
    for reader in chosen:
        start, count = time.perf_counter(), -(-given.files * reader.share // shares)
        found: list[Fault] = run(reader, count, given.seed)
        faults += found
        seconds = time.perf_counter() - start
        sys.stdout.write(f"{reader.name}: {count:,} files, {len(found)} faults, {seconds:.0f} s\n")
        sys.stdout.flush()
        kinds = collections.Counter(fault.what for fault in found)
        for what, number in kinds.most_common(8):
            first = next(fault for fault in found if fault.what == what)
            sys.stdout.write(f"  {number} x {what}: {first.data.hex()[:2000]}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""One reader, many damaged files."""

import resource
import sys
import time
import traceback
import warnings
from dataclasses import dataclass

import numpy as np

from fuzz.mutate import mutated
from fuzz.readers import Reader
from smalti.errors import SmaltiError

SECONDS = 1.0  # of processor time that a file may take
BYTES = 256e6  # of memory beyond what was in use
LONGEST = 1500  # characters of a sentence


@dataclass(frozen=True)
class Fault:
    what: str
    data: bytes


def run(reader: Reader, count: int, seed: int) -> list[Fault]:
    """What went wrong in `count` files: another error than ours, time, memory, long sentences."""
    random = np.random.default_rng([seed, *reader.name.encode()])
    found = []
    for data in reader.seeds:
        reader.read(data)  # sound, and everything is loaded
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(count):
            data = reader.mend(mutated(reader.seeds, random))
            if what := _fault(reader, data):
                found.append(Fault(what, data))
    return found


def _fault(reader: Reader, data: bytes) -> str:
    start, before = time.thread_time(), _peak()
    try:
        reader.read(data)
    except SmaltiError as error:
        if len(str(error)) > LONGEST:
            return f"a sentence of {len(str(error))} characters"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {place.filename}:{place.lineno}: {str(error)[:100]}"
    if (seconds := time.thread_time() - start) > SECONDS:
        return f"{seconds:.1f} s"
    if (grown := _peak() - before) > BYTES:
        return f"{grown / 1e6:.0f} MB"
    return ""


def _peak() -> float:
    """The most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

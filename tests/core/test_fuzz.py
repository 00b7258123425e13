"""Thousands of damaged files, the same ones every time: only errors of ours, fast and small."""

import pytest

from fuzz.readers import readers
from fuzz.run import run

FILES = 10_000  # of all readers together
READERS = readers()


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name.replace(" ", "-"))
def test_damage_is_refused_or_read(reader):
    count = -(-FILES * reader.share // sum(each.share for each in READERS))
    faults = run(reader, count, seed=0)
    assert not faults, faults[0]


def test_damage_is_the_same_every_time():
    from numpy.random import default_rng

    from fuzz.mutate import mutated

    seeds = [b"abcdefgh" * 9, bytes(40)]
    first, again = ([mutated(seeds, default_rng([1, n])) for n in range(50)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 40

"""Readable twin of native/bc7/rdo_rate.h: how many bits a block takes behind a general compressor.

A block is `bytes` of 16. Rates are in sixteenths of a bit.
"""

import math
from dataclasses import dataclass, field

UNITS = 16  # of rate, in a bit
MATCH = 7 * UNITS  # codes of length and distance class, and the end of a run of literals
CONTINUED = UNITS // 2  # a match that only goes on from the block before
BYTE_DISTANCE = 4 * UNITS  # log2(16): distances count bytes in the file, blocks here

FARTHEST = 2047  # blocks, 32 KiB: Deflate sees no farther
REPRICED = 256  # blocks after which literals get new rates
FADE = 1 << 14  # literals counted before the counts are halved


def log2(number: int) -> int:
    return round(math.log2(number) * UNITS)


@dataclass
class Stream:
    """The blocks before `number` as they are sent, the others as they came."""

    blocks: list[bytes]
    number: int = 0  # the block at work
    distance: int = 0  # of the last match
    continues: bool = False  # it reached the last byte sent
    counts: list[int] = field(default_factory=lambda: [1] * 256)  # how often each byte was sent
    literals: list[int] = field(default_factory=list)  # rate of each byte

    def __post_init__(self) -> None:
        for block in self.blocks[:: max(len(self.blocks) // 64, 1)]:
            self._count(block)
        self._price_literals()

    def match_rate(self, distance: int) -> int:
        """Of a new match so many blocks back, or of one that goes on from the block before."""
        if self.continues and distance == self.distance:
            return CONTINUED
        return MATCH + BYTE_DISTANCE + log2(distance)

    def rate(self, block: bytes, front: int | None, tail: int | None) -> tuple[int, int, int]:
        """Rate of a block with matches from the earlier blocks `front` and `tail`, if any.

        Also where its literals start and stop. Without a front, the match that reached the end of
        the block before is tried.
        """
        rate, start, stop = 0, 0, 16
        front = self._front(front)
        if front is not None:
            equal = _equal(block, self.blocks[front])
            match = self.match_rate(self.number - front)
            if match < self._literal_rate(block[:equal]):
                rate, start = match, equal
        if tail is not None and start < 16:
            from_ = max(16 - _equal(block[::-1], self.blocks[tail][::-1]), start)
            match = MATCH + BYTE_DISTANCE + log2(self.number - tail)
            if match < self._literal_rate(block[from_:]):
                rate, stop = rate + match, from_
        return rate + self._literal_rate(block[start:stop]), start, stop

    def accept(self, block: bytes, front: int | None, tail: int | None) -> None:
        """Send the block: write it, and bring the state up to date."""
        front = self._front(front)
        _, start, stop = self.rate(block, front, tail)
        self.blocks[self.number] = block
        self._count(block[start:stop])
        self.continues = False
        if start and front is not None:
            self.distance, self.continues = self.number - front, start == 16
        if stop < 16 and tail is not None:
            self.distance, self.continues = self.number - tail, True
        if self.number % REPRICED == 0:
            self._price_literals()

    def _front(self, front: int | None) -> int | None:
        return self.number - self.distance if front is None and self.continues else front

    def _count(self, literals: bytes) -> None:
        for byte in literals:
            self.counts[byte] += 1

    def _price_literals(self) -> None:
        """Turn counts into rates; old counts fade."""
        if sum(self.counts) >= FADE:
            self.counts = [(count + 1) // 2 for count in self.counts]
        whole = log2(sum(self.counts))
        # Deflate and zstd give no literal less than one bit.
        self.literals = [max(whole - log2(count), UNITS) for count in self.counts]

    def _literal_rate(self, literals: bytes) -> int:
        return sum(self.literals[byte] for byte in literals)


def _equal(block: bytes, other: bytes) -> int:
    """How many bytes are equal, from the first on."""
    return next((i for i in range(16) if block[i] != other[i]), 16)

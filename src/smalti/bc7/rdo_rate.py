"""How many bits a block takes behind a general compressor: matches at a distance, and literals.

Deflate, zstd and their kind send a run of bytes either as literals, each with a Huffman code of
some 4 to 8 bits here, or as a match: a length, and a distance with about log2(distance) bits that
no code makes shorter. The rates below follow that and no single compressor. Unit: 1/16 bit, in
integers, so that the same blocks win on every machine.

A match here reaches whole blocks back: the same bytes of an earlier block. A block has at most two,
one that starts at its first byte and one that ends at its last; what lies between is literal.
"""

from typing import NamedTuple

import numpy as np

from smalti.jit import njit

UNITS = 16  # of rate, in a bit
MATCH = 7 * UNITS  # codes of length and distance class, and the end of a run of literals
CONTINUED = UNITS // 2  # a match that only goes on from the block before
BYTE_DISTANCE = 4 * UNITS  # log2(16): distances count bytes in the file, blocks here

FARTHEST = 2047  # blocks, 32 KiB: Deflate sees no farther
_REPRICED = 256  # blocks after which literals get new rates
_FADE = 1 << 14  # literals counted before the counts are halved

LOG2 = np.zeros(_FADE + 16 * _REPRICED + 1, dtype=np.int32)  # of integers, in units
LOG2[1:] = np.round(np.log2(np.arange(1, len(LOG2))) * UNITS)


class Stream(NamedTuple):
    """The blocks before `number` as they are sent, the others as they came."""

    words: np.ndarray  # uint64 [blocks, 2]
    number: np.ndarray  # int64 [1]: the block at work
    matched: np.ndarray  # int64 [2]: distance of the last match; 1 if it reached the last byte sent
    literals: np.ndarray  # int64 [256]: rate of each byte value
    counts: np.ndarray  # int64 [257]: how often each was sent, and their sum
    spans: np.ndarray  # int64 [2]: bytes matched from the start and up to the end, see block_rate


@njit(nogil=True)
def new_stream(words, first, last):
    """A stream of the blocks `first` to `last`, of which a sample gives the first literal rates."""
    stream = Stream(
        words,
        np.zeros(1, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
        np.zeros(256, dtype=np.int64),
        np.ones(257, dtype=np.int64),
        np.zeros(2, dtype=np.int64),
    )
    stream.counts[256] = 256
    for block in range(first, last, max((last - first) // 64, 1)):
        _count(stream, words[block, 0], words[block, 1], 0, 16)
    _price_literals(stream)
    return stream


@njit(nogil=True)
def match_rate(stream, distance):
    """Rate of a new match `distance` blocks back, or of one that goes on from the block before."""
    if stream.matched[1] and distance == stream.matched[0]:
        return CONTINUED
    return MATCH + BYTE_DISTANCE + LOG2[distance]


@njit(nogil=True)
def block_rate(stream, low, high, front, tail):
    """Return the rate of a block with matches from the earlier blocks `front` and `tail`, or -1.

    Writes how many bytes are matched from the start and up to the end to `spans`. A match is as
    long as the bytes are equal, and none where literals are cheaper. Without a front, the match
    that reached the end of the block before is tried. At most 40 steps.
    """
    number = stream.number[0]
    if front < 0 and stream.matched[1]:
        front = number - stream.matched[0]
    rate = 0
    start = 0
    if front >= 0:
        start = _equal_start(low, high, stream.words[front, 0], stream.words[front, 1])
        match = match_rate(stream, number - front)
        if match < _literal_rate(stream, low, high, 0, start):
            rate = match
        else:
            start = 0
    stop = 16
    if tail >= 0 and start < 16:
        equal = _equal_end(low, high, stream.words[tail, 0], stream.words[tail, 1])
        stop = max(16 - equal, start)
        match = MATCH + BYTE_DISTANCE + LOG2[number - tail]
        if match < _literal_rate(stream, low, high, stop, 16):
            rate += match
        else:
            stop = 16
    stream.spans[0] = start
    stream.spans[1] = 16 - stop
    return rate + _literal_rate(stream, low, high, start, stop)


@njit(nogil=True)
def accept(stream, low, high, front, tail):
    """Send the block: write it, and bring the state of the stream up to date."""
    number = stream.number[0]
    if front < 0 and stream.matched[1]:
        front = number - stream.matched[0]
    block_rate(stream, low, high, front, tail)
    stream.words[number, 0] = low
    stream.words[number, 1] = high
    from_start, to_end = stream.spans
    _count(stream, low, high, from_start, 16 - to_end)
    stream.matched[1] = 0
    if from_start:
        stream.matched[0] = number - front
        stream.matched[1] = from_start == 16
    if to_end:
        stream.matched[0] = number - tail
        stream.matched[1] = 1
    if number % _REPRICED == 0:
        _price_literals(stream)


@njit(nogil=True)
def _count(stream, low, high, start, stop):
    for byte in range(start, stop):
        stream.counts[_byte(low, high, byte)] += 1
        stream.counts[256] += 1


@njit(nogil=True)
def _price_literals(stream):
    """Turn counts into rates; old counts fade."""
    counts = stream.counts
    if counts[256] >= _FADE:
        counts[256] = 0
        for value in range(256):
            counts[value] = (counts[value] + 1) // 2
            counts[256] += counts[value]
    for value in range(256):
        # Deflate and zstd give no literal less than one bit.
        stream.literals[value] = max(LOG2[counts[256]] - LOG2[counts[value]], UNITS)


@njit(nogil=True)
def _byte(low, high, byte):
    word = high if byte >= 8 else low
    return (word >> np.uint64(8 * (byte & 7))) & np.uint64(255)


@njit(nogil=True)
def _literal_rate(stream, low, high, start, stop):
    rate = 0
    for byte in range(start, stop):
        rate += stream.literals[_byte(low, high, byte)]
    return rate


@njit(nogil=True)
def _equal_start(low, high, other_low, other_high):
    """How many bytes are equal, from the first on."""
    count = 0
    difference = low ^ other_low
    if difference == 0:
        count = 8
        difference = high ^ other_high
        if difference == 0:
            return 16
    while difference & np.uint64(255) == 0:
        difference >>= np.uint64(8)
        count += 1
    return count


@njit(nogil=True)
def _equal_end(low, high, other_low, other_high):
    """How many bytes are equal, from the last one back."""
    count = 0
    difference = high ^ other_high
    if difference == 0:
        count = 8
        difference = low ^ other_low
        if difference == 0:
            return 16
    while difference >> np.uint64(56) == 0:
        difference <<= np.uint64(8)
        count += 1
    return count

"""The search of `rdo.optimise`, block after block.

    candidate                              bytes matched      bytes new
    an earlier block                       all                none
    indices of an earlier mode 6 block     8..15, often more  endpoints, fitted to them
    endpoints of an earlier mode 6 block   0..7               indices, chosen anew
    endpoints of one, indices of another   0..7 and 8..15     none
    indices of an earlier mode 1 block     10..15             endpoints, fitted to them

Scans over the books of earlier entries give the error of each, exactly or as a lower bound; only
the most promising are made, decoded and priced. Operations an opaque block with full books of 512
entries, 8-wide vectors: 24 x 512 for whole blocks, 13 x 512 for patterns of mode 6 and 26 x 512 for
those of mode 1, 54 x 128 for endpoints, 4 x 3 x 128 for pairs, 40 000 in all; and some 6000 scalar
ones to fit, decode and price at most 13 candidates. No sum is reordered and no product fused, so
the bytes are the same on every machine.

numba's cache watches this file alone: after a change in decode.py or another rdo file, touch it.
"""

from typing import NamedTuple

import numpy as np

from smalti.bc7.layout import WEIGHT_TABLE
from smalti.bc7.rdo_block import (
    alpha_masks,
    black_error,
    keeps_alpha,
    load,
    new_block,
    partition_errors,
    squared_error,
)
from smalti.bc7.rdo_book import (
    BLOCK_ROWS,
    ENDS_ROWS,
    PATTERN_ROWS,
    enter_block,
    enter_ends,
    enter_pattern_1,
    enter_pattern_6,
    new_book,
    scan_blocks,
    scan_ends,
    scan_pairs,
    scan_patterns,
)
from smalti.bc7.rdo_decode import _decode_block
from smalti.bc7.rdo_fit import FREE, choose_6, fit_1, fit_6, index_6
from smalti.bc7.rdo_rate import (
    FARTHEST,
    UNITS,
    accept,
    block_rate,
    match_rate,
    new_stream,
)
from smalti.jit import njit

_F = np.float32
_ONE = np.uint64(1)
_ALL = 0xFFFF  # a mask of 16 texels

FITTED = 4  # patterns of each mode, the most promising ones, that endpoints are fitted to
ENDS_SHARE = 4  # the book of endpoints holds this part of the others' capacity

# Bits that new endpoints take at least, for the lower bounds: about 6 opaque bytes.
_ENDS_6_BITS = 40
_ENDS_1_BITS = 64


class Best(NamedTuple):
    """The best candidate of a block so far."""

    cost: np.ndarray  # float64 [1]: squared error + price * rate
    words: np.ndarray  # uint64 [2]
    sources: np.ndarray  # int64 [2]: blocks with the same first and the same last bytes, or -1


class Scratch(NamedTuple):
    errors: np.ndarray  # float32 [capacity]
    sums: np.ndarray  # float32 [capacity]
    partitions: np.ndarray  # float64 [64]
    near: np.ndarray  # int64 [FITTED]: places of the most promising patterns
    bounds: np.ndarray  # float64 [FITTED]: their costs at least
    starts: np.ndarray  # float32 [4]
    stops: np.ndarray  # float32 [4]


@njit(nogil=True)
def optimise_segments(
    first, last, words, image, lagrangian, weights, window, segment, flat_weight, flat_limit
):
    """Optimise segments `first` to `last` of `segment` blocks each, every one on its own."""
    for number in range(first, last):
        start = number * segment
        stop = min(start + segment, words.shape[0])
        _optimise_segment(
            start, stop, words, image, lagrangian, weights, window, flat_weight, flat_limit
        )


@njit(nogil=True)
def _optimise_segment(
    start, stop, words, image, lagrangian, weights, window, flat_weight, flat_limit
):
    columns = (image.shape[1] + 3) // 4
    wholes = new_book(BLOCK_ROWS, window)
    patterns_6 = new_book(PATTERN_ROWS, window)
    patterns_1 = new_book(2 * PATTERN_ROWS, window)
    ends = new_book(ENDS_ROWS, max(window // ENDS_SHARE, 1))
    block = new_block()
    best = Best(np.empty(1), np.empty(2, dtype=np.uint64), np.empty(2, dtype=np.int64))
    scratch = Scratch(
        np.empty(window, dtype=np.float32),
        np.empty(window, dtype=np.float32),
        np.empty(64),
        np.empty(FITTED, dtype=np.int64),
        np.empty(FITTED),
        np.empty(4, dtype=np.float32),
        np.empty(4, dtype=np.float32),
    )
    stream = new_stream(words, start, stop)

    for number in range(start, stop):
        low, high = words[number, 0], words[number, 1]
        stream.number[0] = number
        deviation = load(image, number // columns, number % columns, weights, block)
        _decode_block(low, high, block.ends, block.decoded)
        # What the block promises for alpha, and every candidate must keep.
        opaque, transparent = alpha_masks(block.decoded)
        block.alpha[0] &= opaque
        block.alpha[1] &= transparent
        # Errors in flat blocks are seen as edges of blocks: see `rdo.optimise`.
        flat = 1.0 - min(deviation / flat_limit, 1.0)
        price = lagrangian / (1.0 + (flat_weight - 1.0) * flat * flat) / UNITS

        best.cost[0] = squared_error(block) + price * block_rate(stream, low, high, -1, -1)
        best.words[0], best.words[1] = low, high
        best.sources[:] = -1
        _try_wholes(wholes, block, stream, price, scratch, best)
        _try_patterns_6(patterns_6, ends, block, stream, price, weights, scratch, best)
        if block.least_alpha[0] == 255:
            _try_patterns_1(patterns_1, block, stream, price, weights, scratch, best)
        _try_ends(ends, block, stream, price, scratch, best)

        low, high = best.words[0], best.words[1]
        accept(stream, low, high, best.sources[0], best.sources[1])
        _decode_block(low, high, block.ends, block.decoded)
        enter_block(wholes, low, high, number, block.decoded)
        if low & np.uint64(127) == np.uint64(1 << 6):
            enter_pattern_6(patterns_6, high, number)
            enter_ends(ends, low, high, number)
        elif low & np.uint64(3) == np.uint64(1 << 1):
            enter_pattern_1(patterns_1, low, high, number)


@njit(nogil=True)
def _consider(block, stream, price, low, high, front, tail, best):
    """Decode a candidate; keep it if it is the best and keeps what the block promises for alpha."""
    _decode_block(low, high, block.ends, block.decoded)
    if not keeps_alpha(block):
        return
    cost = squared_error(block)
    if cost < best.cost[0]:
        cost += price * block_rate(stream, low, high, front, tail)
        if cost < best.cost[0]:
            best.cost[0] = cost
            best.words[0], best.words[1] = low, high
            best.sources[0], best.sources[1] = front, tail


@njit(nogil=True)
def _try_wholes(wholes, block, stream, price, scratch, best):
    number = stream.number[0]
    errors = scratch.errors
    scan_blocks(wholes, 3 if block.alpha[0] == _ALL else 4, block.texels, block.importance, errors)
    for n in range(wholes.count[0]):
        if errors[n] < best.cost[0] and number - wholes.used[n] <= FARTHEST:
            cost = errors[n] + price * match_rate(stream, number - wholes.used[n])
            keeps = (block.alpha[0] & ~wholes.masks[0, n]) | (block.alpha[1] & ~wholes.masks[1, n])
            if cost < best.cost[0] and keeps == 0:
                best.cost[0] = cost
                best.words[0], best.words[1] = wholes.keys[0, n], wholes.keys[1, n]
                best.sources[:] = wholes.used[n]


@njit(nogil=True)
def _try_patterns_6(patterns, ends, block, stream, price, weights, scratch, best):
    errors = scratch.errors
    channels = 3 if block.least_alpha[0] == 255 else 4
    scan_patterns(patterns, 1, channels, block.texels, weights, scratch.sums, errors)
    for n in range(patterns.count[0]):
        errors[n] = _F(block.variance[0]) - errors[n]
    # With the endpoints of an earlier block too, nothing else is paid.
    found = _most_promising(patterns, errors, stream, price, scratch, best)
    for k in range(found):
        n = scratch.near[k]
        high = patterns.keys[0, n]
        tail = patterns.used[n]
        if scratch.bounds[k] + price * _ENDS_6_BITS * UNITS < best.cost[0]:
            fixed_0, fixed_1 = _alpha_ends(patterns, n, block)
            if fixed_1 == FREE or fixed_1 & 1 == int(high & _ONE):
                low = fit_6(high, block.texels, block.importance, fixed_0, fixed_1)
                _consider(block, stream, price, low, high, -1, tail, best)
        _try_pairs(ends, high, tail, block, stream, price, scratch, best)


@njit(nogil=True)
def _try_patterns_1(patterns, block, stream, price, weights, scratch, best):
    count = patterns.count[0]
    if count == 0:
        return
    errors = scratch.errors
    scan_patterns(patterns, 2, 3, block.texels, weights, scratch.sums, errors)
    partition_errors(block, weights, scratch.partitions)
    ends_cost = price * _ENDS_1_BITS * UNITS
    for n in range(count):
        errors[n] = _F(scratch.partitions[patterns.masks[0, n]] + ends_cost) - errors[n]
    found = _most_promising(patterns, errors, stream, price, scratch, best)
    for k in range(found):
        if scratch.bounds[k] < best.cost[0]:
            n = scratch.near[k]
            low, high = fit_1(
                patterns.keys[0, n], patterns.keys[1, n], block.texels, block.importance
            )
            _consider(block, stream, price, low, high, -1, patterns.used[n], best)


@njit(nogil=True)
def _most_promising(patterns, errors, stream, price, scratch, best):
    """Sort the least of errors[n] + price of the match into `near` and `bounds`; return how many."""
    number = stream.number[0]
    near, bounds = scratch.near, scratch.bounds
    found = 0
    limit = best.cost[0]
    for n in range(patterns.count[0]):
        if errors[n] < limit and number - patterns.used[n] <= FARTHEST:
            bound = errors[n] + price * match_rate(stream, number - patterns.used[n])
            if bound < limit:
                found = min(found + 1, FITTED)
                place = found - 1
                while place > 0 and bounds[place - 1] > bound:
                    bounds[place] = bounds[place - 1]
                    near[place] = near[place - 1]
                    place -= 1
                bounds[place] = bound
                near[place] = n
                if found == FITTED:
                    limit = bounds[FITTED - 1]
    return found


@njit(nogil=True)
def _try_pairs(ends, high, tail, block, stream, price, scratch, best):
    """Indices of one block with the endpoints of another."""
    number = stream.number[0]
    errors = scratch.errors
    scratch.starts[:] = 0
    scratch.stops[:] = 0
    uu = uw = ww = _F(0)
    for t in range(16):
        w = _F(WEIGHT_TABLE[4, index_6(high, t)]) * _F(1 / 64)
        u = _F(1) - w
        uu += u * u
        uw += u * w
        ww += w * w
        for c in range(4):
            scratch.starts[c] += u * block.texels[4 * t + c]
            scratch.stops[c] += w * block.texels[4 * t + c]
    scan_pairs(ends, uu, uw, ww, scratch.starts, scratch.stops, errors)
    constant = black_error(block) + price * match_rate(stream, number - tail)
    choice = -1
    least = best.cost[0]
    for n in range(ends.count[0]):
        if errors[n] + constant < least and number - ends.used[n] <= FARTHEST:
            cost = errors[n] + constant + price * match_rate(stream, number - ends.used[n])
            if cost < least:
                least = cost
                choice = n
    if choice >= 0:
        low, front = ends.keys[0, choice], ends.used[choice]
        _consider(block, stream, price, low, high, front, tail, best)


@njit(nogil=True)
def _try_ends(ends, block, stream, price, scratch, best):
    number = stream.number[0]
    errors = scratch.errors
    scan_ends(ends, block.texels, block.importance, errors)
    choice = -1
    least = best.cost[0]
    for n in range(ends.count[0]):
        if errors[n] < least and number - ends.used[n] <= FARTHEST:
            cost = errors[n] + price * match_rate(stream, number - ends.used[n])
            if cost < least:
                least = cost
                choice = n
    if choice >= 0:
        low = ends.keys[0, choice]
        high = choose_6(low, ends.keys[1, choice], block.texels, block.importance)
        _consider(block, stream, price, low, high, ends.used[choice], -1, best)


@njit(nogil=True)
def _alpha_ends(patterns, n, block):
    """Alpha that the two endpoints must have: 0 or 255 for a block with texels of that alpha."""
    least, greatest = block.least_alpha[0], block.greatest_alpha[0]
    fixed_0 = least if least == 0 or least == 255 else FREE
    fixed_1 = 255 if greatest == 255 else FREE
    slope = _F(0)
    for t in range(16):
        slope += patterns.features[t, n] * block.texels[4 * t + 3]
    if slope < 0:
        return fixed_1, fixed_0
    return fixed_0, fixed_1

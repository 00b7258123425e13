"""The plane coder in plain Python: what the native kernels compute, readable and slow.

Encoder and decoder are the same functions with one flag, `decoding`; they cannot drift apart.
docs/ENTROPY.md is the normative description, with the reasons for each constant.

    neighbours ─┬─ contexts ──→ slots: adaptive probability of the bit ─┐
                └─ linear prediction ─→ three logistic distributions ───┼─ mix ─ refine ─→ P(bit = 1)
                                                                        └─ learn from the bit

Everything is integer arithmetic that stays below 2**63. The kernels of native/entropy compute the
same numbers in lanes; tests compare the bytes.
"""

from collections.abc import Sequence

import numpy as np

from smalti.entropy.planes import CONTEXTS
from smalti.entropy.reference_range import (
    MASK32,
    POSITION,
    check_end,
    check_position,
    code_bit,
    finish,
    start,
)
from smalti.entropy.reference_state import FEATURES, INPUTS, new_predictor, new_state
from smalti.entropy.tables import LIMIT, tables

FLAG = 16  # the "same as W" decision's place among the depths 0..15
MIN_RUN = 32  # shorter constant stretches are cheaper one by one
ONE = 1 << 30  # of the distributions' cumulative probabilities


def encode(values: np.ndarray, levels: Sequence[int]) -> bytes:
    """The bytes of `smalti.entropy.encode_planes`."""
    state = new_state(values.size)
    # at most 18 decisions of 16 bits per value
    buffer = np.empty(40 * values.size + 16, np.uint8)
    code(False, np.ascontiguousarray(values, np.int32), levels, buffer, state)
    finish(buffer, state.coder)
    return buffer[: state.coder[POSITION]].tobytes()


def decode(data: bytes, shape: tuple[int, int, int], levels: Sequence[int]) -> np.ndarray:
    """The values of `smalti.entropy.decode_planes`."""
    values, state = np.zeros(shape, np.int32), new_state(int(np.prod(shape)))
    buffer = np.frombuffer(data, np.uint8)
    start(buffer, state.coder)
    code(True, values, levels, buffer, state)
    check_end(buffer, state.coder)
    return values


def code(decoding, v, levels, buffer, state):
    """Every plane with more than one level, row by row."""
    for c in range(v.shape[0]):
        if levels[c] == 1:
            continue
        linear = new_predictor()  # that knows nothing
        for y in range(v.shape[1]):
            code_row(decoding, c, y, v, levels, buffer, tables(), state, linear)
            if decoding:
                check_position(state.coder, last=False)


def code_row(decoding, c, y, v, levels, buffer, tables, state, linear):
    """Code row y of plane c of v, int32 (C, H, W), which the decoder fills in."""
    width = v.shape[2]
    n_levels = levels[c]
    depth_of_tree = bit_length(n_levels - 1)
    quantise = max(depth_of_tree - 4, 0)
    features, context = linear.features, state.context
    x = 0
    no_run_before = 0
    while x < width:
        n = int(v[c, y - 1, x]) if y > 0 else 0
        w = int(v[c, y, x - 1]) if x > 0 else n
        if y == 0:
            n = w
        nw = int(v[c, y - 1, x - 1]) if y > 0 and x > 0 else n
        ne = int(v[c, y - 1, x + 1]) if y > 0 and x + 1 < width else n
        nee = int(v[c, y - 1, x + 2]) if y > 0 and x + 2 < width else ne
        ww = int(v[c, y, x - 2]) if x > 1 else w
        nn = int(v[c, y - 2, x]) if y > 1 else n
        nne = int(v[c, y - 2, x + 1]) if y > 1 and x + 1 < width else nn

        flat = w == n and w == nw and w == ne
        if flat and nee == w and x >= no_run_before:
            length = 1
            while x + length < width and (
                y == 0 or x + length + 2 >= width or int(v[c, y - 1, x + length + 2]) == w
            ):
                length += 1
            if length >= MIN_RUN:
                which = half_octave(length) * 4 + 2 * int(nn == w) + int(ww == w)
                if code_run(decoding, c, y, x, length, w, which, v, buffer, tables, state):
                    x += length
                    continue
                no_run_before = x + length

        # Planes already coded, at the same place and around it
        p = p_e = p_s = p_w = p_n = p2 = 0
        for i in range(6, 13):
            features[i] = 0
        if c > 0:
            p = int(v[c - 1, y, x])
            p_e = int(v[c - 1, y, x + 1]) if x + 1 < width else p
            p_s = int(v[c - 1, y + 1, x]) if y + 1 < v.shape[1] else p
            p_w = int(v[c - 1, y, x - 1]) if x > 0 else p
            p_n = int(v[c - 1, y - 1, x]) if y > 0 else p
            for i, near in enumerate((p, p_e, p_s, p_w, p_n)):
                features[6 + i] = centred(near, levels[c - 1])
        if c > 1:
            p2 = int(v[c - 2, y, x])
            features[11] = centred(p2, levels[c - 2])
        if c > 2:
            features[12] = centred(int(v[c - 3, y, x]), levels[c - 3])
        for i, near in enumerate((w, n, nw, ne, ww, nn)):
            features[i] = centred(near, n_levels)
        features[13] = 4096

        # Two predictions: learnt, and fixed; in 1/16 of the features' unit
        mu = 0
        for i in range(FEATURES):
            mu += linear.coefficients[i] * features[i]
        mu = min(max(mu >> 12, -131071), 131071)
        mu_fixed = (3 * features[0] + 3 * features[1] + features[3] - features[2]) * 16 // 6
        median = max(min(w, n), min(max(w, n), w + n - nw))
        activity = (abs(w - nw) + abs(n - nw) + abs(n - ne)) << 6 >> min(depth_of_tree, 6)
        activity = min(half_octave(activity >> max(depth_of_tree - 8, 0)), 15)
        cell = (mu + 131072) >> 14  # 0..15

        w_q, n_q, p_q = w >> quantise, n >> quantise, p >> quantise
        context[0] = fold(c * 16, 0)
        context[1] = fold(fold(c * 16 + 1, w), p)
        context[2] = fold(c * 16 + 2, n)
        context[3] = fold(fold(fold(c * 16 + 3, w_q), n_q), p)
        context[4] = fold(fold(fold(fold(c * 16 + 4, w), n), nw), ne)
        context[5] = fold(fold(c * 16 + 5, cell), activity)
        context[6] = fold(c * 16 + 6, median)
        if c > 0:
            context[7] = fold(c * 16 + 7, p)
            context[8] = fold(fold(c * 16 + 8, p_q), p2 >> quantise)
        else:
            context[7] = fold(fold(fold(fold(fold(fold(7, n), ne), nee), w), nn), nne)
            context[8] = fold(fold(8, median), activity)

        value = 0 if decoding else int(v[c, y, x])
        same = 0
        if flat:
            for i in range(CONTEXTS, INPUTS):
                state.inputs[i] = 0
            same = int(value == w)
            equals = int(nee == w) + 2 * int(ww == w) + 4 * int(nn == w)
            mixer, row = 17 + 16 * 17 + equals, 16 * 17 + equals
            same = code_decision(decoding, same, 0, FLAG, mixer, row, buffer, tables, state)
            value = w if same else value
        if not same:
            value = code_tree(
                decoding, value, n_levels, mu, mu_fixed, activity, cell,
                buffer, tables, state, linear,
            )  # fmt: skip
        if decoding:
            v[c, y, x] = value
        learn(centred(value, n_levels), mu, mu_fixed, activity, tables, linear)
        x += 1


def code_run(decoding, c, y, x, length, w, which, v, buffer, tables, state):
    """One decision for a whole stretch: do all `length` values from x on equal W?"""
    same = 1
    if not decoding:
        for i in range(x, x + length):
            if v[c, y, i] != w:
                same = 0
                break
    slot = state.runs[which]
    same = code_bit(decoding, same, min(max(slot >> 14, 1), 65535), buffer, state.coder)
    state.runs[which] = adapted(slot, same, tables.rate)
    if same and decoding:
        for i in range(x, x + length):
            v[c, y, i] = w
    return same


def code_tree(
    decoding, value, n_levels, mu, mu_fixed, activity, cell, buffer, tables, state, linear
):
    """The value's bits, the highest first; a bit that could only be 0 is not coded."""
    depth_of_tree = bit_length(n_levels - 1)
    # A logistic distribution of scale s has the mean absolute error 2 ln(2) s: 22713 = 2**14 2 ln 2
    local = linear.error[activity] if linear.seen[activity] else linear.error[16]
    scale_0 = (22713 << 16) // (local + 1)
    scale_1 = (22713 << 16) // (linear.error[16] + 1)
    scale_2 = (22713 << 16) // (linear.error[17] + 1)
    low_0 = low_1 = low_2 = 0
    high_0 = high_1 = high_2 = ONE
    node, base = 1, 0
    for depth in range(depth_of_tree):
        middle = base + (1 << (depth_of_tree - 1 - depth))
        bit = 0
        if middle < n_levels:
            border = scaled(2 * middle - n_levels, n_levels) * 16
            cut_0 = logistic_cdf((border - mu) * scale_0 >> 16, tables.cdf)
            cut_1 = logistic_cdf((border - mu) * scale_1 >> 16, tables.cdf)
            cut_2 = logistic_cdf((border - mu_fixed) * scale_2 >> 16, tables.cdf)
            state.inputs[CONTEXTS] = share(low_0, cut_0, high_0, tables.stretch)
            state.inputs[CONTEXTS + 1] = share(low_1, cut_1, high_1, tables.stretch)
            state.inputs[CONTEXTS + 2] = share(low_2, cut_2, high_2, tables.stretch)
            bit = value >> (depth_of_tree - 1 - depth) & 1
            place = min(depth, 15)
            mixer = 17 + 17 * activity + place
            bit = code_decision(
                decoding, bit, node, place, mixer, cell * 17 + place, buffer, tables, state
            )
            if bit:
                base = middle
                low_0, low_1, low_2 = cut_0, cut_1, cut_2
            else:
                high_0, high_1, high_2 = cut_0, cut_1, cut_2
        node = 2 * node + bit
    return base


def code_decision(decoding, bit, node, mixer_0, mixer_1, refinement_row, buffer, tables, state):
    """One binary decision: predict it from the inputs, code it, learn from it; gives the bit."""
    slots, index, inputs, weights = state.slots, state.index, state.inputs, state.weights
    mask = slots.shape[1] - 1
    dot_0 = dot_1 = 0
    for i in range(CONTEXTS):
        h = (state.context[i] ^ (node * 0x9E3779B1 & MASK32)) * 0x2C1B3C6D >> 15 & mask
        index[i] = h
        inputs[i] = int(tables.stretch[slots[i, h] >> 14])
    for i in range(INPUTS):
        dot_0 += weights[mixer_0, i] * inputs[i]
        dot_1 += weights[mixer_1, i] * inputs[i]
    dot_0 = min(max(dot_0 >> 16, -LIMIT), LIMIT)
    dot_1 = min(max(dot_1 >> 16, -LIMIT), LIMIT)
    mean = (dot_0 + dot_1) >> 1
    refinement = state.refinement[refinement_row]
    knot, part = (mean + 2880) // 160, (mean + 2880) % 160
    refined = (refinement[knot] * (160 - part) + refinement[knot + 1] * part) // 160 >> 6
    # in 1..65535, as squash is and as the refinement is in 0..65535
    probability = (3 * tables.squash[mean + LIMIT] + refined + 2) >> 2
    bit = code_bit(decoding, bit, probability, buffer, state.coder)

    for i in range(CONTEXTS):
        slots[i, index[i]] = adapted(int(slots[i, index[i]]), bit, tables.rate)
    correct(mixer_0, 65536 * bit - tables.squash[dot_0 + LIMIT], state)
    correct(mixer_1, 65536 * bit - tables.squash[dot_1 + LIMIT], state)
    target = bit * (65535 << 6)
    refinement[knot] += (target - refinement[knot]) >> 6
    refinement[knot + 1] += (target - refinement[knot + 1]) >> 6
    return bit


def correct(mixer, error, state):
    """One step of a mixer's weights along the gradient of the bit's cost, fast at first."""
    n = state.updates[mixer]
    step = error * (6 + 640 // (n + 16))
    for i in range(INPUTS):
        state.weights[mixer, i] += (step * state.inputs[i] + (1 << 17)) >> 18
    state.updates[mixer] = min(n + 1, 300)


def adapted(slot, bit, rate):
    """The slot (22-bit probability << 8 | count) after one more bit."""
    probability, n = slot >> 8, slot & 255
    probability += (bit * 0x3FFFFF - probability) * rate[n] >> 16
    return probability << 8 | min(n + 1, 255)


def learn(target, mu, mu_fixed, activity, tables, linear):
    """Mean errors, then one sweep of coordinate descent on the recursive least-squares problem."""
    error, seen = linear.error, linear.seen
    if seen[activity] == 0:
        error[activity] = error[16]
        seen[activity] = 1
    for k in (activity, 16, 17):
        miss = abs(target * 16 - (mu_fixed if k == 17 else mu))
        error[k] += (miss - error[k]) * tables.rate[seen[k]] >> 16
        seen[k] = min(seen[k] + 1, 250 if k < 16 else 100)
    x, a, b = linear.features, linear.covariance, linear.correlation
    coefficients = linear.coefficients
    for i in range(FEATURES):
        b[i] += x[i] * target - (b[i] >> 8)
        for j in range(FEATURES):
            a[i, j] += x[i] * x[j] - (a[i, j] >> 8)
    for i in range(FEATURES):
        gradient = b[i] << 16
        for j in range(FEATURES):
            gradient -= a[i, j] * coefficients[j]
        moved = coefficients[i] + gradient // (a[i, i] + (1 << 26))
        coefficients[i] = min(max(moved, -(1 << 18)), 1 << 18)


def centred(value, n_levels):
    """A value as a number around 0, within ±8191 for every number of levels."""
    return scaled(2 * value - (n_levels - 1), n_levels)


def scaled(x, n_levels):
    shift = 13 - bit_length(n_levels - 1)
    return x << shift if shift >= 0 else x >> -shift


def logistic_cdf(t, cdf):
    """Of t in 1/2**14, linear between the table's entries, 30 bits."""
    t = min(max(t + (1024 << 8), 0), 2048 << 8)
    k = t >> 8
    return cdf[k] + ((cdf[k + 1] - cdf[k]) * (t & 255) >> 8)


def share(low, cut, high, stretch):
    """Logit of the upper part's probability, (high - cut) / (high - low)."""
    return int(stretch[(high - cut + 4096 << 16) // (high - low + 8192)])


def fold(h, x):
    """32-bit hash h with the number x < 2**17 mixed in."""
    h = (h + x + 1) * 0x1B873593 & MASK32
    return h ^ h >> 15


def half_octave(x):
    """Number of bits of x, doubled, plus the bit below the highest: two steps an octave."""
    if x < 2:
        return x
    n = bit_length(x)
    return 2 * n - 2 + (x >> (n - 2) & 1)


def bit_length(x):
    n = 0
    while x > 0:
        n += 1
        x >>= 1
    return n

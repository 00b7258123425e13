"""One block to texels, for rdo's kernels."""

import numpy as np

from smalti.bc7.layout import MODE_COUNT, MODE_TABLE, WEIGHT_TABLE
from smalti.bc7.partitions import ANCHORS, PARTITIONS
from smalti.jit import njit

# One bit per texel: stored with one index bit less. [subsets - 1, partition]
_ANCHOR_MASKS = np.bitwise_or.reduce(np.uint64(1) << ANCHORS.astype(np.uint64), axis=2)

_LANES = np.uint64(0x00FF00FF00FF00FF)
_ROUND = np.uint64(0x0020002000200020)  # 32 in each lane: half of the weights' 64
_ALPHA_LANE = np.uint64(0x00FF000000000000)
_ONE = np.uint64(1)
_LANE_ONES = np.uint64(0x0001000100010001)


@njit(nogil=True)
def _decode_block(low, high, endpoints, texels):
    """Decode one block of two 64-bit words into 16 RGBA texels of 32 bits.

    endpoints: scratch for six. About 100 to 250 operations a block for the fields, 20 a texel.
    """
    mode = 0
    while mode < MODE_COUNT and not (low >> np.uint64(mode)) & _ONE:
        mode += 1
    if mode == MODE_COUNT:
        texels[:] = 0
        return
    if mode == 6:
        _decode_mode_6(low, high, texels)
        return
    subsets = MODE_TABLE[mode, 0]
    low, high, _ = _take(low, high, mode + 1)
    low, high, partition = _take(low, high, MODE_TABLE[mode, 1])
    low, high, rotation = _take(low, high, MODE_TABLE[mode, 2])
    low, high, selection = _take(low, high, MODE_TABLE[mode, 3])
    low, high = _take_endpoints(low, high, mode, endpoints)

    index_bits = MODE_TABLE[mode, 8]
    second_bits = MODE_TABLE[mode, 9]
    anchors = _ANCHOR_MASKS[subsets - 1, partition]
    if second_bits:
        # Only mode 4 has more than 64 index bits left; here one subset means one anchor.
        first_bits = 16 * index_bits - 1
        low, high, first = _take(low, high, first_bits)
        _interpolate_apart(
            endpoints[0], endpoints[1], first, low, index_bits, second_bits, selection, texels
        )
        _rotate(rotation, texels)
        return
    for texel in range(16):
        bits = np.uint64(index_bits) - ((anchors >> np.uint64(texel)) & _ONE)
        weight = WEIGHT_TABLE[index_bits, low & ((_ONE << bits) - _ONE)]
        low >>= bits
        subset = 2 * PARTITIONS[subsets - 1, partition, texel]
        lanes = _interpolate(endpoints[subset], endpoints[subset + 1], weight)
        texels[texel] = _pack_lanes(lanes)


@njit(nogil=True)
def _decode_mode_6(low, high, texels):
    """The simplest mode and the one that `encode` writes: about 60 operations, 12 a texel."""
    start = np.uint64(0)
    end = np.uint64(0)
    for channel in range(4):
        shift = np.uint64(7 + 14 * channel)
        lane = np.uint64(16 * channel + 1)
        start |= ((low >> shift) & np.uint64(127)) << lane
        end |= ((low >> (shift + np.uint64(7))) & np.uint64(127)) << lane
    start |= (low >> np.uint64(63)) * _LANE_ONES
    end |= (high & _ONE) * _LANE_ONES
    weight = WEIGHT_TABLE[4, (high >> _ONE) & np.uint64(7)]
    texels[0] = _pack_lanes(_interpolate(start, end, weight))
    for texel in range(1, 16):
        weight = WEIGHT_TABLE[4, (high >> np.uint64(4 * texel)) & np.uint64(15)]
        texels[texel] = _pack_lanes(_interpolate(start, end, weight))


@njit(nogil=True)
def _take(low, high, bits):
    """Return the 128-bit number shifted right by `bits` < 64, and the bits shifted out."""
    if bits == 0:
        return low, high, np.uint64(0)
    shift = np.uint64(bits)
    field = low & ((_ONE << shift) - _ONE)
    return (low >> shift) | (high << (np.uint64(64) - shift)), high >> shift, field


@njit(nogil=True)
def _take_endpoints(low, high, mode, endpoints):
    """Read colour, alpha and p-bits; write endpoints of 8 bits a channel in four lanes each."""
    count = 2 * MODE_TABLE[mode, 0]
    colour_bits = MODE_TABLE[mode, 4]
    alpha_bits = MODE_TABLE[mode, 5]
    endpoint_pbit = MODE_TABLE[mode, 6]
    subset_pbit = MODE_TABLE[mode, 7]
    for i in range(count):
        endpoints[i] = 0
    for channel in range(3):
        for i in range(count):
            low, high, field = _take(low, high, colour_bits)
            endpoints[i] |= field << np.uint64(16 * channel)
    if alpha_bits:
        for i in range(count):
            low, high, field = _take(low, high, alpha_bits)
            endpoints[i] |= field << np.uint64(48)

    if endpoint_pbit or subset_pbit:
        pbit = np.uint64(0)
        for i in range(count):
            if endpoint_pbit or i % 2 == 0:
                low, high, pbit = _take(low, high, 1)
            endpoints[i] = (endpoints[i] << _ONE) | (pbit * _LANE_ONES)
        colour_bits += 1
        alpha_bits += alpha_bits > 0
    # Replicate the top bits below, to fill 8; colour and alpha differ in width in modes 4 and 5.
    for i in range(count):
        colour = _widen(endpoints[i] & ~_ALPHA_LANE, colour_bits)
        alpha = _ALPHA_LANE
        if alpha_bits:
            alpha = _widen(endpoints[i] & _ALPHA_LANE, alpha_bits)
        endpoints[i] = colour | alpha
    return low, high


@njit(nogil=True)
def _widen(lanes, bits):
    below = (lanes >> np.uint64(2 * bits - 8)) & _LANES
    # A lane's low bits fall into the lane beneath it; keep the 8 - bits that belong.
    keep = ((_ONE << np.uint64(8 - bits)) - _ONE) * _LANE_ONES
    return (lanes << np.uint64(8 - bits)) | (below & keep)


@njit(nogil=True)
def _interpolate(lanes_0, lanes_1, weight):
    # (64 - w) e0 + w e1, with one multiplication; a borrow between lanes cancels in the sum.
    total = (lanes_0 << np.uint64(6)) + (lanes_1 - lanes_0) * weight + _ROUND
    return (total >> np.uint64(6)) & _LANES


@njit(nogil=True)
def _pack_lanes(lanes):
    pairs = lanes | (lanes >> np.uint64(8))
    return np.uint32(
        (pairs & np.uint64(0xFFFF)) | ((pairs >> np.uint64(16)) & np.uint64(0xFFFF0000))
    )


@njit(nogil=True)
def _interpolate_apart(lanes_0, lanes_1, first, second, first_bits, second_bits, selection, texels):
    """Modes 4 and 5: colour by one set of indices, alpha by the other."""
    for texel in range(16):
        anchor = np.uint64(texel == 0)
        bits = np.uint64(first_bits) - anchor
        weight = WEIGHT_TABLE[first_bits, first & ((_ONE << bits) - _ONE)]
        first >>= bits
        bits = np.uint64(second_bits) - anchor
        other = WEIGHT_TABLE[second_bits, second & ((_ONE << bits) - _ONE)]
        second >>= bits
        if selection:
            weight, other = other, weight
        colour = _interpolate(lanes_0, lanes_1, weight) & ~_ALPHA_LANE
        alpha = _interpolate(lanes_0, lanes_1, other) & _ALPHA_LANE
        texels[texel] = _pack_lanes(colour | alpha)


@njit(nogil=True)
def _rotate(rotation, texels):
    """Exchange alpha with channel `rotation` - 1."""
    if rotation == 0:
        return
    shift = np.uint32(8 * (rotation - np.uint64(1)))
    for texel in range(16):
        value = texels[texel]
        change = ((value >> shift) ^ (value >> np.uint32(24))) & np.uint32(0xFF)
        texels[texel] = value ^ (change << shift) ^ (change << np.uint32(24))

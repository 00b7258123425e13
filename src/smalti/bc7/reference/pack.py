"""What a block stores and its 16 bytes, for the encoder's readable twin (encode.py)."""

from dataclasses import dataclass, replace

import numpy as np

from smalti.bc7.layout import BLOCK_BYTES, MODES
from smalti.bc7.partitions import ANCHORS, PARTITIONS
from smalti.bc7.search import solid_codes


@dataclass
class Coding:
    """What a block stores. Codes have their p-bit as the lowest bit."""

    mode: int
    partition: int
    rotation: int
    selection: int
    codes: np.ndarray  # (subsets, 2, 4): of the first and the second endpoint
    index: np.ndarray  # (16,): of the colours, or of all channels
    second: np.ndarray  # (16,): of the channel that has its own in modes 4 and 5

    def copy(self) -> "Coding":
        return replace(
            self, codes=self.codes.copy(), index=self.index.copy(), second=self.second.copy()
        )


def solid(texel: np.ndarray) -> Coding:
    """`keep_solid`: mode 5, exact."""
    codes = np.zeros((1, 2, 4))
    codes[0, :, :3] = solid_codes()[texel[:3]].T
    codes[0, :, 3] = texel[3]
    return Coding(5, 0, 0, 0, codes, np.ones(16), np.zeros(16))


def pack(coding: Coding) -> bytes:
    """The 16 bytes of a block: its fields from the lowest bit on (see layout.py)."""
    coding = coding.copy()
    mode = MODES[coding.mode]
    codes, index, second = (
        coding.codes.astype(int),
        coding.index.astype(int),
        coding.second.astype(int),
    )
    subset = PARTITIONS[mode.subsets - 1, coding.partition]
    anchors = ANCHORS[mode.subsets - 1, coding.partition, : mode.subsets]
    index_bits, second_bits = mode.index, mode.second_index
    if coding.selection:
        index_bits, second_bits = second_bits, index_bits

    # An anchor's top bit is not stored: where it is 1, the endpoints change places.
    channels = 3 if second_bits else 4
    for s, anchor in enumerate(anchors):
        if index[anchor] >> (index_bits - 1):
            codes[s, :, :channels] = codes[s, ::-1, :channels]
            index[subset == s] = (1 << index_bits) - 1 - index[subset == s]
    if second_bits and second[0] >> (second_bits - 1):
        codes[0, :, 3] = codes[0, ::-1, 3]
        second = (1 << second_bits) - 1 - second

    has_pbits = mode.endpoint_pbit or mode.subset_pbit
    fields = [(1 << coding.mode, coding.mode + 1)]
    fields += [(coding.partition, mode.partition), (coding.rotation, mode.rotation)]
    fields += [(coding.selection, mode.index_selection)]
    for channel, bits in enumerate([mode.colour] * 3 + [mode.alpha] * (mode.alpha > 0)):
        fields += [(code >> has_pbits, bits) for code in codes[:, :, channel].ravel()]
    if mode.endpoint_pbit:
        fields += [(code & 1, 1) for code in codes[:, :, 0].ravel()]
    if mode.subset_pbit:
        fields += [(code & 1, 1) for code in codes[:, 0, 0]]
    sets = [
        [(i, index_bits - (t in anchors)) for t, i in enumerate(index)],
        [(i, second_bits - (t == 0)) for t, i in enumerate(second) if second_bits],
    ]
    for indices in reversed(sets) if coding.selection else sets:
        fields += indices

    value = shift = 0
    for field, width in fields:
        value |= int(field) << shift
        shift += width
    return value.to_bytes(BLOCK_BYTES, "little")

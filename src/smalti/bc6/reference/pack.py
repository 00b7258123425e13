"""What a block stores -> 16 bytes: native/bc6/encode_pack.h, bit for bit."""

from typing import TYPE_CHECKING

from smalti.bc6.layout import BLOCK_BYTES, MODES, index_bits, mode_bits, runs
from smalti.bc7.partitions import ANCHORS

if TYPE_CHECKING:
    from smalti.bc6.reference.encode import Coding


def pack(coding: "Coding") -> bytes:
    return b"".join(_pack_one(coding, block) for block in range(len(coding.mode)))


def _pack_one(coding: "Coding", block: int) -> bytes:
    mode = MODES[coding.mode[block]]
    codes = coding.codes[:, :, block].astype(int)
    fields = [[int(code) for code in end] for end in codes]
    if mode.transformed:
        fields[1:] = [[int(c - w) for c, w in zip(end, codes[0], strict=True)] for end in codes[1:]]
    value, at = mode.number, mode_bits(mode)
    for run in runs(mode):
        value |= (fields[run.end][run.channel] >> run.first & (1 << run.count) - 1) << at
        at += run.count
    partition = int(coding.partition[block])
    if mode.subsets == 2:
        value |= partition << at
        at += 5
    anchors = ANCHORS[mode.subsets - 1, partition, : mode.subsets]
    for texel in range(16):
        value |= int(coding.indices[texel, block]) << at
        at += index_bits(mode) - (texel in anchors)
    return value.to_bytes(BLOCK_BYTES, "little")

"""A BC7 block taken apart, field by field: which bits say what, and what the texels make of it.

    128 bits ──fields──▶ ends, p-bits ──widen──▶ palettes ──indices──▶ 16 texels

Khronos Data Format Specification 1.4, chapter 20, section BC7.
"""

from dataclasses import dataclass

import numpy as np

from smalti.bc7.layout import BLOCK_BYTES, MODE_COUNT, MODES, WEIGHTS, Mode
from smalti.bc7.partitions import ANCHORS, PARTITIONS
from smalti.errors import FormatError

CHANNELS = "RGBA"


@dataclass(frozen=True)
class Field:
    """Neighbouring bits of a block that make one number."""

    name: str  # as in the specification: R0, A1, P0; i5 and j5 are the indices of texel 5
    group: str  # mode, partition, rotation, selection, R, G, B, A, p-bit, index or second index
    start: int  # first bit, of 128
    width: int  # bits
    value: int


@dataclass(frozen=True)
class Anatomy:
    """What a block says. S subsets, 16 texels in row-major order."""

    number: int  # of the mode, 0 .. 7
    mode: Mode
    fields: tuple[Field, ...]  # in the order of the bits, all 128
    partition: int
    rotation: int  # 0, or which channel, counted from 1, changes place with alpha
    selection: int  # 1: colour takes the second indices, alpha the first
    subsets: np.ndarray  # (16,): the subset of each texel
    ends: np.ndarray  # int64 (S, 2, 4), 0 .. 255, channels where the picture has them
    palettes: tuple[np.ndarray, ...]  # S of int64 (N, M, 4), see `_palettes`
    indices: np.ndarray  # (16,), into the first weights
    second_indices: np.ndarray | None  # (16,), into the second weights: modes 4 and 5
    texels: np.ndarray  # uint8 (16, 4), decoded


def dissect(block: bytes) -> Anatomy:
    """Take 16 bytes apart.

    Raises:
        FormatError: not 16 bytes, or the reserved mode, a first byte of 0.
    """
    if len(block) != BLOCK_BYTES:
        raise FormatError(f"a BC7 block takes {BLOCK_BYTES} bytes, here are {len(block)}")
    if not block[0]:
        raise FormatError("the block's first byte is 0, the reserved mode: it has no fields")
    reader = _Reader(int.from_bytes(block, "little"))
    number = next(n for n in range(MODE_COUNT) if block[0] >> n & 1)
    mode = MODES[number]
    reader.take("mode", "mode", number + 1)
    partition = reader.take("partition", "partition", mode.partition)
    rotation = reader.take("rotation", "rotation", mode.rotation)
    selection = reader.take("selection", "selection", mode.index_selection)

    count = 2 * mode.subsets
    raw = np.zeros((count, 4), dtype=np.int64)
    for channel, name in enumerate(CHANNELS):
        for end in range(count):
            width = mode.alpha if name == "A" else mode.colour
            raw[end, channel] = reader.take(f"{name}{end}", name, width)
    pbits = [reader.take(f"P{i}", "p-bit", 1) for i in range(count * mode.endpoint_pbit)]
    for subset in range(mode.subsets * mode.subset_pbit):
        pbits += 2 * [reader.take(f"P{subset}", "p-bit", 1)]
    ends = _widen(raw, mode, pbits).reshape(mode.subsets, 2, 4)

    anchors = set(ANCHORS[mode.subsets - 1, partition, : mode.subsets].tolist())
    sets = []
    for letter, group, width in (
        ("i", "index", mode.index),
        ("j", "second index", mode.second_index),
    ):
        taken = [
            reader.take(f"{letter}{t}", group, width - (t in anchors and width > 0))
            for t in range(16)
        ]
        sets.append(np.array(taken) if width else None)
    first, second = sets
    assert first is not None  # every mode has one
    subsets = PARTITIONS[mode.subsets - 1, partition].astype(np.int64)
    order = list(range(4))
    if rotation:
        order[rotation - 1], order[3] = 3, rotation - 1
    palettes = _palettes(ends, mode, selection)
    columns, rows = (second, first) if selection and second is not None else (first, second)
    texels = np.stack(
        [palettes[subsets[t]][columns[t], 0 if rows is None else rows[t]] for t in range(16)]
    )
    return Anatomy(
        number=number,
        mode=mode,
        fields=tuple(reader.fields),
        partition=partition,
        rotation=rotation,
        selection=selection,
        subsets=subsets,
        ends=ends[..., order],
        palettes=tuple(palette[..., order] for palette in palettes),
        indices=first,
        second_indices=second,
        texels=texels[:, order].astype(np.uint8),
    )


class _Reader:
    """A number read from its lowest bit, which remembers what was read."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.start = 0
        self.fields: list[Field] = []

    def take(self, name: str, group: str, width: int) -> int:
        value = self.value >> self.start & ((1 << width) - 1)
        if width:
            self.fields.append(Field(name, group, self.start, width, value))
            self.start += width
        return value


def _widen(raw: np.ndarray, mode: Mode, pbits: list[int]) -> np.ndarray:
    """Append the p-bits and repeat the top bits below, to fill 8; no alpha bits: opaque."""
    widths = np.array([mode.colour] * 3 + [mode.alpha])
    ends = raw
    if pbits:
        ends = 2 * raw + np.array(pbits)[:, None]
        widths = widths + 1
    ends = ends << (8 - widths) | ends >> np.maximum(2 * widths - 8, 0)
    if not mode.alpha:
        ends[:, 3] = 255
    return ends


def _palettes(ends: np.ndarray, mode: Mode, selection: int) -> list[np.ndarray]:
    """Of each subset, (N, M, 4): N colours, and where alpha has indices of its own, M alphas."""
    colour_weights = np.array(WEIGHTS[mode.index])
    if not mode.second_index:
        return [_mix(low, high, colour_weights[:, None])[:, None] for low, high in ends]
    alpha_weights = np.array(WEIGHTS[mode.second_index])
    if selection:
        colour_weights, alpha_weights = alpha_weights, colour_weights
    palettes = []
    for low, high in ends:
        colours = _mix(low, high, colour_weights[:, None])
        palette = np.repeat(colours[:, None], len(alpha_weights), axis=1)
        palette[..., 3] = _mix(low[3], high[3], alpha_weights)
        palettes.append(palette)
    return palettes


def _mix(low: np.ndarray, high: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return ((64 - weights) * low + weights * high + 32) >> 6

"""The parameters of a fitted picture's networks, and their bytes."""

import math
from dataclasses import dataclass

import numpy as np

from smalti.entropy import decode_planes, encode_planes
from smalti.entropy.varint import read_varint, unzigzag, write_varint, zigzag
from smalti.errors import FormatError
from smalti.fits.picture.coder import FRACTION, HIDDEN, MAX_WEIGHT
from smalti.fits.picture.context import INPUTS

BILINEAR = np.array([0, 0.25, 0.75, 0], np.float32)
MAX_LEVEL = 1 << 15  # of a stored weight, both signs
FINEST = 14  # weights are stored as multiples of 2^-k, k at most this


@dataclass
class Network:
    """All parameters, float32. Rows of a matrix are outputs."""

    synthesis: tuple[np.ndarray, ...]  # w1 `K G`, b1, w2 `C K`, b2, skip `C G`
    taps: tuple[np.ndarray, ...]  # `levels 4`, of the doubling from each level to the one below
    context: tuple[np.ndarray, ...]  # w1, b1, w2, b2, w3, b3
    # each group's arrays behind each other, as the kernels take them: the groups are views of these
    parts: tuple[np.ndarray, ...] = ()

    @classmethod
    def of(cls, grids: int, channels: int, hidden: int, top: int) -> "Network":
        """Zeros, in the right shapes, and the taps of bilinear interpolation."""
        c, k, a = channels, hidden, HIDDEN
        network = cls._zeros(
            [
                [(k, grids), (k,), (c, k), (c,), (c, grids)],
                [(top, 4)],
                [(a, INPUTS), (a,), (a, a), (a,), (2, a), (2,)],
            ]
        )
        network.taps[0][:] = BILINEAR
        return network

    @classmethod
    def _zeros(cls, shapes: list[list[tuple[int, ...]]]) -> "Network":
        parts, groups = [], []
        for group in shapes:
            sizes = [math.prod(shape) for shape in group]
            parts.append(np.zeros(sum(sizes), np.float32))
            ends = np.cumsum(sizes)
            groups.append(
                tuple(
                    parts[-1][end - size : end].reshape(shape)
                    for end, size, shape in zip(ends, sizes, group, strict=True)
                )
            )
        return cls(groups[0], groups[1], groups[2], tuple(parts))

    def initialise(self, random: np.random.Generator) -> None:
        """Random weights to start a fit from."""

        def fill(matrix: np.ndarray, gain: float) -> None:
            bound = gain / math.sqrt(matrix.shape[1])
            matrix[:] = random.uniform(-bound, bound, matrix.shape)

        w1, _, w2, _, skip = self.synthesis
        fill(w1, 1)
        fill(w2, 0.3)
        fill(skip, 0.3 * math.sqrt(skip.shape[1]))
        for matrix, gain in zip(self.context[::2], (1, 1, 0.3), strict=True):
            fill(matrix, gain)

    @property
    def arrays(self) -> list[np.ndarray]:
        return [array for group in self.groups for array in group]

    @property
    def groups(self) -> list[tuple[np.ndarray, ...]]:
        """Parameters that share a step when stored."""
        return [self.synthesis, self.taps, self.context]

    def zeros_like(self) -> "Network":
        return Network._zeros([[a.shape for a in group] for group in self.groups])

    def rounded(self, steps: tuple[int, ...]) -> "Network":
        """With the parameters of group i at multiples of 2^-steps[i], as a file holds them."""
        rounded = self.zeros_like()
        for group, target, k in zip(self.groups, rounded.groups, steps, strict=True):
            limit = self._limit(group)
            for a, into in zip(group, target, strict=True):
                into[...] = np.clip(np.rint(a * 2.0**k), -limit, limit) / 2.0**k
        return rounded

    def to_bytes(self, steps: tuple[int, ...]) -> bytes:
        """Of each group its step, the lowest integer, how many levels there are, and the integers."""
        out = bytearray()
        for group, k in zip(self.groups, steps, strict=True):
            integers = _integers(group, k, self._limit(group))
            low = int(integers.min(initial=0))
            levels = int(integers.max(initial=0)) - low + 1
            coded = encode_planes((integers - low).reshape(1, 1, -1), [levels])
            for number in (k, zigzag(low), levels, len(coded)):
                out += write_varint(number)
            out += coded
        return bytes(out)

    def read(self, data: bytes) -> tuple[int, ...]:
        """Fill in the parameters that `to_bytes` wrote; the steps.

        Raises:
            FormatError: data that `to_bytes` cannot have written.
        """
        steps, offset = [], 0
        for group in self.groups:
            numbers = []
            for _ in range(4):
                number, offset = read_varint(data, offset)
                numbers.append(number)
            k, low, levels, length = numbers
            low = unzigzag(low)
            limit = self._limit(group)
            finest = FRACTION if group is self.context else FINEST
            if k > finest or not -limit <= low <= 0 < low + levels <= limit + 1:
                raise FormatError(f"weights of {levels} levels from {low}, in steps of 2^-{k}")
            count = sum(a.size for a in group)
            part = data[offset : offset + length]
            integers = decode_planes(part, (1, 1, count), [levels]).reshape(-1) + low
            offset += length
            place = 0
            for a in group:
                a[:] = (integers[place : place + a.size] / 2.0**k).reshape(a.shape)
                place += a.size
            steps.append(k)
        if offset != len(data):
            raise FormatError(f"{len(data) - offset} bytes too many behind the weights")
        return tuple(steps)

    def context_table(self, k: int) -> np.ndarray:
        """The context model's integers as `coder.distribution` takes them, int32 `rows 16`."""
        w1, b1, w2, b2, w3, b3 = (
            _integers((a,), k, MAX_WEIGHT).reshape(a.shape) for a in self.context
        )
        last = np.zeros((1, HIDDEN), np.int64)
        last[0, :2] = b3 << 8
        return np.concatenate([b1[None], w1.T, b2[None] << 8, w2.T, last, w3]).astype(np.int32)

    def _limit(self, group: tuple[np.ndarray, ...]) -> int:
        """Of a group's integers, both signs."""
        return MAX_WEIGHT if group is self.context else MAX_LEVEL


def _integers(group: tuple[np.ndarray, ...], k: int, limit: int) -> np.ndarray:
    flat = [np.rint(a.astype(np.float64) * 2.0**k).reshape(-1) for a in group]
    return np.clip(np.concatenate(flat), -limit, limit).astype(np.int64)

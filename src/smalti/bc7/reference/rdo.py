"""Readable twin of native/bc7/rdo.cpp, for one segment of blocks: the same bytes.

The books of earlier entries and their scans are in rdo_book, endpoints for indices and
indices for endpoints in rdo_fit, bits in rdo_rate.
"""

from dataclasses import dataclass

import numpy as np

from smalti.bc7.layout import BLOCK_BYTES, WEIGHTS, block_grid
from smalti.bc7.partitions import PARTITIONS
from smalti.bc7.rdo import FLAT_LIMIT, FLAT_WEIGHT
from smalti.bc7.reference.decode import decode_block
from smalti.bc7.reference.rdo_book import (
    Book,
    pair,
    pattern_1,
    pattern_6,
    scan_blocks,
    scan_ends,
    scan_pairs,
    scan_patterns,
)
from smalti.bc7.reference.rdo_fit import FREE, choose_6, fit_1, fit_6, indices_6
from smalti.bc7.reference.rdo_rate import FARTHEST, UNITS, Stream

FITTED = 4  # patterns of each mode, the most promising ones, that endpoints are fitted to
ENDS_SHARE = 4  # the book of endpoints holds this part of the others' capacity

# Bits that new endpoints take at least, for the lower bounds: about 6 opaque bytes.
_ENDS_6_BITS = 40
_ENDS_1_BITS = 64


class Block:
    """One block of the picture, and the error of what stands for it."""

    def __init__(self, image: np.ndarray, row: int, column: int, weights: np.ndarray) -> None:
        """image: uint8 (H, W, 4). Edge texels are repeated. weights: float32 (4,), whole numbers.

        Colour under alpha 0 counts nothing and becomes the mean of the visible texels.
        """
        height, width = image.shape[:2]
        rows = np.minimum(4 * row + np.arange(4), height - 1)
        columns = np.minimum(4 * column + np.arange(4), width - 1)
        x = image[rows[:, None], columns].reshape(16, 4).astype(np.int64)
        visible = x[:, 3] > 0
        self.opaque, self.transparent = x[:, 3] == 255, x[:, 3] == 0
        self.least_alpha, self.greatest_alpha = int(x[:, 3].min()), int(x[:, 3].max())
        self.importance = np.tile(weights, (16, 1))
        self.importance[~visible, :3] = 0
        self.variance = largest = 0.0  # squared error of the mean colour; of one channel and texel
        for c in range(4):
            values = x[:, c] if c == 3 else x[visible, c]
            count, total = len(values), int(values.sum())
            if count == 0:
                continue
            error = int((values**2).sum()) - total * total / count
            self.variance += float(weights[c]) * error
            largest = max(largest, error / count)
            if c < 3:
                x[~visible, c] = (total + count // 2) // count
        self.deviation = largest**0.5
        self.texels = x.astype(np.float32)

    def promise(self, decoded: np.ndarray) -> None:
        """Alpha of 255 and of 0 that `decoded` has is kept by every candidate."""
        self.opaque &= decoded[:, 3] == 255
        self.transparent &= decoded[:, 3] == 0

    def keeps_alpha(self, decoded: np.ndarray) -> bool:
        opaque, transparent = decoded[:, 3] == 255, decoded[:, 3] == 0
        return not (self.opaque & ~opaque).any() and not (self.transparent & ~transparent).any()

    def squared_error(self, decoded: np.ndarray) -> float:
        """A whole number."""
        return float((self.importance * (self.texels - decoded.astype(np.float64)) ** 2).sum())

    def partition_errors(self, weights: np.ndarray) -> np.ndarray:
        """Squared error of one mean colour in each of the two subsets of all 64 partitions."""
        inside = PARTITIONS[1].astype(np.float64)
        count = inside.sum(axis=1)
        explained = np.zeros(64)
        for c in range(3):
            x = self.texels[:, c].astype(np.float64)
            difference = inside @ x * 16.0 - x.sum() * count
            explained += float(weights[c]) * (difference**2 / (16.0 * count * (16 - count)))
        return self.variance - explained


@dataclass
class Best:
    """The best candidate of a block so far."""

    cost: float  # squared error + price * rate
    block: bytes
    front: int | None = None  # blocks with the same first and the same last bytes
    tail: int | None = None


class Segment:
    """Blocks that are optimised one after another."""

    def __init__(
        self, blocks: bytes, image: np.ndarray, lagrangian: float, window: int, weights: np.ndarray
    ) -> None:
        pieces = range(0, len(blocks), BLOCK_BYTES)
        self.stream = Stream([blocks[at : at + BLOCK_BYTES] for at in pieces])
        self.image, self.lagrangian = image, lagrangian
        self.weights = np.asarray(weights, dtype=np.float32)
        self.wholes, self.patterns_6, self.patterns_1 = (Book(window) for _ in range(3))
        self.ends = Book(max(window // ENDS_SHARE, 1))

    def optimise(self) -> bytes:
        columns = block_grid(*self.image.shape[:2])[1]
        for number in range(len(self.stream.blocks)):
            self.stream.number = number
            self._optimise_block(*divmod(number, columns))
        return b"".join(self.stream.blocks)

    def _optimise_block(self, row: int, column: int) -> None:
        number, before = self.stream.number, self.stream.blocks[self.stream.number]
        block = self.block = Block(self.image, row, column, self.weights)
        decoded = decode_block(before)
        block.promise(decoded)
        # Errors in flat blocks are seen as edges of blocks: see `rdo.optimise`.
        flat = 1.0 - min(block.deviation / FLAT_LIMIT, 1.0)
        self.price = self.lagrangian / (1.0 + (FLAT_WEIGHT - 1.0) * flat * flat) / UNITS

        rate = self.stream.rate(before, None, None)[0]
        self.best = Best(block.squared_error(decoded) + self.price * rate, before)
        self._try_wholes()
        self._try_patterns_6()
        if block.least_alpha == 255:
            self._try_patterns_1()
        self._try_ends()

        after = self.best.block
        self.stream.accept(after, self.best.front, self.best.tail)
        low, high = _words(after)
        features = decode_block(after).reshape(64).astype(np.float32)
        self.wholes.enter(after, number, features)
        if low & 127 == 1 << 6:
            self.patterns_6.enter(high, number, pattern_6(high))
            self.ends.enter((low, high & 1), number, pair(low, high))
        elif low & 3 == 1 << 1:
            key = (low & 0xFF, high & ~0xFFFF)
            self.patterns_1.enter(key, number, pattern_1(low, high))

    def _consider(self, low: int, high: int, front: int | None, tail: int | None) -> None:
        """Decode a candidate; keep it if it is the best and keeps the promised alpha."""
        candidate = (low | high << 64).to_bytes(BLOCK_BYTES, "little")
        decoded = decode_block(candidate)
        if not self.block.keeps_alpha(decoded):
            return
        cost = self.block.squared_error(decoded)
        cost += self.price * self.stream.rate(candidate, front, tail)[0]
        if cost < self.best.cost:
            self.best = Best(cost, candidate, front, tail)

    def _matches(self, book: Book, errors: np.ndarray):
        """(entry, its error and the cost of the match) of every entry that a match reaches."""
        for n, (error, used) in enumerate(zip(errors, book.used, strict=True)):
            distance = self.stream.number - used
            if distance <= FARTHEST:
                yield n, float(error) + self.price * self.stream.match_rate(distance)

    def _try_wholes(self) -> None:
        book, block = self.wholes, self.block
        if not book.keys:
            return
        channels = 3 if block.opaque.all() else 4
        errors = scan_blocks(book.rows(), channels, block.texels, block.importance)
        for n, cost in self._matches(book, errors):
            decoded = book.features[n].reshape(16, 4)
            if cost < self.best.cost and block.keeps_alpha(decoded):
                self.best = Best(cost, book.keys[n], book.used[n], book.used[n])

    def _try_patterns_6(self) -> None:
        book, block = self.patterns_6, self.block
        if not book.keys:
            return
        channels = 3 if block.least_alpha == 255 else 4
        gains = scan_patterns(book.rows(), channels, block.texels, self.weights)
        # With the endpoints of an earlier block too, nothing else is paid.
        for bound, n in self._most_promising(book, np.float32(block.variance) - gains):
            high, tail = book.keys[n], book.used[n]
            if bound + self.price * _ENDS_6_BITS * UNITS < self.best.cost:
                fixed = self._alpha_ends(n)
                if fixed[1] == FREE or fixed[1] & 1 == high & 1:
                    low = fit_6(high, block.texels, block.importance > 0, fixed)
                    self._consider(low, high, None, tail)
            self._try_pairs(high, tail)

    def _try_patterns_1(self) -> None:
        book, block = self.patterns_1, self.block
        if not book.keys:
            return
        gains = scan_patterns(book.rows(), 3, block.texels, self.weights)
        errors = block.partition_errors(self.weights) + self.price * _ENDS_1_BITS * UNITS
        partitions = [low >> 2 for low, _ in book.keys]
        for bound, n in self._most_promising(book, errors[partitions].astype(np.float32) - gains):
            if bound < self.best.cost:
                low, high = book.keys[n]
                words = fit_1(low, high, block.texels, block.importance > 0)
                self._consider(*words, None, book.used[n])

    def _most_promising(self, book: Book, errors: np.ndarray) -> list[tuple[float, int]]:
        """The least costs at least, and their entries; of equal ones the first."""
        costs = [(cost, n) for n, cost in self._matches(book, errors) if cost < self.best.cost]
        return sorted(costs)[:FITTED]

    def _try_pairs(self, high: int, tail: int) -> None:
        """Indices of one block with the endpoints of another."""
        book, block = self.ends, self.block
        weights = np.array(WEIGHTS[4])[indices_6(high)]
        errors = scan_pairs(book.rows(), weights, block.texels)
        constant = block.squared_error(np.zeros((16, 4)))
        constant += self.price * self.stream.match_rate(self.stream.number - tail)
        choice = self._least(book, errors.astype(np.float64) + constant)
        if choice is not None:
            self._consider(book.keys[choice][0], high, book.used[choice], tail)

    def _try_ends(self) -> None:
        book, block = self.ends, self.block
        if not book.keys:
            return
        errors = scan_ends(book.rows(), block.texels, block.importance)
        choice = self._least(book, errors)
        if choice is not None:
            low, pbit = book.keys[choice]
            high = choose_6(low, pbit, block.texels, block.importance)
            self._consider(low, high, book.used[choice], None)

    def _least(self, book: Book, errors: np.ndarray) -> int | None:
        """The first entry of least cost, if that is less than the best one's."""
        costs = [(cost, n) for n, cost in self._matches(book, errors) if cost < self.best.cost]
        return min(costs)[1] if costs else None

    def _alpha_ends(self, n: int) -> tuple[int, int]:
        """Alpha of the two endpoints: 0 or 255 for a block with texels of that alpha, or FREE."""
        least, greatest = self.block.least_alpha, self.block.greatest_alpha
        fixed = (least if least in (0, 255) else FREE, 255 if greatest == 255 else FREE)
        slope = np.float32(0)
        for t in range(16):
            slope += self.patterns_6.features[n][t] * self.block.texels[t, 3]
        return fixed[::-1] if slope < 0 else fixed


def _words(block: bytes) -> tuple[int, int]:
    return int.from_bytes(block[:8], "little"), int.from_bytes(block[8:], "little")

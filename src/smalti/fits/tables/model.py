"""What the two textures of tables share: a shape, a vector of parameters, and drawing.

    texel ─bilinear in each level─ features ─f(W x + b)─ ... ─sigmoid(W x + b)─ colour

Not trained on pictures: fitted to one.
"""

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from smalti.fits.tables import kernels
from smalti.fits.tables.levels import Axis, Level, as_table, taps

ACTIVATIONS = ("siren", "gelu", "silu", "relu")  # the index is what kernels and files know
SIREN = 0
OMEGA = 30.0  # of the sines (Sitzmann et al. 2020, arXiv 2006.09661, section 3.2)
BLOCK = 1024  # rows, and columns, drawn at a time: their taps stay small


@dataclass(frozen=True)
class Shape:
    """Which levels there are, and how wide the network is."""

    size: tuple[int, int]  # height, width of the picture, texels
    levels: tuple[Level, ...]
    corners: bool  # texel 0 on the first node, or with its centre half a texel inside
    widths: tuple[int, ...]  # features, each hidden layer's, channels
    activation: int = SIREN  # of the hidden layers, an index into ACTIVATIONS

    @property
    def network(self) -> int:
        """Where the network begins in the vector of parameters: behind all tables."""
        return sum(level.values for level in self.levels)

    @property
    def head(self) -> int:
        """Where the last layer begins."""
        n, m = self.widths[-2:]
        return self.value_count - (n + 1) * m

    @property
    def value_count(self) -> int:
        """All parameters."""
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        return self.network + sum((n + 1) * m for n, m in pairs)

    @functools.cached_property
    def table(self) -> np.ndarray:
        """int64 (L, 4), of `levels.as_table`."""
        return as_table(self.levels)

    def axis(
        self, indices: np.ndarray, *, vertical: bool, size: tuple[int, int] | None = None
    ) -> Axis:
        """What the rows (`vertical`) or columns with these indices read.

        size: (height, width) of the lattice that the indices count in; the picture's own without.
        """
        length = (size or self.size)[0 if vertical else 1]
        return taps(self.levels, indices, length, vertical=vertical, corners=self.corners)

    def tables(self, values: np.ndarray) -> list[np.ndarray]:
        """`entries features` of each level, as views of the parameters."""
        parts = np.split(values, np.cumsum([level.values for level in self.levels]))
        return [
            part.reshape(-1, level.features)
            for part, level in zip(parts[:-1], self.levels, strict=True)
        ]

    def layers(self, values: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights `outputs inputs` and biases of each layer, as views of the parameters."""
        found, at = [], self.network
        for n, m in zip(self.widths[:-1], self.widths[1:], strict=True):
            weight = values[at : at + n * m].reshape(m, n)
            found.append((weight, values[at + n * m : at + (n + 1) * m]))
            at += (n + 1) * m
        return found


@dataclass(frozen=True)
class TextureConfig(ABC):
    """Base: the numbers of one texture, from which its shape and its first values follow."""

    @property
    @abstractmethod
    def shape(self) -> Shape: ...

    @abstractmethod
    def first_table(self, level: Level, random: np.random.Generator) -> np.ndarray:
        """`entries features`, before fitting."""

    def noise(self, random: np.random.Generator) -> "TextureModel":
        """The model that a fit begins with."""
        shape = self.shape
        values = np.zeros(shape.value_count, np.float32)
        for level, table in zip(shape.levels, shape.tables(values), strict=True):
            table[:] = self.first_table(level, random)
        bounds = [1 / math.sqrt(n) for n in shape.widths[:-1]]  # the usual ones of a layer
        if shape.activation == SIREN:
            # Sitzmann et al. 2020, section 3.2: phases of every layer spread over the sine's periods
            hidden = shape.widths[1:-2]
            bounds[:-1] = [1 / shape.widths[0], *(math.sqrt(6 / n) / OMEGA for n in hidden)]
        layers = shape.layers(values)
        for (weight, bias), bound in zip(layers, bounds, strict=True):
            weight[:] = random.uniform(-bound, bound, weight.shape)
            if shape.activation != SIREN or bias is layers[-1][1]:
                bias[:] = random.uniform(-bound, bound, bias.shape)
        return TextureModel(shape, values)


@dataclass(frozen=True)
class TextureModel:
    """A shape and its parameters, which a fit moves."""

    shape: Shape
    values: np.ndarray  # float32 (shape.value_count,): the tables, then of each layer W and b

    @property
    def tables(self) -> list[np.ndarray]:
        """`entries features` of each level."""
        return self.shape.tables(self.values)

    @property
    def network(self) -> np.ndarray:
        """All that is no table."""
        return self.values[self.shape.network :]

    def render(
        self,
        rows: np.ndarray | None = None,
        columns: np.ndarray | None = None,
        *,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """The picture at every crossing of some rows and columns, `rows columns C` in [0, 1].

        Args:
            rows, columns: whole numbers; all of the lattice without.
            size: (height, width) of that lattice; the picture's own without.
        """
        height, width = size or self.shape.size
        rows = np.arange(height) if rows is None else rows
        columns = np.arange(width) if columns is None else columns
        picture = np.empty((len(rows), len(columns), self.shape.widths[-1]), np.float32)
        for top in range(0, len(rows), BLOCK):
            down = self.shape.axis(rows[top : top + BLOCK], vertical=True, size=size)
            for left in range(0, len(columns), BLOCK):
                part = columns[left : left + BLOCK]
                across = self.shape.axis(part, vertical=False, size=size)
                drawn = kernels.render(self.shape, self.values, down, across)
                picture[top : top + BLOCK, left : left + BLOCK] = drawn
        return picture

"""What the fitted textures share: levels of features, and a small network that blends them.

    texel ─bilinear in each level─ features ─f(W x + b)─ ... ─sigmoid(W x + b)─ colour

Not trained on pictures: fitted to one.
"""

import math
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.ops.activations import ACTIVATIONS, OMEGA, SIREN
from smalti.ops.levels import COLUMN_PRIME, ROW_PRIME, Axis, Level, as_table, taps
from smalti.ops.quantize import straight_through
from smalti.ops.tiles import Layout, render

BLOCK = 1024  # rows, and columns, drawn at a time
CHUNK_TEXELS = 2**16  # texels at a time on another device than a CPU


class TextureModel(nn.Module):
    """Base: a subclass says which levels there are, and draws their first values.

    `forward` is the readable form, for any device and for gradients; `render` and the fit run
    `smalti.ops.tiles` on a CPU, on `flat_parameters`.
    """

    corners: ClassVar[bool]  # texel 0 on the first node, or with its centre half a texel inside

    def __init__(
        self,
        levels: list[Level],
        size: tuple[int, int],
        *,
        channels: int,
        hidden: int,
        depth: int,
        activation: int = SIREN,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.size = size  # height, width of the picture, texels
        self.levels = levels
        self.activation = activation
        self.tables = nn.ParameterList(
            nn.Parameter(self.first_values(level, generator)) for level in levels
        )
        features = sum(level.features for level in levels)
        widths = [features] + [hidden] * depth
        # Sitzmann et al. 2020, section 3.2: phases of every layer spread over the sine's periods
        bounds = [1 / features] + [math.sqrt(6 / hidden) / OMEGA] * (depth - 1)
        if activation != SIREN:  # the usual bound of a layer, of its bias as well
            bounds = [1 / math.sqrt(n) for n in widths[:-1]]
        self.layers = nn.ModuleList(
            _linear(n, m, bound, generator, with_bias=activation != SIREN)
            for n, m, bound in zip(widths[:-1], widths[1:], bounds, strict=True)
        )
        self.head = _linear(hidden, channels, 1 / math.sqrt(hidden), generator, with_bias=True)

    def first_values(
        self, level: Level, generator: torch.Generator | None
    ) -> Float[Tensor, "entries features"]:
        raise NotImplementedError

    def forward(
        self,
        rows: Int[Tensor, " N"],
        columns: Int[Tensor, " N"],
        *,
        size: tuple[int, int] | None = None,
        levels: int | None = None,
    ) -> Float[Tensor, "N C"]:
        """The texels (rows[n], columns[n]), in [0, 1].

        Args:
            size: (height, width) of the lattice that the indices count in; the picture's own
                without.
            levels: of a quantisation of the tables that the fit shall see; none without.
        """
        height, width = size or self.size
        features = []
        for level, table in zip(self.levels, self.tables, strict=True):
            seen = straight_through(table[None], levels)[0] if levels else table
            features.append(self._blend(level, seen, rows, height, columns, width))
        x = torch.cat(features, -1)
        for layer in self.layers:
            x = self._activate(layer(x))
        return torch.sigmoid(self.head(x))

    @torch.no_grad()
    def render(
        self,
        rows: Int[Tensor, " R"],
        columns: Int[Tensor, " K"],
        *,
        size: tuple[int, int] | None = None,
        threads: int = 1,
    ) -> Float[Tensor, "C R K"]:
        """The picture at every crossing of some rows and columns; other arguments as `forward`'s.

        threads: at most so many, on a CPU. Memory beyond the result stays under 32 MB.
        """
        picture = self.head.weight.new_empty(self.head.out_features, len(rows), len(columns))
        for top in range(0, len(rows), BLOCK):
            for left in range(0, len(columns), BLOCK):
                part = rows[top : top + BLOCK], columns[left : left + BLOCK]
                drawn = self._render_block(*part, size, threads)
                picture[:, top : top + BLOCK, left : left + BLOCK] = drawn
        return picture

    def _render_block(
        self, rows: Tensor, columns: Tensor, size: tuple[int, int] | None, threads: int
    ) -> Tensor:
        if rows.device.type == "cpu":
            vertical = self.axis(rows.numpy(), vertical=True, size=size)
            horizontal = self.axis(columns.numpy(), vertical=False, size=size)
            values, layout = self.flat_parameters(), self.layout()
            return torch.from_numpy(render(values, layout, vertical, horizontal, threads=threads))
        texels = torch.cartesian_prod(rows, columns).split(CHUNK_TEXELS)
        parts = [self(*part.view(-1, 2).unbind(1), size=size) for part in texels]
        return torch.cat(parts).T.reshape(-1, len(rows), len(columns))

    def flat_parameters(self) -> Float[np.ndarray, " P"]:
        """One vector that all parameters are views of from now on; only on a CPU."""
        parameters = list(self.parameters())
        start = parameters[0].data_ptr()
        offsets = np.cumsum([0] + [4 * p.numel() for p in parameters])
        if any(p.data_ptr() != start + o for p, o in zip(parameters, offsets[:-1], strict=True)):
            flat = torch.cat([p.detach().reshape(-1) for p in parameters])
            for p, o in zip(parameters, offsets[:-1], strict=True):
                p.data = flat[o // 4 : o // 4 + p.numel()].view_as(p)
            self._flat = flat
        return self._flat.numpy()

    def layout(self) -> Layout:
        """Where each number lies in `flat_parameters`."""
        widths = [self.layers[0].in_features]
        widths += [layer.out_features for layer in [*self.layers, self.head]]
        return Layout(
            as_table(self.levels),
            sum(level.values for level in self.levels),
            np.array(widths, np.int64),
            self.activation,
        )

    def axis(
        self, indices: Int[np.ndarray, " R"], *, vertical: bool, size: tuple[int, int] | None = None
    ) -> Axis:
        """What the rows (`vertical`) or columns with these indices read."""
        length = (size or self.size)[0 if vertical else 1]
        return taps(self.levels, indices, length, vertical=vertical, corners=self.corners)

    def network(self) -> list[nn.Parameter]:
        """All that is no table: of each layer the weights, then the biases; the head last."""
        return [*self.layers.parameters(), *self.head.parameters()]

    def _activate(self, z: Tensor) -> Tensor:
        name = ACTIVATIONS[self.activation]
        return torch.sin(OMEGA * z) if name == "siren" else getattr(nn.functional, name)(z)

    def _blend(
        self,
        level: Level,
        table: Float[Tensor, "entries features"],
        rows: Int[Tensor, " N"],
        height: int,
        columns: Int[Tensor, " N"],
        width: int,
    ) -> Float[Tensor, "N features"]:
        """One level at some texels: the four nodes around each, by their shares."""
        y, v = self._lower_node(rows, height, level.rows)
        x, u = self._lower_node(columns, width, level.columns)
        below, right = (y + 1).clamp(max=level.rows - 1), (x + 1).clamp(max=level.columns - 1)
        v, u = v[:, None], u[:, None]
        return (
            (1 - v) * (1 - u) * table[_entry(level, y, x)]
            + (1 - v) * u * table[_entry(level, y, right)]
            + v * (1 - u) * table[_entry(level, below, x)]
            + v * u * table[_entry(level, below, right)]
        )

    def _lower_node(self, index: Tensor, length: int, nodes: int) -> tuple[Tensor, Tensor]:
        """The node at or before a texel, and the share of the next, [0, 1)."""
        unit = index / max(1, length - 1) if self.corners else (index + 0.5) / length
        position = unit * (nodes - 1)
        lower = position.floor()
        return lower.long(), position - lower


def _entry(level: Level, row: Tensor, column: Tensor) -> Tensor:
    if level.hashed:  # Müller et al. 2022, equation 4
        return ((column * COLUMN_PRIME) ^ (row * ROW_PRIME)) % level.hashed
    return row * level.row_stride + column * level.column_stride


def _linear(
    n_in: int, n_out: int, bound: float, generator: torch.Generator | None, *, with_bias: bool
) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)  # draws nothing from the global generator
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.zeros_(layer.bias)
    if with_bias:
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer

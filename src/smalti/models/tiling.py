"""Exact tiling: a picture of any size through a network, one part at a time.

A layer of 3 x 3 convolutions lets each cell see one cell further. A part of the grid computed with
that many cells more on each side (the halo), which are then dropped, equals that part of the
whole: at an inner edge the halo holds the real neighbours, at an outer edge the network's own
padding begins where it would for the whole.

A group normalisation sees everything. `layers_by_tiles` first adds up its mean and variance over
all tiles; with these it is a multiplication and an addition for each channel.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn


def by_tiles(
    run: Callable[[Tensor], Tensor],
    x: Tensor,
    out: Tensor,
    *,
    cell_in: int,
    cell_out: int,
    halo: int,
    tile: int,
) -> Tensor:
    """`run(x)`, at most tile x tile cells (and their halo) at once, written into `out`.

    Args:
        run: maps `B C n*cell_in m*cell_in` to `B c n*cell_out m*cell_out`.
        x: the whole input; both sides whole cells.
        out: receives the result; may end within the last cells, which are then cropped.
        halo: cells that an output cell sees beyond its own, on each side.
        tile: cells along each side; memory grows with its square.
    """
    return joined(tiles(run, x, cell_in, cell_out, halo, tile), out)


def joined(parts: Iterable[tuple[int, int, Tensor]], out: Tensor) -> Tensor:
    """The parts of a whole, written into it; `out` may end within the last ones."""
    for top, left, part in parts:
        target = out[:, :, top : top + part.shape[2], left : left + part.shape[3]]
        target.copy_(part[:, :, : target.shape[2], : target.shape[3]])
    return out


def tiles(
    run: Callable[[Tensor], Tensor], x: Tensor, cell_in: int, cell_out: int, halo: int, tile: int
) -> Iterator[tuple[int, int, Tensor]]:
    """Row, column and content of each part of `run(x)`; arguments as in `by_tiles`."""
    rows, columns = x.shape[2] // cell_in, x.shape[3] // cell_in
    for top in range(0, rows, tile):
        for left in range(0, columns, tile):
            first_row, last_row = max(0, top - halo), min(rows, top + tile + halo)
            first_column, last_column = max(0, left - halo), min(columns, left + tile + halo)
            wide = run(
                x[
                    :,
                    :,
                    first_row * cell_in : last_row * cell_in,
                    first_column * cell_in : last_column * cell_in,
                ]
            )
            row, column = (top - first_row) * cell_out, (left - first_column) * cell_out
            part = wide[:, :, row : row + tile * cell_out, column : column + tile * cell_out]
            yield top * cell_out, left * cell_out, part


def layers_by_tiles(
    layers: Iterable[nn.Module],
    x: Tensor,
    *,
    residual: type[nn.Module],
    tile: int,
    held: int | None = None,
) -> Tensor:
    """The layers one after the other, tile x tile cells at once; without gradients.

    Arguments as `layers_in_tiles` has them.
    """
    with torch.no_grad():
        chain, x = _settled(layers, x, residual, tile, held)
        return _computed(chain, x, tile)


@torch.no_grad()
def layers_in_tiles(
    layers: Iterable[nn.Module],
    x: Tensor,
    *,
    residual: type[nn.Module],
    tile: int,
    held: int | None = None,
) -> Iterator[tuple[int, int, Tensor]]:
    """Row, column and content of each part of what the layers make of x.

    Convolutions, upsampling and pointwise layers in any order; group normalisations; and blocks of
    type `residual` that add their `layers` to what they get.

    Args:
        held: bytes of what may be stored whole: what a group normalisation or a block needs, three
            such things at once at most. What is larger, and what comes after an `nn.Upsample`, is
            computed again for the statistics of each normalisation behind it: memory for some
            tiles, for up to twice the time. None: no limit.
    """
    chain, x = _settled(layers, x, residual, tile, held)
    yield from tiles(nn.Sequential(*chain), x, tile=tile, **_grid(chain))


def _settled(
    layers: Iterable[nn.Module], x: Tensor, residual: type[nn.Module], tile: int, held: int | None
) -> tuple[list[nn.Module], Tensor]:
    """A chain without normalisations or blocks, and of what it has to be computed."""
    chain: list[nn.Module] = []
    for layer in layers:
        fits = held is None or _bytes(chain, x) <= held
        if isinstance(layer, residual) and fits:
            x, chain = _computed(chain, x, tile), []
            inner, deeper = _settled(
                layer.get_submodule("layers").children(), x, residual, tile, held
            )
            x = _computed(inner, deeper, tile).add_(x)
        elif isinstance(layer, residual):
            branch: list[nn.Module] = []
            for part in layer.get_submodule("layers").children():
                if isinstance(part, nn.GroupNorm):
                    part = _fixed(part, [*chain, *branch], x, tile)
                branch.append(part)
            chain.append(_Added(branch))
        elif isinstance(layer, nn.GroupNorm):
            if fits and not any(isinstance(waiting, nn.Upsample) for waiting in chain):
                x, chain = _computed(chain, x, tile), []
            chain.append(_fixed(layer, chain, x, tile))
        else:
            chain.append(layer)
    return chain, x


def _computed(chain: list[nn.Module], x: Tensor, tile: int) -> Tensor:
    if not chain:
        return x
    out = torch.empty(_shape(chain, x), dtype=_dtype(chain, x), device=x.device)
    return by_tiles(nn.Sequential(*chain), x, out, tile=tile, **_grid(chain))


def _bytes(chain: list[nn.Module], x: Tensor) -> int:
    return math.prod(_shape(chain, x)) * _dtype(chain, x).itemsize


def _shape(chain: list[nn.Module], x: Tensor) -> tuple[int, int, int, int]:
    grid, convolutions = _grid(chain), _convolutions(chain)
    channels = convolutions[-1].out_channels if convolutions else x.shape[1]
    height, width = (side // grid["cell_in"] * grid["cell_out"] for side in x.shape[2:])
    return len(x), channels, height, width


def _dtype(chain: list[nn.Module], x: Tensor) -> torch.dtype:
    convolutions = _convolutions(chain)
    return convolutions[-1].weight.dtype if convolutions else x.dtype


def _convolutions(chain: list[nn.Module]) -> list[nn.Conv2d]:
    return [part for layer in chain for part in layer.modules() if isinstance(part, nn.Conv2d)]


class _Added(nn.Module):
    """A block whose normalisations are fixed."""

    def __init__(self, branch: list[nn.Module]) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x).add_(x)


def _grid(chain: list[nn.Module]) -> dict[str, int]:
    """Cells of a chain that only halves or only doubles; no convolution sees beyond one cell."""
    convolutions = _convolutions(chain)
    doublings = sum(isinstance(layer, nn.Upsample) for layer in chain)
    return {
        "cell_in": 2 ** sum(layer.stride[0] == 2 for layer in convolutions),
        "cell_out": 2**doublings,
        "halo": sum(layer.kernel_size[0] > 1 for layer in convolutions),
    }


class _Affine(nn.Module):
    """A group normalisation whose statistics are known."""

    def __init__(self, gain: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.gain, self.offset = gain, offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + self.offset


def _fixed(norm: nn.GroupNorm, chain: list[nn.Module], x: Tensor, tile: int) -> _Affine:
    """The group normalisation of chain(x), its sums taken over tiles in float64."""
    count = 0
    total = squares = torch.zeros((), dtype=torch.float64, device=x.device)
    for _, _, part in tiles(nn.Sequential(*chain), x, **_grid(chain), tile=tile):
        groups = part.unflatten(1, (norm.num_groups, -1)).flatten(2)
        count += groups.shape[2]
        total = total + groups.sum(2, dtype=torch.float64)
        squares = squares + groups.square().sum(2, dtype=torch.float64)
    mean = total / count
    scale = (squares / count - mean.square() + norm.eps).rsqrt()
    each = norm.num_channels // norm.num_groups
    gain = scale.repeat_interleave(each, 1) * norm.weight
    offset = norm.bias - mean.repeat_interleave(each, 1) * gain
    gain, offset = (numbers.to(norm.weight.dtype) for numbers in (gain, offset))
    return _Affine(gain[:, :, None, None], offset[:, :, None, None])

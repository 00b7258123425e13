"""Pictures as fields: where texels lie, what a texel of any size sees, windowed cosines.

Coordinates have their origin in the middle of the picture and grow downwards and to the right. The
texels of a picture of n rows and a given extent are n equal parts of it, and a texel's coordinate
is its centre (specification of R2IR v2, section 2.2: not the corners).
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

CUBIC = -0.5  # Keys' a, as in Pillow's BICUBIC


def centres(count: int, extent: float = 1.0) -> Float[Tensor, " count"]:
    """Centres of `count` equal parts of -extent / 2 .. extent / 2."""
    return extent * ((torch.arange(count, dtype=torch.float32) + 0.5) / count - 0.5)


def atoms(
    offset: Float[Tensor, "*n"], *, radius: float, count: int, footprint: Tensor | float = 0.0
) -> Float[Tensor, "*n count"]:
    """Cosines of 0 .. (count - 1) / 4 periods a radius, under a window that ends at the radius.

    a_k(d) = cos²(π d / 2R) cos(ω_k (d + R)) sinc(ω_k f / 2),  ω_k = π k / 2R,  |d| < R

    The last factor is what averaging over a footprint of f leaves of a wave, so a large texel does
    not see what is finer than itself (Barron et al. 2021, mip-NeRF, for Gaussians). a_0 is the
    window itself.

    Args:
        footprint: side of a texel, in the same unit; broadcast against `offset`.
    """
    d = offset.unsqueeze(-1)
    omega = torch.arange(count, dtype=torch.float32, device=offset.device) * (
        math.pi / (2 * radius)
    )
    window = torch.where(d.abs() < radius, (d * (math.pi / (2 * radius))).cos().square(), 0.0)
    side = torch.as_tensor(footprint, dtype=offset.dtype, device=offset.device).unsqueeze(-1)
    return window * (omega * (d + radius)).cos() * torch.sinc(omega * side / (2 * math.pi))


def waves(
    rows: Float[Tensor, "B m"],
    columns: Float[Tensor, "B n"],
    *,
    count: int,
    footprint: tuple[Tensor | float, Tensor | float] = (0.0, 0.0),
) -> Float[Tensor, "B m n 4*count"]:
    """Sines and cosines of 1/4, 1/2, ... 2^(count - 3) periods across the frame, on both axes.

    Damped by the footprint as `atoms` are.
    """
    omega = math.pi / 2 * 2.0 ** torch.arange(count, dtype=torch.float32, device=rows.device)

    def along(at: Tensor, side: Tensor | float) -> Tensor:
        side = torch.as_tensor(side, dtype=at.dtype, device=at.device)
        damping = torch.sinc(omega * side.reshape(-1, 1, 1) / (2 * math.pi))
        angle = at.unsqueeze(-1) * omega
        return torch.cat([angle.sin() * damping, angle.cos() * damping], -1)

    down, across = along(rows, footprint[0]), along(columns, footprint[1])
    batch, m, n = max(len(down), len(across)), rows.shape[1], columns.shape[1]
    return torch.cat(
        [
            down.unsqueeze(2).expand(batch, m, n, -1),
            across.unsqueeze(1).expand(batch, m, n, -1),
        ],
        -1,
    )


def reading(
    at: Float[Tensor, "*B n"], side: Float[Tensor, "*B 1"], count: int
) -> Float[Tensor, "*B n count"]:
    """Weights with which texels of a given side, centred anywhere, read a row of `count` texels.

    The row spans -1/2 .. 1/2 and goes on as its last texels do. The filter is that of an
    antialiased bicubic resize: Keys' cubic (1981, equation 4, a = -1/2), as wide as the larger of
    the texel read and the texel drawn.
    """
    margin = 2 * math.ceil(float(side.max()) * count) + 2
    place = torch.arange(-margin, count + margin, device=at.device)
    wide = (side * count).clamp(min=1.0)
    distance = ((at * count + (count - 1) / 2).unsqueeze(-1) - place) / wide.unsqueeze(-1)
    weight = _cubic(distance.abs())
    weight = weight / weight.sum(-1, keepdim=True)
    inner = weight[..., margin : margin + count].clone()
    inner[..., 0] += weight[..., :margin].sum(-1)
    inner[..., -1] += weight[..., margin + count :].sum(-1)
    return inner


def _cubic(x: Tensor) -> Tensor:
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * CUBIC - 4 * CUBIC
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def spans(length: int, tile: int) -> Iterator[slice]:
    """0 .. length in slices of at most `tile`."""
    for start in range(0, length, tile):
        yield slice(start, min(start + tile, length))


def near(points: Float[Tensor, " n"], around: Float[Tensor, " m"], radius: float) -> slice:
    """Those of ascending points within a radius of the span of others."""
    low = int(torch.searchsorted(points, around.min() - radius))
    high = int(torch.searchsorted(points, around.max() + radius))
    return slice(low, max(high, low + 1))


def analyse(
    x: Float[Tensor, "B C H W"],
    ys: Float[Tensor, " H"],
    xs: Float[Tensor, " W"],
    rows: Float[Tensor, "b h"],
    columns: Float[Tensor, "b w"],
    *,
    radius: float,
    count: int,
) -> Float[Tensor, "B h w C*count*count"]:
    """Sums of texels at (ys, xs) times the atoms around each of the points (rows, columns)."""
    down = atoms(ys - rows.unsqueeze(-1), radius=radius, count=count).to(x.dtype)
    across = atoms(xs - columns.unsqueeze(-1), radius=radius, count=count).to(x.dtype)
    seen = torch.einsum("bcyx,bwxk->bcywk", x, across.expand(len(x), -1, -1, -1))
    seen = torch.einsum("bcywk,bhya->bhwcak", seen, down.expand(len(x), -1, -1, -1))
    return seen.flatten(3)


def mass(
    at: Float[Tensor, "b n"], source: Float[Tensor, " m"], *, radius: float, count: int
) -> Float[Tensor, "b n count"]:
    """Sums of the atoms around points over where texels are: what of them lies in the picture."""
    return atoms(source - at.unsqueeze(-1), radius=radius, count=count).sum(-2)


def outer(
    down: Float[Tensor, "b h k"], across: Float[Tensor, "b w k"]
) -> Float[Tensor, "b h w 2*k"]:
    """Both beside each other at every point of a grid."""
    h, w = down.shape[1], across.shape[1]
    return torch.cat(
        [down.unsqueeze(2).expand(-1, -1, w, -1), across.unsqueeze(1).expand(-1, h, -1, -1)], -1
    )


def synthesise(
    coefficients: Float[Tensor, "B h w a k r"],
    rows: Float[Tensor, "b h"],
    columns: Float[Tensor, "b w"],
    ys: Float[Tensor, "b m"],
    xs: Float[Tensor, "b n"],
    footprint: tuple[Tensor | float, Tensor | float],
    radii: tuple[float, float],
) -> Float[Tensor, "B m n r"]:
    """Texels at (ys, xs): means of what the points (rows, columns) draw there, by their windows.

    Point p draws Σ_ak coefficients_ak a_a(y - p_y) a_k(x - p_x). The windows' weights are made to
    sum to 1: a softmax attention of texels to points, in which only offsets count. `radii` are
    those of the atoms downwards and across.
    """
    down = _shares(ys, rows, footprint[0], radii[0], coefficients.shape[3]).to(coefficients.dtype)
    across = _shares(xs, columns, footprint[1], radii[1], coefficients.shape[4]).to(
        coefficients.dtype
    )
    batch = len(coefficients)
    drawn = torch.einsum("bnwk,bhwakr->bnhar", across.expand(batch, -1, -1, -1), coefficients)
    return torch.einsum("bmha,bnhar->bmnr", down.expand(batch, -1, -1, -1), drawn)


def _shares(
    at: Tensor, points: Tensor, side: Tensor | float, radius: float, count: int
) -> Float[Tensor, "b m h count"]:
    side = torch.as_tensor(side, dtype=at.dtype, device=at.device).reshape(-1, 1, 1)
    near = atoms(at.unsqueeze(2) - points.unsqueeze(1), radius=radius, count=count, footprint=side)
    return near / near[..., 0].sum(2, keepdim=True).unsqueeze(-1).clamp(min=1e-4)

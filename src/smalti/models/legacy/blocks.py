"""The layers of `models.legacy.r2`, tokens first: every tensor is `B N C`, a token a row.

Specification: the public Yegor-men/resolution-invariant-image-diffuser at commit b5f134e. What
looks odd there is kept and marked "oddity".
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from smalti.models.layers.linear_attention import linear_attention

EDGE = 1e-6  # by which the outermost coordinates, and the embedded times, stay inside +-0.5
GRN_EPSILON = 1e-6


def legacy_axes(height: int, width: int, *, square: bool) -> tuple[Tensor, Tensor]:
    """Coordinates of rows and of columns, in float32.

    Oddity: the first and the last lie on the picture's edges, not half a pixel inside, and a
    single one lies on the first edge.

    Args:
        square: the longer side spans [-0.5, 0.5] and the shorter one its share of that; else both
            sides span [-0.5, 0.5]. Oddity: the original calls the former `relative=True`.
    """
    longer = max(height, width) if square else None
    sides = []
    for n in (height, width):
        half = 0.5 * n / longer if longer else 0.5
        sides.append(torch.linspace(-half + EDGE, half - EDGE, n))
    return sides[0], sides[1]


def legacy_grid(
    height: int,
    width: int,
    *,
    square: bool,
    jittered: int | None = None,
    device: torch.device | None = None,
) -> Float[Tensor, "B N 2"]:
    """x and y of every token, row by row.

    Args:
        square: as in `legacy_axes`.
        jittered: None for one exact grid (B = 1); else the batch, every token of which is moved by
            a Gaussian of half a step's deviation: 1/2W and 1/2H, or 1/2max(H, W) if `square`.
    """
    y, x = legacy_axes(height, width, square=square)
    grid = torch.stack([x.expand(height, width), y.unsqueeze(1).expand(height, width)], dim=-1)
    grid = grid.reshape(1, height * width, 2).to(device)
    if jittered is None:
        return grid
    across, down = (max(height, width),) * 2 if square else (width, height)
    sigma = torch.tensor([0.5 / across, 0.5 / down], device=device)
    return grid + sigma * torch.randn(jittered, height * width, 2, device=device)


def legacy_positions(
    height: int,
    width: int,
    n_high: int,
    n_low: int,
    *,
    jittered: int | None = None,
    device: torch.device | None = None,
) -> Float[Tensor, "B N 8*F"]:
    """Normalised Fourier features of both coordinate systems, in float32; F = n_high + n_low.

    Oddity: the two systems are jittered apart, so they contradict each other in training.
    """
    omega = frequencies(n_high, n_low).to(device)
    both = []
    for square in (True, False):
        grid = legacy_grid(height, width, square=square, jittered=jittered, device=device)
        both.append(_normalised_waves((grid.unsqueeze(-1) * omega).flatten(2)))
    return torch.cat(both, dim=2)


def time_features(
    alpha_bar: Float[Tensor, " B"], n_high: int, n_low: int
) -> Float[Tensor, "B 2*F"]:
    """Normalised Fourier features of ᾱ in [0, 1], in float32. Oddity: of ᾱ, not of log-SNR."""
    u = alpha_bar.float() * (1 - 2 * EDGE) - (0.5 - EDGE)
    return _normalised_waves(u.unsqueeze(-1) * frequencies(n_high, n_low).to(u.device))


def frequencies(n_high: int, n_low: int) -> Float[Tensor, " F"]:
    """π 2^-n_low ... π 2^(n_high - 1)"""
    return math.pi * 2.0 ** (torch.arange(n_high + n_low, dtype=torch.float32) - n_low)


def _normalised_waves(phase: Tensor) -> Tensor:
    waves = torch.cat([phase.sin(), phase.cos()], dim=-1)
    return F.layer_norm(waves, waves.shape[-1:])


class LinearAttention(nn.Module):
    """Wo LA(LN(Wq a + b), LN(Wk t + b), Wv t + b) + b; the norms see all heads at once."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.query_norm, self.key_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, a: Float[Tensor, "B N C"], t: Float[Tensor, "B M C"]) -> Tensor:
        q, k = self.query_norm(self.query(a)), self.key_norm(self.key(t))
        return self.dropout(self.out(linear_attention(q, k, self.value(t), heads=self.heads)))


class Grn(nn.Module):
    """x + (1 + γ) n x + β with n_c = |x_c| / mean |x|, the length of a channel over all tokens.

    Woo et al. 2023, arXiv 2301.00808, equations 1 to 3. No normaliser: a token keeps its scale.
    Oddity: at the start 1 + γ is 1, where the paper has 0.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        n = length / (length.mean(2, keepdim=True) + GRN_EPSILON)
        return (1 + self.gamma) * (x * n) + self.beta + x


class AdaGrn(nn.Module):
    """GRN(x) (1 + a) + b with [a, b] linear in the time vector f."""

    def __init__(self, width: int, film: int) -> None:
        super().__init__()
        self.film, self.norm = nn.Linear(film, 2 * width), Grn(width)
        nn.init.normal_(self.film.weight, std=1e-3)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Float[Tensor, "B N C"], f: Float[Tensor, "B film"]) -> Tensor:
        a, b = self.film(f).unsqueeze(1).chunk(2, dim=2)
        return self.norm(x) * (1 + a) + b


def _ffn(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, 4 * width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
    )


def _scale(width: int, start: float) -> nn.Parameter:
    """Of a branch, a number a channel."""
    return nn.Parameter(torch.full((width,), start))


class CrossBlock(nn.Module):
    """w = x + s_a LA(GRN(x), t);  w = w + s_f FFN(GRN(w));  x + s_o w

    Oddities: the trunk x is in w, so it is added twice; the tokens t are neither normalised nor
    changed from block to block.
    """

    def __init__(self, width: int, heads: int, dropout: float, ffn_dropout: float) -> None:
        super().__init__()
        self.attention_norm = Grn(width)
        self.attention = LinearAttention(width, heads, dropout)
        self.attention_scale = _scale(width, 1.0)
        self.ffn_norm, self.ffn = Grn(width), _ffn(width, ffn_dropout)
        self.ffn_scale, self.out_scale = _scale(width, 1.0), _scale(width, 0.1)

    def forward(self, x: Float[Tensor, "B N C"], t: Float[Tensor, "B M C"]) -> Tensor:
        w = x + self.attention_scale * self.attention(self.attention_norm(x), t)
        w = w + self.ffn_scale * self.ffn(self.ffn_norm(w))
        return x + self.out_scale * w


class SelfBlock(nn.Module):
    """w = x + s_a LA(a, a), a = AdaGRN(x, f);  w = w + s_f FFN(AdaGRN(w, f));  x + s_o w"""

    def __init__(
        self, width: int, heads: int, film: int, dropout: float, ffn_dropout: float
    ) -> None:
        super().__init__()
        self.self_norm = AdaGrn(width, film)
        self.self_attention = LinearAttention(width, heads, dropout)
        self.self_scale = _scale(width, 1.0)
        self.ffn_norm, self.ffn = AdaGrn(width, film), _ffn(width, ffn_dropout)
        self.ffn_scale, self.out_scale = _scale(width, 1.0), _scale(width, 0.1)

    def forward(self, x: Float[Tensor, "B N C"], f: Float[Tensor, "B film"]) -> Tensor:
        return self._finish(x, self._attend(x, f), f)

    def _attend(self, x: Tensor, f: Tensor) -> Tensor:
        a = self.self_norm(x, f)
        return x + self.self_scale * self.self_attention(a, a)

    def _finish(self, x: Tensor, w: Tensor, f: Tensor) -> Tensor:
        w = w + self.ffn_scale * self.ffn(self.ffn_norm(w, f))
        return x + self.out_scale * w


class TextBlock(SelfBlock):
    """A `SelfBlock` with w = w + s_c LA(AdaGRN(w, f), text) after its self-attention."""

    def __init__(
        self,
        width: int,
        heads: int,
        film: int,
        dropout: float,
        cross_dropout: float,
        ffn_dropout: float,
    ) -> None:
        super().__init__(width, heads, film, dropout, ffn_dropout)
        self.cross_norm = AdaGrn(width, film)
        self.cross_attention = LinearAttention(width, heads, cross_dropout)
        self.cross_scale = _scale(width, 1.0)

    def forward(  # type: ignore[override]  # it is called by the one who made it
        self, x: Float[Tensor, "B N C"], f: Float[Tensor, "B film"], text: Float[Tensor, "B T C"]
    ) -> Float[Tensor, "B N C"]:
        w = self._attend(x, f)
        w = w + self.cross_scale * self.cross_attention(self.cross_norm(w, f), text)
        return self._finish(x, w, f)

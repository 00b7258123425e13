"""What the fast forms of `models.legacy.r2` are made of: layers whose norms have become weights.

Once the lengths of the channels are known, a GRN (and the time vector's part of it) is a gain and
an offset for each channel of each picture, x A + c. Where there are more tokens than channels,
these go into the weights of the layer that follows; else they are applied to the tokens.

Linear attention reads M numbers instead of tokens. With φ(k) and the raw tokens t of the keys,

    T = Σ φ(k) tᵀ    s = Σ φ(k)    M_h = (T_h Wv_hᵀ + s_h bv_hᵀ) Wo_hᵀ    out = Σ_h φ(q)_h M_h / φ(q)_h s_h

so neither values nor heads' outputs are made, and every product is one of C x C matrices.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from smalti.models.layers.linear_attention import EPSILON
from smalti.models.legacy.blocks import (
    GRN_EPSILON,
    Grn,
    LinearAttention,
    frequencies,
    legacy_axes,
)

CPU_ROWS = 2048  # tokens at once, over the batch; fewer cost more calls than they save bytes
ROWS = 65536  # elsewhere
SIZES = 4  # of grids whose positions are kept
LAYER_NORM_EPSILON = 1e-5  # torch's

Size = tuple[int, int]  # height, width


def arithmetic_of(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """float32 for bfloat16 on a CPU without instructions for it, where torch emulates them.

    And for float64: nothing here is wider than float32 but the sums of squares.
    """
    if dtype == torch.float64:
        return torch.float32
    if dtype != torch.bfloat16 or device.type != "cpu":
        return dtype
    found = torch.cpu.get_capabilities()
    return dtype if found.get("avx512_bf16") or found.get("amx_bf16") else torch.float32


def spans(x: Float[Tensor, "B N C"]) -> Iterator[slice]:
    """Parts of the tokens that are computed at once."""
    rows = max(16, (CPU_ROWS if x.device.type == "cpu" else ROWS) // len(x))
    for first in range(0, x.shape[1], rows):
        yield slice(first, min(x.shape[1], first + rows))


def phi(u: Tensor) -> Tensor:
    """elu(u) + 1 as exp(min(u, 0)) + max(u, 0), which torch computes faster; overwrites u."""
    return u.clamp(max=0).exp_().add_(u.relu_())


class Squares:
    """Sums of squares of each channel, over parts of the tokens."""

    def __init__(self) -> None:
        self.total = torch.zeros(())

    def add(self, rows: Float[Tensor, "B N C"]) -> None:
        # one part's sum in float32, the sum of many parts wider
        part = rows.square().sum(1, dtype=torch.float32)
        self.total = self.total + (part if part.device.type == "mps" else part.double())

    def lengths(self) -> Float[Tensor, "B 1 C"]:
        return self.total.sqrt().float().unsqueeze(1)


def lengths(x: Float[Tensor, "B N C"]) -> Float[Tensor, "B 1 C"]:
    squares = Squares()
    for part in spans(x):
        squares.add(x[:, part])
    return squares.lengths()


@dataclass(frozen=True)
class Affine:
    """x gain + offset, for each channel of each picture."""

    gain: Float[Tensor, "B 1 C"]
    offset: Float[Tensor, "B 1 C"]

    def __call__(self, x: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        return torch.addcmul(self.offset, x, self.gain)


class Norm:
    """A GRN of given lengths, then x (1 + a) + b if there is a time vector."""

    def __init__(self, norm: Grn) -> None:
        self.gamma, self.beta = norm.gamma.detach().float(), norm.beta.detach().float()

    def affine(
        self,
        lengths: Float[Tensor, "B 1 C"],
        dtype: torch.dtype,
        film: tuple[Tensor, Tensor] | None = None,
    ) -> Affine:
        n = lengths / (lengths.mean(2, keepdim=True) + GRN_EPSILON)
        gain, offset = 1 + (1 + self.gamma) * n, self.beta.expand_as(n)
        if film is not None:
            a, b = film
            gain, offset = gain * (1 + a), offset * (1 + a) + b
        return Affine(gain.to(dtype), offset.to(dtype))


class Product:
    """(x gain + offset) W' + b of rows; folded: with gain and offset in weights of each picture."""

    def __init__(self, weight: Tensor, bias: Tensor, affine: Affine, *, folded: bool) -> None:
        self.affine = None if folded else affine
        self.weight, self.bias = weight, bias
        if folded:
            self.weight = (weight * affine.gain).transpose(1, 2)
            self.bias = F.linear(affine.offset, weight, bias)

    def __call__(self, rows: Float[Tensor, "B N C"]) -> Float[Tensor, "B N K"]:
        if self.affine is None:
            return torch.baddbmm(self.bias, rows, self.weight)
        return F.linear(self.affine(rows), self.weight, self.bias)


@dataclass(frozen=True)
class Memory:
    """Keys and values as two matrices that φ(q) is multiplied by.

    `wide`: one column of `weights` a head (s, 0 in the channels of other heads); `out` is M.
    Else one column a head and a token: what a token weighs, and `out` has its value after Wo.
    One of batch 1 serves any batch.
    """

    weights: Float[Tensor, "B C K"]
    out: Float[Tensor, "B J C"]
    wide: bool
    heads: int

    def add_to(self, target: Float[Tensor, "B N C"], q: Float[Tensor, "B N C"]) -> None:
        """Add what φ(q) takes; q is overwritten if `wide`."""
        weights = self.weights.expand(len(q), -1, -1)
        if self.wide:
            total = torch.bmm(q.float(), weights).add_(EPSILON).to(q.dtype)
            q = q.unflatten(2, (self.heads, -1)).div_(total.unsqueeze(3)).flatten(2)
        else:
            each = torch.bmm(q.float(), weights).unflatten(2, (self.heads, -1))
            q = (each / (each.sum(3, keepdim=True) + EPSILON)).flatten(2).to(q.dtype)
        target.baddbmm_(q, self.out.expand(len(q), -1, -1))


class Sums:
    """T and s of parts of the keys, in float32."""

    def __init__(self) -> None:
        self.products: Tensor | float = 0.0
        self.total: Tensor | float = 0.0

    def add(self, keys: Float[Tensor, "B N C"], tokens: Float[Tensor, "B N C"]) -> None:
        """φ(k), and what its keys and values are made of."""
        self.products = self.products + keys.transpose(1, 2).float() @ tokens.float()
        self.total = self.total + keys.sum(1, dtype=torch.float32)


class Attention:
    """Of a `LinearAttention` whose result is multiplied by `scale`, a number a channel."""

    def __init__(self, layer: LinearAttention, scale: Tensor, dtype: torch.dtype) -> None:
        self.heads, self.dtype = layer.heads, dtype
        self.query, self.query_bias = _weights(layer.query, dtype)
        self.key, self.key_bias = _weights(layer.key, dtype)
        self.value, self.value_bias = _weights(layer.value, torch.float32)
        out, bias = _weights(layer.out, torch.float32)
        self.out = (scale.detach().float().unsqueeze(1) * out).T  # rows: a head's channels
        self.bias = (scale.detach().float() * bias).to(dtype)
        self.query_norm, self.key_norm = _gains(layer.query_norm), _gains(layer.key_norm)
        # queries and keys of the same tokens at once
        self.both = torch.cat([self.query, self.key])
        self.both_bias = torch.cat([self.query_bias, self.key_bias])

    def phi_q(self, q: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        return phi(F.layer_norm(q, q.shape[2:], *(g.to(q.dtype) for g in self.query_norm)))

    def phi_k(self, k: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        return phi(F.layer_norm(k, k.shape[2:], *(g.to(k.dtype) for g in self.key_norm)))

    def enter(self, affine: Affine, *, folded: bool) -> Product:
        """Of queries before their norm."""
        return Product(self.query, self.query_bias, affine, folded=folded)

    def read(
        self,
        q: Float[Tensor, "B N C"],
        x: Float[Tensor, "B N C"],
        memory: Memory,
        *,
        into: Float[Tensor, "B N C"],
    ) -> None:
        """x and what φ(q) takes; q may be overwritten."""
        torch.add(x, self.bias, out=into)
        memory.add_to(into, q)

    def of_itself(
        self, x: Float[Tensor, "B N C"], affine: Affine, *, folded: bool
    ) -> tuple[Float[Tensor, "B N C"], Memory]:
        """φ(q) of all tokens after their norm, and the memory of these."""
        if self.is_few(x.shape[1]):
            a = affine(x)
            return self.phi_q(F.linear(a, self.query, self.query_bias)), self.memory_of(a)
        enter = Product(self.both, self.both_bias, affine, folded=folded)
        q, sums = torch.empty_like(x), Sums()
        for part in spans(x):
            rows = x[:, part]
            queries, keys = enter(rows).chunk(2, dim=2)
            q[:, part] = self.phi_q(queries)
            sums.add(self.phi_k(keys), rows)
        # of x gain + offset instead of x
        products = sums.products * affine.gain + sums.total.unsqueeze(2) * affine.offset
        return q, self.memory(products, sums.total)

    def keys(self, t: Float[Tensor, "B M C"]) -> Float[Tensor, "B M C"]:
        """φ(k) of tokens that are keys as they are."""
        return self.phi_k(F.linear(t, self.key, self.key_bias))

    def memory(self, products: Float[Tensor, "B C C"], total: Float[Tensor, "B C"]) -> Memory:
        """Of T and s, in float32."""
        heads = self.heads
        values = self.value.unflatten(0, (heads, -1)).transpose(1, 2)  # h C D
        summary = products.unflatten(1, (heads, -1)) @ values  # B h D D
        bias = self.value_bias.unflatten(0, (heads, 1, -1))
        summary = summary + total.unflatten(1, (heads, -1, 1)) * bias
        out = (summary @ self.out.unflatten(0, (heads, -1))).flatten(1, 2)
        weights = total.unsqueeze(2) * self._own(total)
        return Memory(weights, out.to(self.dtype), wide=True, heads=heads)

    def is_few(self, tokens: int) -> bool:
        """Whether their weights are fewer than the numbers of a summary."""
        return self.heads * tokens < len(self.out)

    def memory_of(self, tokens: Float[Tensor, "B T C"]) -> Memory:
        """Of tokens that are keys and values as they are: of a text, or of a small latent."""
        keys = self.keys(tokens).float()
        if not self.is_few(tokens.shape[1]):
            return self.memory(keys.transpose(1, 2) @ tokens.float(), keys.sum(1))
        values = F.linear(tokens.float(), self.value, self.value_bias)
        # B h T D times h D C
        each = values.unflatten(2, (self.heads, -1)).transpose(1, 2)
        out = (each @ self.out.unflatten(0, (self.heads, -1))).flatten(1, 2)
        weights = keys.transpose(1, 2).unsqueeze(2) * self._own(keys).unsqueeze(2)  # B C h T
        return Memory(weights.flatten(2), out.to(self.dtype), wide=False, heads=self.heads)

    def _own(self, like: Tensor) -> Float[Tensor, "C h"]:
        """1 where a channel is of a head."""
        own = torch.eye(self.heads, device=like.device)
        return own.repeat_interleave(len(self.out) // self.heads, 0)


class Ffn:
    """x + s_o (w + s_f FFN(a)), a = the norm of w, with both scales in the second matrix."""

    def __init__(
        self, layer: nn.Sequential, scale: Tensor, out_scale: Tensor, dtype: torch.dtype
    ) -> None:
        self.up, self.up_bias = _weights(layer[0], dtype)
        down, bias = _weights(layer[3], torch.float32)
        both = scale.detach().float() * out_scale.detach().float()
        self.down = (both.unsqueeze(1) * down).to(dtype).T
        self.bias = (both * bias).to(dtype)
        self.out_scale = out_scale.detach().to(dtype)

    def enter(self, affine: Affine, *, folded: bool) -> Product:
        return Product(self.up, self.up_bias, affine, folded=folded)

    def __call__(
        self, x: Float[Tensor, "B N C"], w: Float[Tensor, "B N C"], enter: Product
    ) -> None:
        """In the place of x."""
        hidden = F.silu(enter(w), inplace=True)
        x.addcmul_(w, self.out_scale).add_(self.bias)
        x.baddbmm_(hidden, self.down.expand(len(x), -1, -1))


class Entrance:
    """W [values; positions] + b of a grid's tokens, positions without a picture of their own.

    A system's Fourier features are f = [sin ωx, sin ωy, cos ωx, cos ωy], of mean square 1/2 since
    sin² + cos² = 1, so that their norm is (f - m) / √(1/2 - m² + 1e-5), and both m and W f are
    one number or row for the column and one for the row.
    """

    def __init__(self, layer: nn.Linear, config: Any, dtype: torch.dtype) -> None:
        self.n_high, self.n_low, self.dtype = config.n_high, config.n_low, dtype
        values = layer.in_features - 8 * (config.n_high + config.n_low)
        weight = layer.weight.detach().float()
        self.values, self.bias = weight[:, :values].to(dtype), layer.bias.detach().float().clone()
        self.square, self.frame = weight[:, values:].chunk(2, dim=1)
        self.axes = lru_cache(maxsize=SIZES)(self._axes)
        self.whole = lru_cache(maxsize=SIZES)(self._whole)

    def __call__(self, tokens: Float[Tensor, "B N values"], size: Size) -> Float[Tensor, "B N C"]:
        """All tokens of a grid; the projected positions are kept."""
        return F.linear(tokens, self.values) + self.whole(size)

    def rows(
        self, size: Size, part: slice, tokens: Float[Tensor, "B n values"] | None = None
    ) -> Float[Tensor, "B n C"]:
        """A part of them."""
        index = torch.arange(part.start, part.stop, device=self.bias.device)
        row, column = index // size[1], index % size[1]
        total = self.bias
        for down, across, mean_down, mean_across, ones in self.axes(size):
            mean = (mean_down[row] + mean_across[column]).unsqueeze(1)
            scale = (0.5 - mean.square() + LAYER_NORM_EPSILON).rsqrt()
            projected = torch.addcmul(down[row] + across[column], mean, ones, value=-1)
            total = torch.addcmul(total, projected, scale)
        total = total.to(self.dtype).unsqueeze(0)
        return total if tokens is None else F.linear(tokens, self.values) + total

    def _whole(self, size: Size) -> Float[Tensor, "1 N C"]:
        return self.rows(size, slice(0, size[0] * size[1]))

    def _axes(self, size: Size) -> list[tuple[Tensor, ...]]:
        """For each system: W f of rows, of columns, m of rows, of columns, and W's sums."""
        omega, found = frequencies(self.n_high, self.n_low), []
        count = len(omega)
        for square, weight in ((True, self.square), (False, self.frame)):
            sides, means = [], []
            for k, axis in enumerate(legacy_axes(*size, square=square)):
                phase = (axis.unsqueeze(1) * omega).to(weight.device)
                first = count * (1 - k)  # x stands before y
                sine = weight[:, first : first + count]
                cosine = weight[:, 2 * count + first : 3 * count + first]
                sides.append(phase.sin() @ sine.T + phase.cos() @ cosine.T)
                means.append((phase.sin() + phase.cos()).sum(1) / (4 * count))
            found.append((*sides, *means, weight.sum(1)))
        return found


def _weights(layer: nn.Linear, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return layer.weight.detach().to(dtype, copy=True), layer.bias.detach().to(dtype, copy=True)


def _gains(norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    return norm.weight.detach().clone(), norm.bias.detach().clone()

"""Embeddings of image ids, computed instead of stored, and the logits that are tied to them.

    code ─digits→ v ─features→ phi(v) ─W→ e        logits = h E^T = (h W^T) phi(V)^T

V holds every FSQ vector of the codebook and is fixed, so a code costs no parameter of its own, and
the N x width matrix E is never built: the product with the hidden state goes through the features.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from smalti.errors import OptionError
from smalti.models.layers import fsq

CONTROLS = 3  # <img_start>, <img_end>, <img_newrow>: a free row each


class ImageRows(nn.Module):
    """One row of a language model's embedding for each of N codes and three controls.

    Rows 0 .. N - 1 are the codes, N .. N + 2 the controls. A subclass is one form of the codes.
    """

    def __init__(self, levels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.levels = levels
        self.width = width
        self.codes = fsq.codebook_size(levels)
        self.controls = nn.Parameter(torch.empty(CONTROLS, width))

    def forward(self, rows: Int[Tensor, "..."]) -> Float[Tensor, "... width"]:
        """Embeddings of rows 0 .. N + 2."""
        is_code = rows < self.codes
        codes = self.embed(torch.where(is_code, rows, 0))
        controls = F.embedding(torch.where(is_code, 0, rows - self.codes), self.controls)
        return torch.where(is_code.unsqueeze(-1), codes.to(controls.dtype), controls)

    def logits(self, h: Float[Tensor, "... width"]) -> Float[Tensor, "... N+3"]:
        """Products of hidden states with every row."""
        codes = self.code_logits(h)
        return torch.cat([codes, F.linear(h, self.controls).to(codes.dtype)], dim=-1)

    def table(self) -> Float[Tensor, "N+3 width"]:
        """Every row, written out: what a plain embedding would hold."""
        return self(torch.arange(self.codes + CONTROLS, device=self.controls.device))

    @torch.no_grad()
    def reset(self, like: Float[Tensor, "V width"]) -> None:
        """Random rows with the mean and the spread of rows that are trained already.

        The mean keeps untrained codes as unlikely as an average word.
        """
        mean, spread = like.float().mean(0), like.float().std(0).mean()
        self.controls.copy_(mean + spread * torch.randn_like(self.controls, dtype=torch.float32))
        self.reset_codes(mean, spread)

    def embed(self, codes: Int[Tensor, "..."]) -> Float[Tensor, "... width"]:
        raise NotImplementedError

    def code_logits(self, h: Float[Tensor, "... width"]) -> Float[Tensor, "... N"]:
        raise NotImplementedError

    def reset_codes(self, mean: Float[Tensor, " width"], spread: Tensor) -> None:
        raise NotImplementedError


class MlpRows(ImageRows):
    """e = W silu(U v + u) + b of the dequantised vector v: a learned projection of it.

    A linear one could not do: the likeliest code would always be a corner of the FSQ cube.
    """

    def __init__(self, levels: tuple[int, ...], width: int, features: int) -> None:
        super().__init__(levels, width)
        self.inner = Affine(len(levels), features)
        self.outer = Affine(features, width)

    def embed(self, codes: Int[Tensor, "..."]) -> Float[Tensor, "... width"]:
        return self.outer(self._features(code_vectors(codes, self.levels)))

    def code_logits(self, h: Float[Tensor, "... width"]) -> Float[Tensor, "... N"]:
        every = torch.arange(self.codes, device=h.device)
        features = self._features(code_vectors(every, self.levels))
        query = F.linear(h, self.outer.weight.T)
        constant = F.linear(h, self.outer.bias.unsqueeze(0))
        return F.linear(query, features.to(query.dtype)) + constant

    def reset_codes(self, mean: Float[Tensor, " width"], spread: Tensor) -> None:
        nn.init.normal_(self.inner.weight)
        nn.init.uniform_(self.inner.bias, -1, 1)
        nn.init.normal_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)
        rows = self.embed(torch.arange(self.codes, device=self.controls.device)).float()
        scale = spread / (rows - rows.mean(0)).std()
        self.outer.weight.mul_(scale)
        self.outer.bias.copy_(mean - scale * rows.mean(0))

    def _features(self, v: Float[Tensor, "... D"]) -> Float[Tensor, "... features"]:
        return F.silu(self.inner(v.to(self.inner.weight.dtype)))


class Affine(nn.Module):
    """W x + b, and no `nn.Linear`: adapters of "all-linear" would be put here, and the logits, which
    go through the weights themselves, would read past them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        return F.linear(x, self.weight, self.bias)


class FreeRows(ImageRows):
    """A free row for every code: no assumption, N x width parameters."""

    def __init__(self, levels: tuple[int, ...], width: int) -> None:
        super().__init__(levels, width)
        self.free = nn.Parameter(torch.empty(self.codes, width))

    def embed(self, codes: Int[Tensor, "..."]) -> Float[Tensor, "... width"]:
        return F.embedding(codes, self.free)

    def code_logits(self, h: Float[Tensor, "... width"]) -> Float[Tensor, "... N"]:
        return F.linear(h, self.free)

    def reset_codes(self, mean: Float[Tensor, " width"], spread: Tensor) -> None:
        self.free.copy_(mean + spread * torch.randn_like(self.free, dtype=torch.float32))


FORMS = ("mlp", "rows")


def make_rows(form: str, levels: tuple[int, ...], width: int, features: int) -> ImageRows:
    """The rows of one form, not yet initialised.

    Raises:
        OptionError: no such form.
    """
    if form == "mlp":
        return MlpRows(levels, width, features)
    if form == "rows":
        return FreeRows(levels, width)
    raise OptionError(f"form {form!r}; known: {', '.join(FORMS)}")


def code_vectors(codes: Int[Tensor, "..."], levels: tuple[int, ...]) -> Float[Tensor, "... D"]:
    """The dequantised FSQ vectors of codes, in [-1, 1], float32.

    Those of `models.layers.fsq`, without its check of the codes, which would wait for the device.
    """
    radix = [math.prod(levels[:d]) for d in range(len(levels))]
    digits = [codes // r % count for r, count in zip(radix, levels, strict=True)]
    values = [(d - count // 2) / (count // 2) for d, count in zip(digits, levels, strict=True)]
    return torch.stack(values, dim=-1)

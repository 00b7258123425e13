"""R2ID and R2IR as a plain graph of modules on B C H W, to measure `smalti.models.legacy.r2` by.

What the published code does, layer by layer: 1 x 1 convolutions on pictures, attention on their
flattened copies, norms over moved axes, positions computed anew at every call, keys and values of
texts and latents in every block, one conditioning after the other.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smalti.models.legacy.r2 import LegacyDiffuser, LegacyResampler


class Conv(nn.Module):
    """A linear layer as a 1 x 1 convolution."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach()[:, :, None, None].clone())
        self.bias = nn.Parameter(linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)


class Positions(nn.Module):
    def __init__(self, n_high: int, n_low: int) -> None:
        super().__init__()
        # no parameter, so that it keeps float32
        self.omega = math.pi * 2.0 ** (torch.arange(n_high + n_low) - n_low).float()

    def forward(self, batch: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
        both = [self.of(batch, height, width, square) for square in (True, False)]
        return torch.cat(both, dim=1).to(dtype)

    def of(self, batch: int, height: int, width: int, square: bool) -> Tensor:
        longer = max(height, width)
        half_x, half_y = (0.5 * width / longer, 0.5 * height / longer) if square else (0.5, 0.5)
        x = torch.linspace(-half_x + 1e-6, half_x - 1e-6, width)
        y = torch.linspace(-half_y + 1e-6, half_y - 1e-6, height)
        rows, columns = torch.meshgrid(y, x, indexing="ij")
        grid = torch.stack([columns, rows]).unsqueeze(0).expand(batch, -1, -1, -1)
        phase = grid.unsqueeze(-1) * self.omega
        waves = [
            wave.permute(0, 1, 4, 2, 3).reshape(batch, -1, height, width)
            for wave in (phase.sin(), phase.cos())
        ]
        features = torch.cat(waves, dim=1).movedim(1, -1)
        return F.layer_norm(features, features.shape[-1:]).movedim(-1, 1)


class Grn(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.gamma = nn.Parameter(norm.gamma.detach()[:, None, None].clone())
        self.beta = nn.Parameter(norm.beta.detach()[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        length = torch.norm(x, dim=(2, 3), keepdim=True)
        n = length / (length.mean(1, keepdim=True) + 1e-6)
        return (1 + self.gamma) * (x * n) + self.beta + x


class AdaGrn(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.film, self.norm = norm.film, Grn(norm.norm)

    def forward(self, x: Tensor, f: Tensor) -> Tensor:
        a, b = self.film(f)[:, :, None, None].chunk(2, dim=1)
        return self.norm(x) * (1 + a) + b


class Attention(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.heads = layer, layer.heads

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x: B C H W; t: B M C."""
        queries = x.flatten(2).transpose(1, 2)
        q = self.split(self.layer.query_norm(self.layer.query(queries)))
        k = self.split(self.layer.key_norm(self.layer.key(t)))
        v = self.split(self.layer.value(t))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        summary = torch.einsum("bhnd,bhne->bhde", k, v)
        taken = torch.einsum("bhnd,bhde->bhne", q, summary)
        total = torch.einsum("bhnd,bhd->bhn", q, k.sum(2)).unsqueeze(-1) + 1e-8
        out = (taken / total).transpose(1, 2).reshape(queries.shape)
        return self.layer.out(out).transpose(1, 2).reshape(x.shape)

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Of R2ID with a time vector, of R2IR without."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.is_cross = hasattr(block, "attention")
        name = "attention" if self.is_cross else "self"
        wrap = Grn if self.is_cross else AdaGrn
        attention = block.attention if self.is_cross else block.self_attention
        self.norm, self.attention = wrap(getattr(block, f"{name}_norm")), Attention(attention)
        self.ffn_norm = wrap(block.ffn_norm)
        self.ffn = nn.Sequential(Conv(block.ffn[0]), nn.SiLU(), Conv(block.ffn[3]))
        self.scale, self.ffn_scale, self.out_scale = (
            nn.Parameter(getattr(block, f"{part}_scale").detach()[:, None, None].clone())
            for part in (name, "ffn", "out")
        )
        if hasattr(block, "cross_attention"):
            self.cross_norm = AdaGrn(block.cross_norm)
            self.cross = Attention(block.cross_attention)
            self.cross_scale = nn.Parameter(block.cross_scale.detach()[:, None, None].clone())

    def forward(self, x: Tensor, t: Tensor | None = None, f: Tensor | None = None) -> Tensor:
        film = () if f is None else (f,)
        a = self.norm(x, *film)
        w = x + self.attention(a, t if self.is_cross else a.flatten(2).transpose(1, 2)) * self.scale
        if hasattr(self, "cross"):
            w = w + self.cross(self.cross_norm(w, *film), t) * self.cross_scale
        w = w + self.ffn(self.ffn_norm(w, *film)) * self.ffn_scale
        return x + w * self.out_scale


class PlainDiffuser(nn.Module):
    def __init__(self, model: LegacyDiffuser) -> None:
        super().__init__()
        self.config = c = model.config
        self.positions = Positions(c.n_high, c.n_low)
        self.omega = math.pi * 2.0 ** (torch.arange(c.time_high + c.time_low) - c.time_low).float()
        self.latent_in, self.noise_out = Conv(model.latent_in), Conv(model.noise_out)
        self.film = model.film
        self.encoder = nn.ModuleList([Block(block) for block in model.encoder])
        self.decoder = nn.ModuleList([Block(block) for block in model.decoder])

    def forward(self, z: Tensor, alpha_bar: Tensor, conditions: list[Tensor]) -> list[Tensor]:
        u = alpha_bar * (1 - 2e-6) - (0.5 - 1e-6)
        phase = u.unsqueeze(1) * self.omega
        waves = torch.cat([phase.sin(), phase.cos()], dim=1)
        f = self.film(F.layer_norm(waves, waves.shape[1:]).to(z.dtype))
        positions = self.positions(len(z), *z.shape[2:], z.dtype)
        x = self.latent_in(torch.cat([z, positions], dim=1))
        for block in self.encoder:
            x = block(x, f=f)
        found = []
        for text in conditions:
            y = x
            for block in self.decoder:
                y = block(y, text, f)
            found.append(self.noise_out(y))
        return found


class PlainDecoder(nn.Module):
    """R2IR's decoder."""

    def __init__(self, model: LegacyResampler) -> None:
        super().__init__()
        self.positions = Positions(model.config.n_high, model.config.n_low)
        self.latent_in, self.position_in = Conv(model.latent_in), Conv(model.position_in)
        self.decoder = nn.ModuleList([Block(block) for block in model.decoder])
        self.image_out = Conv(model.image_out)

    def forward(self, z: Tensor, height: int, width: int) -> Tensor:
        positions = self.positions(len(z), *z.shape[2:], z.dtype)
        t = self.latent_in(torch.cat([z, positions], dim=1)).flatten(2).transpose(1, 2)
        x = self.position_in(self.positions(len(z), height, width, z.dtype))
        for block in self.decoder:
            x = block(x, t)
        return self.image_out(x).tanh()

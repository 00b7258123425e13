"""A patch autoencoder that begins as the best linear one.

The Karhunen-Loève transform (KLT) of the patches is the linear code of least squared error.
Every nonlinear layer of the model can be set so that it is passed exactly, so training begins at
the KLT's error and only has to improve on it.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from smalti.models.patch.model import Mlp, PatchAutoencoder, PixelHeadDecoder
from smalti.models.patch.stages import StackedPatchAutoencoder

PROBED = 64  # patches on which the gains of a stacked model are measured
CODED = 4096  # patches whose latents the second stage begins with: the first takes time
AT_ONCE = 256  # of them
HEIGHT = 0.2  # of the pixel head's basis functions: SiLU reaches down to -0.278


@torch.no_grad()
def linear_init(
    model: PatchAutoencoder | StackedPatchAutoencoder,
    patches: Float[Tensor, "N C P P"],
    seed: int = 0,
) -> None:
    """Set the weights so that the model is the KLT of `patches`; z has mean 0 and variance 1.

    Residual branches end in zeros; what the linear map does not need is random. Of two stages the
    second becomes the KLT of what it codes, and the first stays as it is.

    Args:
        patches: at least some thousand, in the range of the model's pictures.
        seed: of the random rest.
    """
    if isinstance(model, StackedPatchAutoencoder):
        model.set_gains(patches[:PROBED])
        latents = [model.between(part) for part in patches[:CODED].split(AT_ONCE)]
        linear_init(model.second, torch.cat(latents), seed)
        return
    config = model.config
    random = torch.Generator().manual_seed(seed)
    mean, deviations, basis = klt(patches.flatten(1).double().cpu())
    n, width = config.latent_channels, config.width

    encoder: Any = model.encoder[0]
    decoder: Any = model.decoder[0]
    for block in [*encoder.blocks, *decoder.blocks]:
        final = block.mlp.conv_down if hasattr(block.mlp, "conv_down") else block.mlp[2]
        nn.init.zeros_(final.weight)
        nn.init.zeros_(final.bias)

    # channels: the n whitened components, the others at their size relative to the n-th, mixtures
    scale = torch.cat([1 / deviations[:n], 1 / deviations[n - 1].expand(len(deviations) - n)])
    analysis = scale[:, None] * basis.T
    mixtures = torch.randn(max(0, width - len(scale)), len(scale), generator=random).double()
    analysis = torch.cat([analysis, mixtures @ analysis / math.sqrt(n)])[:width]
    _set(encoder.initial[0], analysis, -analysis @ mean)
    _pass_on(encoder.out, torch.eye(n, width), random)
    _pass_on(decoder.conv_in, torch.eye(width, n), random)

    synthesis = basis[:, :n] * deviations[:n]
    if isinstance(decoder, PixelHeadDecoder):
        _draw(decoder, synthesis, mean)
    else:
        _pass_on(decoder.last[0], F.pad(synthesis, (0, width - n)), random)
        decoder.last[0].model[2].bias.copy_(mean)


def klt(patches: Float[Tensor, "N D"]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean "D", standard deviations "D" (falling), and the components as the columns of "D D"."""
    mean = patches.mean(0)
    variances, basis = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    variances, basis = variances.flip(0), basis.flip(1)
    return mean, variances.clamp(min=1e-8).sqrt(), basis


def _pass_on(mlp: Mlp, matrix: Tensor, random: torch.Generator) -> None:
    """Make an MLP the linear map `matrix`, as GELU(v) - GELU(-v) = v; other hidden units random.

    Rows of zeros in `matrix` are outputs without a task: they get random weights instead.
    """
    up: Any = mlp.model[0]
    down: Any = mlp.model[2]
    n_out, n_in = matrix.shape
    used_in = [i for i in range(n_in) if matrix[:, i].any()]
    used_out = [o for o in range(n_out) if matrix[o].any()]
    pairs = len(used_in)
    hidden = up.weight.shape[0]
    first = torch.randn(hidden, n_in, generator=random) / math.sqrt(n_in)
    bias = torch.rand(hidden, generator=random) - 0.5
    first[: 2 * pairs], bias[: 2 * pairs] = 0, 0
    second = torch.randn(n_out, hidden, generator=random) / math.sqrt(hidden)
    second[used_out] = 0
    for k, i in enumerate(used_in):
        first[k, i], first[pairs + k, i] = 1, -1
        second[used_out, k] = matrix[used_out, i].to(second)
        second[used_out, pairs + k] = -matrix[used_out, i].to(second)
    _set(up, first, bias)
    _set(down, second, torch.zeros(n_out))


def _draw(decoder: PixelHeadDecoder, synthesis: Tensor, mean: Tensor) -> None:
    """Make the pixel head the linear map mean + synthesis z, z being the first cell features.

    With a constant L1 = 1, SiLU(RMSNorm(P) L1) is one table of basis functions over the texels
    of a cell for all cells, and L2, linear in z, mixes them. The table shall hold the patterns of
    `synthesis`: P is SiLU's inverse of it. RMSNorm would change that unless all rows of P have one
    length, which the last column of P sees to.
    """
    patch = decoder.patch
    head: Any = decoder.nerf[0]
    n_texels, n = patch**2, synthesis.shape[1]
    features, colours = decoder.positions.shape[2], decoder.last.weight.shape[0]

    patterns = synthesis.view(colours, n_texels, n).transpose(0, 1)  # texels, colours, latents
    spatial = torch.linalg.svd(patterns.flatten(1))[0][:, : features - 1]
    wanted = _inverse_silu(HEIGHT * spatial / spatial.abs().amax(0))
    squares = wanted.square().sum(1, keepdim=True)
    length = (2 * squares.max()).sqrt()
    gain = length / math.sqrt(features)  # RMSNorm's, so that it gives back `wanted`
    positions = torch.cat([wanted, (length**2 - squares).sqrt()], 1) / gain
    table = F.silu(positions * gain)

    # Q = P + table L2; the columns of last are chosen so that P itself adds only what table can
    # take away again
    outside = positions - table @ torch.linalg.lstsq(table, positions).solution
    last = torch.linalg.svd(outside)[2][-colours:]
    constant = mean.view(colours, n_texels).T - positions @ last.T
    targets = torch.cat([patterns.flatten(1), constant.flatten(1)], 1).view(n_texels, -1)
    mixing = torch.linalg.lstsq(table, targets).solution  # features, colours n + colours
    per_latent = mixing[:, : colours * n].view(features, colours, n)
    second = torch.einsum("fcn,cg->fgn", per_latent, last).flatten(0, 1)
    second_constant = (mixing[:, colours * n :] @ last).flatten()

    square = features * features
    nn.init.zeros_(head.param_gen.weight)
    head.param_gen.weight[square:, :n] = second.float()
    head.param_gen.bias[:square] = torch.eye(features).flatten()
    head.param_gen.bias[square:] = second_constant.float()
    head.norm.weight.fill_(float(gain))
    decoder.positions.copy_(positions.unsqueeze(0))
    _set(decoder.last, last, torch.zeros(colours))


def _inverse_silu(y: Tensor) -> Tensor:
    """t with SiLU(t) = y, on the branch that rises, by Newton's method; y > -0.27."""
    t = 2 * y
    for _ in range(50):
        s = torch.sigmoid(t)
        t = t - (t * s - y) / (s * (1 + t * (1 - s)))
    return t


def _set(layer: Any, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight.reshape(layer.weight.shape))
    layer.bias.copy_(bias)

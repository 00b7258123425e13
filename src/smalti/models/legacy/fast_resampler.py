"""R2IR for inference: what `models.legacy.r2` computes, in fewer operations and bytes.

- Keys and values do not change from block to block: one pass over the source serves all blocks,
  and what is left of it are two matrices a block. An output token then sees no other token but
  through the norms, which take the length of every channel over all of them.
- Everything else as in `fast_diffuser`.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from smalti.models.legacy.blocks import CrossBlock
from smalti.models.legacy.fast_parts import (
    Attention,
    Entrance,
    Ffn,
    Memory,
    Norm,
    Squares,
    Sums,
    arithmetic_of,
    spans,
)
from smalti.models.legacy.r2 import LegacyResampler, Size, check_sizes

Step = Callable[[Tensor, Tensor], Tensor]  # rows of x and of w; changes the one that it returns


class FastLegacyResampler:
    """A `LegacyResampler` for inference; the model stays as it is.

    The weights are copied when it is made, and take no gradients.

    Args:
        dtype: of the weights, None for the model's. Results are float32.
        arithmetic: None for that of `dtype`, but float32 for bfloat16 on a CPU that has no
            instructions for it.
    """

    def __init__(
        self,
        model: LegacyResampler,
        *,
        dtype: torch.dtype | None = None,
        arithmetic: torch.dtype | None = None,
    ) -> None:
        self.config, self.device = model.config, model.device
        dtype = dtype or model.dtype
        self.dtype = arithmetic or arithmetic_of(dtype, self.device)
        model = deepcopy(model).requires_grad_(False).to(dtype).float()  # rounded
        self.image_in, self.position_in, self.latent_in = (
            Entrance(layer, model.config, self.dtype)
            for layer in (model.image_in, model.position_in, model.latent_in)
        )
        self.encoder = [FastCrossBlock(block, self.dtype) for block in model.encoder]
        self.decoder = [FastCrossBlock(block, self.dtype) for block in model.decoder]
        self.latent_out = model.latent_out.to(self.dtype)
        self.image_out = model.image_out.to(self.dtype)

    @torch.no_grad()
    def encode(
        self, x: Float[Tensor, "B C H W"], size: Size | None = None, *, scale: int = 8
    ) -> Float[Tensor, "B Z h w"]:
        """As `LegacyResampler.encode`; memory does not grow with the picture."""
        size = size or (x.shape[2] // scale, x.shape[3] // scale)
        check_sizes(x, size, self.config.channels)
        memories = self._memories(x, self.image_in, self.encoder)
        return self._draw(len(x), size, self.encoder, memories, self.latent_out)

    @torch.no_grad()
    def decode(
        self,
        z: Float[Tensor, "B Z h w"],
        size: Size | None = None,
        *,
        scale: int = 8,
        bounded: bool = False,
    ) -> Float[Tensor, "B C H W"]:
        """As `LegacyResampler.decode`.

        Args:
            bounded: keep no pixel's tokens but make them anew in each of 2 n + 1 passes, n the
                number of blocks, since every norm has to have seen all pixels: about n / 2 + 2.5
                times the operations, and equal up to rounding. Without it two tokens of `width`
                numbers are kept of a pixel.
        """
        size = size or (z.shape[2] * scale, z.shape[3] * scale)
        check_sizes(z, size, self.config.latent_channels)
        memories = self._memories(z, self.latent_in, self.decoder)
        draw = self._draw_in_passes if bounded else self._draw
        return draw(len(z), size, self.decoder, memories, self.image_out)

    def _memories(
        self, source: Tensor, enter: Entrance, blocks: list["FastCrossBlock"]
    ) -> list[Memory]:
        """What each block sees of the source, in one pass over its tokens."""
        tokens = source.to(self.device, self.dtype).flatten(2).transpose(1, 2)
        size = (source.shape[2], source.shape[3])
        if blocks and blocks[0].attention.is_few(tokens.shape[1]):
            t = enter(tokens, size)
            return [block.attention.memory_of(t) for block in blocks]
        sums = [Sums() for _ in blocks]
        for part in spans(tokens):
            t = enter.rows(size, part, tokens[:, part])
            for block, total in zip(blocks, sums, strict=True):
                total.add(block.attention.keys(t), t)
        return [
            block.attention.memory(total.products, total.total)
            for block, total in zip(blocks, sums, strict=True)
        ]

    def _draw(
        self,
        batch: int,
        size: Size,
        blocks: list["FastCrossBlock"],
        memories: list[Memory],
        leave: nn.Linear,
    ) -> Float[Tensor, "B out H W"]:
        shape = (batch, size[0] * size[1], self.config.width)
        x, w = (torch.empty(shape, dtype=self.dtype, device=self.device) for _ in range(2))
        squares = Squares()
        for part in spans(x):
            x[:, part] = self.position_in.rows(size, part)
            squares.add(x[:, part])
        for half in _halves(blocks, memories, x):
            step, squares = half(squares.lengths()), Squares()
            for part in spans(x):
                squares.add(step(x[:, part], w[:, part]))
        out = torch.empty(batch, leave.out_features, shape[1], device=self.device)
        for part in spans(x):
            out[:, :, part] = leave(x[:, part]).transpose(1, 2)
        return out.tanh_().unflatten(2, size)

    def _draw_in_passes(
        self,
        batch: int,
        size: Size,
        blocks: list["FastCrossBlock"],
        memories: list[Memory],
        leave: nn.Linear,
    ) -> Float[Tensor, "B out H W"]:
        out = torch.empty(batch, leave.out_features, size[0] * size[1], device=self.device)
        steps: list[Step] = []

        def rows(part: slice) -> Tensor:
            """What has been made of these rows so far."""
            newest = x = self.position_in.rows(size, part).repeat(batch, 1, 1)
            w = torch.empty_like(x)
            for step in steps:
                newest = step(x, w)
            return newest

        for half in _halves(blocks, memories, out.transpose(1, 2)):
            squares = Squares()
            for part in spans(out.transpose(1, 2)):
                squares.add(rows(part))
            steps.append(half(squares.lengths()))
        for part in spans(out.transpose(1, 2)):
            out[:, :, part] = leave(rows(part)).transpose(1, 2)
        return out.tanh_().unflatten(2, size)


class FastCrossBlock:
    """A `CrossBlock` in two halves, each of which needs the lengths of all channels before it."""

    def __init__(self, block: CrossBlock, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.norms = Norm(block.attention_norm), Norm(block.ffn_norm)
        self.attention = Attention(block.attention, block.attention_scale, dtype)
        self.ffn = Ffn(block.ffn, block.ffn_scale, block.out_scale, dtype)

    def attend(self, lengths: Tensor, *, memory: Memory, folded: bool) -> Step:
        """x -> w"""
        enter = self.attention.enter(self.norms[0].affine(lengths, self.dtype), folded=folded)

        def step(x: Tensor, w: Tensor) -> Tensor:
            self.attention.read(self.attention.phi_q(enter(x)), x, memory, into=w)
            return w

        return step

    def finish(self, lengths: Tensor, *, folded: bool) -> Step:
        """x, w -> x"""
        enter = self.ffn.enter(self.norms[1].affine(lengths, self.dtype), folded=folded)

        def step(x: Tensor, w: Tensor) -> Tensor:
            self.ffn(x, w, enter)
            return x

        return step


def _halves(
    blocks: list[FastCrossBlock], memories: list[Memory], tokens: Float[Tensor, "B N C"]
) -> list[Callable[[Tensor], Step]]:
    """Of all blocks, each a function of the lengths of the channels that it enters with."""
    found: list[Callable[[Tensor], Step]] = []
    for block, memory in zip(blocks, memories, strict=True):
        folded = tokens.shape[1] >= len(block.attention.out)
        found.append(partial(block.attend, memory=memory, folded=folded))
        found.append(partial(block.finish, folded=folded))
    return found

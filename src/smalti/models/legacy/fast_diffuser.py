"""R2ID for inference: what `models.legacy.r2` computes, in fewer operations and bytes.

- Tokens are rows throughout, and go through several layers a part at a time.
- Norms, the time vector and the scales of branches go into weights (`fast_parts`).
- Queries and keys of self-attention are one product, values and the output's product another one
  of C x C matrices; a text of few tokens is read as their weights.
- Texts are read once for all steps (`texts`), positions projected once for a size.
- All conditionings are one batch, and share the first self-attention, which sees no text.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from smalti.models.legacy.blocks import AdaGrn, SelfBlock, TextBlock, time_features
from smalti.models.legacy.fast_parts import (
    Affine,
    Attention,
    Entrance,
    Ffn,
    Memory,
    Norm,
    Product,
    Squares,
    arithmetic_of,
    lengths,
    spans,
)
from smalti.models.legacy.r2 import LegacyDiffuser, check_sizes


@dataclass(frozen=True)
class Texts:
    """What every block sees of every conditioning, and for how many of these."""

    memories: list[list[Memory]]
    count: int


class FastLegacyDiffuser:
    """A `LegacyDiffuser` for inference; the model stays as it is.

    The weights are copied when it is made, and take no gradients.

    Args:
        dtype: of the weights, None for the model's.
        arithmetic: None for that of `dtype`, but float32 for bfloat16 on a CPU that has no
            instructions for it.
    """

    def __init__(
        self,
        model: LegacyDiffuser,
        *,
        dtype: torch.dtype | None = None,
        arithmetic: torch.dtype | None = None,
    ) -> None:
        self.config, self.device = model.config, model.device
        dtype = dtype or model.dtype
        self.dtype = arithmetic or arithmetic_of(dtype, self.device)
        model = deepcopy(model).requires_grad_(False).to(dtype).float()  # rounded
        self.time = model.film
        blocks = [*model.encoder, *model.decoder]
        films = [norm.film for block in blocks for norm in _norms(block)]
        self.film = torch.cat([film.weight for film in films])
        self.film_bias = torch.cat([film.bias for film in films])
        self.encoder = [FastBlock(block, self.dtype) for block in model.encoder]
        self.decoder = [FastBlock(block, self.dtype) for block in model.decoder]
        self.latent_in = Entrance(model.latent_in, model.config, self.dtype)
        self.noise_out = model.noise_out.to(self.dtype)

    @torch.no_grad()
    def __call__(
        self,
        z: Float[Tensor, "B Z h w"],
        alpha_bar: Float[Tensor, " B"],
        conditions: Sequence[Float[Tensor, "B T C"]] | Texts,
    ) -> list[Float[Tensor, "B Z h w"]]:
        """The noise in z, in float32; as `LegacyDiffuser`, or with what `texts` has read."""
        size = (z.shape[2], z.shape[3])
        check_sizes(z, size, self.config.latent_channels)
        texts = conditions if isinstance(conditions, Texts) else self.texts(conditions)
        if not texts.count:
            return []
        tokens = z.to(self.device, self.dtype).flatten(2).transpose(1, 2)
        x = self.latent_in(tokens, size)
        state = x, lengths(x)
        films = self._films(alpha_bar)
        for block in self.encoder:
            state = block(*state, films)
        for block, memories in zip(self.decoder, texts.memories, strict=True):
            state = block(*state, films, memories, shared=block is self.decoder[0])
        noise = self.noise_out(state[0]).float().transpose(1, 2).unflatten(2, size)
        if not self.decoder:
            return [noise] * texts.count
        return list(noise.chunk(texts.count))

    @torch.no_grad()
    def texts(self, conditions: Sequence[Float[Tensor, "B T C"]]) -> Texts:
        """Read the conditionings' tokens once, for any number of steps; B may be 1 for all."""
        conditions = [text.to(self.device, self.dtype) for text in conditions]
        memories = [[block.cross.memory_of(text) for text in conditions] for block in self.decoder]
        return Texts(memories, len(conditions))

    def _films(self, alpha_bar: Float[Tensor, " B"]) -> Iterator[Tensor]:
        features = time_features(alpha_bar, self.config.time_high, self.config.time_low)
        both = F.linear(self.time(features.to(self.device)), self.film, self.film_bias)
        return iter(both.view(len(both), -1, 1, 2 * self.config.width).unbind(1))


class FastBlock:
    """A `SelfBlock` or `TextBlock`; overwrites its input."""

    def __init__(self, block: SelfBlock, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.norms = [Norm(norm.norm) for norm in _norms(block)]
        self.attention = Attention(block.self_attention, block.self_scale, dtype)
        if isinstance(block, TextBlock):
            self.cross = Attention(block.cross_attention, block.cross_scale, dtype)
        self.ffn = Ffn(block.ffn, block.ffn_scale, block.out_scale, dtype)

    def __call__(
        self,
        x: Float[Tensor, "B N C"],
        lengths: Float[Tensor, "B 1 C"],
        films: Iterator[Tensor],
        memories: list[Memory] | None = None,
        *,
        shared: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Tokens and the lengths of their channels; every norm takes the next of `films`.

        With `memories` of n conditionings, the batch is n parts, one for each; if `shared`, it is
        one part that becomes n.
        """
        norms, folded = iter(self.norms), x.shape[1] >= x.shape[2]

        def affine(lengths: Tensor) -> Affine:
            film = next(films)
            if len(film) != len(lengths):
                film = film.repeat(len(lengths) // len(film), 1, 1)
            return next(norms).affine(lengths, self.dtype, film.chunk(2, dim=2))

        q, memory = self.attention.of_itself(x, affine(lengths), folded=folded)
        w, squares = torch.empty_like(x), Squares()
        for part in spans(x):
            self.attention.read(q[:, part], x[:, part], memory, into=w[:, part])
            squares.add(w[:, part])
        if memories is not None:
            enter = self.cross.enter(affine(squares.lengths()), folded=folded)
            w, squares = self._read(w, enter, memories, shared=shared)
            x = x.repeat(len(w) // len(x), 1, 1)
        enter = self.ffn.enter(affine(squares.lengths()), folded=folded)
        squares = Squares()
        for part in spans(x):
            self.ffn(x[:, part], w[:, part], enter)
            squares.add(x[:, part])
        return x, squares.lengths()

    def _read(
        self, w: Tensor, enter: Product, memories: list[Memory], *, shared: bool
    ) -> tuple[Tensor, Squares]:
        """w and what it takes from each conditioning, all in one batch."""
        count = len(memories)
        found = w.new_empty(len(w) * (count if shared else 1), *w.shape[1:])
        squares, targets = Squares(), found.chunk(count)
        for part in spans(w):
            rows = w[:, part]
            q = self.cross.phi_q(enter(rows))
            each = [(q.clone(), rows)] * count
            if not shared:
                each = zip(q.chunk(count), rows.chunk(count), strict=True)
            for target, (queries, own), memory in zip(targets, each, memories, strict=True):
                self.cross.read(queries, own, memory, into=target[:, part])
            squares.add(found[:, part])
        return found, squares


def _norms(block: SelfBlock) -> list[AdaGrn]:
    """In the order of their use."""
    cross = [block.cross_norm] if isinstance(block, TextBlock) else []
    return [block.self_norm, *cross, block.ffn_norm]

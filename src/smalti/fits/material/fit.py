"""Fitting a neural texture to its mip levels: Adam over blocks of texels, each once a round.

The nodes' steps are learnt, but not as numbers of their own: the first layer multiplies each
channel, so a step of 1 / (levels - 1) of the range [0, 1] is as general as any (Vaidyanathan et al.
2023, section 4.2, arXiv 2305.17105). For four fifths of the fit uniform noise of one step stands
for rounding; then the nodes are rounded and the gradient passes through.

A block's nodes are moved when the block is visited, by what it and its neighbours have gathered
since the last visit. So a node sees as many steps as there are rounds, and the network, which
moves after every few blocks, a hundred times more.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from smalti.fits.material import kernels
from smalti.fits.material.layout import Layout
from smalti.fits.material.texture import NeuralTexture

NODE_RATE, NETWORK_RATE = 0.05, 1e-2  # of Adam at the start; a cosine to 0
STEP_BLOCKS = 4  # of one step of the network: 4,096 texels of the finer mip level
ROUNDED_FROM = 0.8  # of the fit
STEPS_A_ROUND = 40  # of the network at least: small textures have few blocks, and take more rounds
LAST_ROUNDS, LAST_SHARE = 4, 0.1  # with rounded nodes, of a fit that is stopped
GAINS = (2.0, 1.4, 1.0)  # of the layers' first weights; nodes vary by 0.15 around their mean


def fit_texture(
    layout: Layout,
    mips: Sequence[np.ndarray],
    weights: Sequence[float],
    *,
    rounds: int,
    alpha: int | None = None,
    seed: int = 0,
    on_step: Callable[[int, int, float], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> NeuralTexture:
    """The neural texture of this layout that comes nearest to the mip levels.

    Args:
        mips: uint8 (h, w, channels) of every mip level of the layout, the largest first.
        weights: of each channel's square error.
        rounds: visits of every block; small textures get more.
        alpha: the channel that says how visible a texel is: other channels' errors count as much.
        on_step: called with (rounds done, rounds in all, PSNR so far in dB over all channels and
            mip levels, with the noise that stands for rounding).
        stopped: asked after every round; True ends the fit with what is there, rounded.
    """
    run = _Run(layout, mips, weights, -1 if alpha is None else alpha, seed)
    rounds = max(rounds, -(-rounds * STEPS_A_ROUND * STEP_BLOCKS // len(run.blocks)))
    done = 0
    while done < rounds:
        psnr = run.round(done / rounds, (done + 1) / rounds)
        done += 1
        if on_step:
            on_step(done, rounds, psnr)
        if stopped():
            if done / rounds < ROUNDED_FROM:
                for last in range(LAST_ROUNDS):
                    run.round(1 - LAST_SHARE * (1 - last / LAST_ROUNDS), 1)
            break
    return run.texture()


class _Run:
    """Parameters, gradients and moments of one fit."""

    def __init__(
        self,
        layout: Layout,
        mips: Sequence[np.ndarray],
        weights: Sequence[float],
        alpha: int,
        seed: int,
    ) -> None:
        self.layout = layout
        self.random = np.random.default_rng(seed)
        self.key = seed  # of the noise
        self.blocks = blocks_of(layout)
        self.gradient = kernels.Gradient(
            layout,
            np.concatenate([mip.transpose(2, 0, 1).ravel() for mip in mips]),
            np.asarray(weights, np.float32),
            alpha,
            STEP_BLOCKS,
        )
        self.nodes = self.random.uniform(0.25, 0.75, layout.value_count).astype(np.float32)
        self.d_nodes, self.first, self.second = (np.zeros_like(self.nodes) for _ in range(3))
        self.network = first_network(layout, mips[0].mean((0, 1)) / 255, self.random)
        self.d_network, self.m, self.v = (np.zeros_like(self.network) for _ in range(3))
        self.rounds, self.steps = 0, 0

    def round(self, start: float, end: float) -> float:
        """Visit every block once, in random order, from one share of the fit to another; the PSNR."""
        self.rounds += 1
        sums = np.zeros((2, self.layout.channels))
        parts = -(-len(self.blocks) // STEP_BLOCKS)
        for k, part in enumerate(np.array_split(self.random.permutation(len(self.blocks)), parts)):
            at = start + (end - start) * k / parts
            rate = 0.5 * (1 + math.cos(math.pi * at))
            chosen = self.blocks[part]
            self.steps += 1
            self.gradient(
                chosen,
                kernels.ROUNDED if at >= ROUNDED_FROM else kernels.NOISY,
                (self.key + 0x9E3779B9 * self.steps) % 2**32,  # far apart: the hash's keys
                self.nodes, self.network, self.d_nodes, self.d_network, sums,
            )  # fmt: skip
            self.gradient.adam_nodes(
                chosen, NODE_RATE * rate, self.rounds,
                self.nodes, self.d_nodes, self.first, self.second,
            )  # fmt: skip
            kernels.ADAM.step(
                self.network, self.d_network, self.m, self.v,
                rate=NETWORK_RATE * rate, step=self.steps, threads=1,
            )  # fmt: skip
        error = sums.sum() / (self.layout.texel_count * self.layout.channels)
        return -10 * math.log10(max(error, 1e-10))

    def texture(self) -> NeuralTexture:
        codes = np.empty(len(self.nodes), np.uint8)
        for values, _, grid in self.layout.grid_slices():
            codes[values] = np.floor(self.nodes[values] * grid.steps + np.float32(0.5))
        return NeuralTexture(self.layout, codes, self.network.astype(np.float16))


def blocks_of(layout: Layout) -> np.ndarray:
    """int64 (N, 3): grid level, row and column of every block."""
    found = []
    for level in range(layout.level_count):
        height, width = layout.size(2 * level)
        rows, columns = -(-height // kernels.BLOCK_HEIGHT), -(-width // kernels.BLOCK_WIDTH)
        found += [(level, row, column) for row in range(rows) for column in range(columns)]
    return np.array(found, np.int64)


def first_network(layout: Layout, mean: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Weights drawn at random, biases 0, but for the last: the mean colour. Flat float32."""
    network = np.zeros(layout.weight_count, np.float32)
    views = layout.views(network)
    for weight, gain in zip(views[::2], GAINS, strict=True):
        weight[:] = random.standard_normal(weight.shape) * gain / math.sqrt(weight.shape[1])
    views[5][:] = mean
    return network

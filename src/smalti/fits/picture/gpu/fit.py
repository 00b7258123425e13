"""A fit whose steps run on a GPU; with everything else it is the fit that it derives from.

Values, network, moments and pictures live on the device, and come back to NumPy when somebody asks
for `values`, `network` or `state`: for looking, saving and writing the file, which stay on the CPU.
Adam and the soft rounding are torch's: their time is that of reading memory.
"""

import math

import numpy as np
import torch
from torch import Tensor

from smalti.errors import OptionError
from smalti.fits.picture import fit as on_cpu
from smalti.fits.picture import rounding
from smalti.fits.picture.canvas import FEATURE
from smalti.fits.picture.fit import Fit, Progress
from smalti.fits.picture.layout import nodes
from smalti.fits.picture.network import Network
from smalti.fits.picture.values import ADAM, MIX_1, MIX_2

try:
    from smalti.fits.picture.gpu import colour, context, double
except ImportError as cause:
    raise OptionError(
        "a fit on a GPU needs Triton, which torch brings along on Linux for CUDA: pip install triton"
    ) from cause


class GpuFit(Fit):
    """`Fit` with another `step`; its sums are in another order, so files differ in a few bits.

    Args:
        device: of torch; the others are those of `Fit`.
    """

    def __init__(self, image: np.ndarray, *arguments, device: str = "cuda", **options) -> None:
        self._device = torch.device(device)
        self._behind = False  # whether NumPy's arrays are older than the device's
        super().__init__(image, *arguments, **options)
        layout = self.layout
        self._goal, self._scale = self._there(self.image), self._there(self.weight)
        self._costs = context.Costs(layout, self._device)
        self._stack = [
            torch.zeros((len(layout.channels(level)), *nodes(layout.height, layout.width, level)))
            for level in range(self.canvas.top + 1)
        ]
        self._stack = [array.to(self._device) for array in self._stack]
        self._upload()

    @property
    def values(self) -> np.ndarray:
        self._download()
        return self._values

    @values.setter
    def values(self, values: np.ndarray) -> None:
        self._values = values

    @property
    def network(self) -> Network:
        self._download()
        return self._network

    @network.setter
    def network(self, network: Network) -> None:
        self._network = network

    @property
    def state(self) -> dict[str, np.ndarray]:
        self._download()
        return Fit.state.fget(self)

    @state.setter
    def state(self, state: dict[str, np.ndarray]) -> None:
        Fit.state.fset(self, state)
        self._upload()

    def step(self) -> Progress:
        learning = self.done < self.whole_from
        own = self._arrays[0]
        if learning:
            seen, slope = soften(own, *self._softness(self.done / self.whole_from))
        else:
            if rounds := self.rounds_now():
                rounding.improve(self, rounds)  # on the CPU
                self._upload()
                own = self._arrays[0]
            seen, slope = own, None
        channels, height, width = self.image.shape
        network = self._grouped(self._arrays[1:])
        gradient = torch.zeros_like(own)
        bits, d_context = self._costs.add(
            seen, gradient, self.lmbda * channels, network.context
        )  # fmt: skip
        error, d_network = self._picture(seen, network, gradient)
        gradients = [gradient if slope is None else gradient * slope, *d_network, *d_context]
        if learning:
            fall = 0.5 * (1 + math.cos(math.pi * self.done / self.whole_from))
            rates = on_cpu.GRID_RATE * fall, on_cpu.NETWORK_RATE * fall, on_cpu.TAP_RATE * fall
        else:
            left = (self.steps - self.done) / (self.steps - self.whole_from)
            rates = 0.0, on_cpu.FINISH_RATE * left, on_cpu.FINISH_RATE * left
        self._adapt(gradients, *rates)
        self.done += 1
        self._behind = True
        mse = float(error) / (channels * height * width)
        return Progress(self.done, self.steps, mse, float(bits))

    def _softness(self, progress: float) -> tuple[float, float, int]:
        """Temperature, noise and the noise's key, as `Fit._soften` has them."""
        warm, cold = on_cpu.TEMPERATURES
        noise = on_cpu.NOISE[0] + (on_cpu.NOISE[1] - on_cpu.NOISE[0]) * progress
        key = (self.done * 2654435761 + self.seed * 97 + 12345) & 0xFFFFFFFF
        return warm * (cold / warm) ** progress, noise, key

    def _picture(
        self, seen: Tensor, network: Network, gradient: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Weighted sum of squared errors; adds to the values' gradient.

        The gradients of the network but for the context model, in its order.
        """
        layout, taps = self.layout, network.taps[0]
        offsets, top = layout.offsets, self.canvas.top
        for level in range(top, -1, -1):
            inner = self.canvas.place(level)[1]
            if inner:
                double.double(self._stack[level + 1], taps[level], self._stack[level][:inner])
            for channel, grid in enumerate(layout.channels(level)[inner:], inner):
                held = seen[offsets[grid] : offsets[grid + 1]].view(layout.shapes[grid])
                torch.mul(held, float(FEATURE), out=self._stack[level][channel])
        features = self._stack[0].view(len(layout.levels), -1)
        picture = torch.empty_like(self._goal)
        colour.colour(features, network.synthesis, picture.view(len(picture), -1))
        error, d_picture = _error(picture, self._goal, self._scale)
        d_features = torch.empty_like(features)
        d_synthesis = colour.colour_back(
            features, network.synthesis, d_picture.view(len(picture), -1), d_features
        )
        d_taps = torch.zeros_like(taps)
        d_level = d_features.view(self._stack[0].shape)
        for level in range(top + 1):
            inner = self.canvas.place(level)[1]
            for channel, grid in enumerate(layout.channels(level)[inner:], inner):
                own = gradient[offsets[grid] : offsets[grid + 1]]
                own += float(FEATURE) * d_level[channel].reshape(-1)
            if inner:
                d_level, d_taps[level] = double.double_back(
                    self._stack[level + 1], taps[level], d_level[:inner]
                )
        return error, [*d_synthesis, d_taps]

    def _adapt(
        self, gradients: list[Tensor], grid_rate: float, network_rate: float, tap_rate: float
    ) -> None:
        """One step of Adam: `fits._adam`."""
        beta_1, beta_2, step = ADAM.beta_1, ADAM.beta_2, self.done + 1
        groups = self._network.groups
        rates = [tap_rate if g is self._network.taps else network_rate for g in groups for _ in g]
        for array, g, mean, spread, rate in zip(
            self._arrays, gradients, self._means, self._spreads, [grid_rate, *rates], strict=True
        ):
            mean.mul_(beta_1).add_(g, alpha=1 - beta_1)
            spread.mul_(beta_2).addcmul_(g, g, value=1 - beta_2)
            size = (spread / (1 - beta_2**step)).sqrt_().add_(ADAM.epsilon)
            array.addcdiv_(mean, size, value=-rate / (1 - beta_1**step))

    def _there(self, array: np.ndarray) -> Tensor:
        own = np.array(array, np.float32, order="C")  # as kernels count
        return torch.from_numpy(own).to(self._device)

    def _grouped(self, arrays: list[Tensor]) -> Network:
        """The device's parameters under their names."""
        left = iter(arrays)
        return Network(*(tuple(next(left) for _ in group) for group in self._network.groups))

    def _upload(self) -> None:
        """The device's arrays from NumPy's: values, then the network's; and their moments."""
        arrays = [self._values, *self._network.arrays]
        self._arrays = [self._there(a) for a in arrays]
        self._means = [self._there(a) for a in self._adam.mean]
        self._spreads = [self._there(a) for a in self._adam.spread]
        self._behind = False

    def _download(self) -> None:
        if not self._behind:
            return
        self._behind = False
        there = [*self._arrays, *self._means, *self._spreads]
        here = [self._values, *self._network.arrays, *self._adam.mean, *self._adam.spread]
        for target, source in zip(here, there, strict=True):
            target[...] = source.cpu().numpy()
        if self.done > self.whole_from:
            self._seen[:] = self._values


def soften(values: Tensor, temperature: float, noise: float, key: int) -> tuple[Tensor, Tensor]:
    """What a step sees of the values, and its derivative: `fits.picture.values.soften`."""
    # 32-bit arithmetic in 64 bits: what overflows in a product lies above the bits that are kept
    h = torch.arange(len(values), device=values.device) ^ key
    h = ((h ^ (h >> 16)) * int(MIX_1)) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * int(MIX_2)) & 0xFFFFFFFF
    h = h ^ (h >> 16)
    uniform = (h >> 9).float() * 2.0**-23 - 0.5
    once, slope = _soft(values, temperature)
    twice, slope_after = _soft(once + noise * uniform, temperature)
    return twice, slope * slope_after


def _soft(values: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    whole = values.floor() + 0.5
    t = torch.tanh((values - whole) / temperature)
    scale = 0.5 / math.tanh(0.5 / temperature)
    return whole + scale * t, (scale / temperature) * (1 - t * t)


def _error(picture: Tensor, goal: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of weighted squared errors and its derivatives: `synthesis.distortion`."""
    value = picture + 0.5
    e, clipped = value - goal, value.clamp(0, 1) - goal
    d = torch.where(clipped == 0, 0.0, 2 * weight * e)
    return (weight * clipped * clipped).sum(dtype=torch.float64), d

"""Adam, the optimiser of every fit: `native/fits/values.cpp`."""

from dataclasses import dataclass

import numpy as np

from smalti import native

KERNEL_ARGUMENTS = {  # of one step, in every kernel that takes one
    "rate": "f32", "beta_1": "f32", "beta_2": "f32", "unbias_1": "f32", "unbias_2": "f32",
    "tiny": "f32",
}  # fmt: skip
_step = native.kernel(
    "fits_adam", values="out f32", gradient="out f32", mean="out f32", spread="out f32",
    count="i64", **KERNEL_ARGUMENTS, threads="i32",
)  # fmt: skip


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.

    The second moment's decay matters in a fit: at the usual 0.999 it remembers a thousand steps,
    longer than these gradients keep their size.
    """

    beta_1: float  # decay of the running mean of gradients
    beta_2: float  # and of their squares
    epsilon: float  # added to the root of the latter

    def arguments(self, rate: float, step: int) -> dict[str, float]:
        """KERNEL_ARGUMENTS of a step; they count from 1."""
        return {
            "rate": rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "unbias_1": 1 / (1 - self.beta_1**step),
            "unbias_2": 1 / (1 - self.beta_2**step),
            "tiny": self.epsilon,
        }

    def step(
        self,
        values: np.ndarray,
        gradient: np.ndarray,
        mean: np.ndarray,
        spread: np.ndarray,
        *,
        rate: float,
        step: int,
        threads: int | None = None,
    ) -> None:
        """One step, counted from 1, that sets the gradient to 0; all arrays float32 of one size.

        Args:
            mean, spread: running means of the gradient and of its square.
        """
        _step(
            values=values, gradient=gradient, mean=mean, spread=spread, count=values.size,
            **self.arguments(rate, step), threads=native.threads() if threads is None else threads,
        )  # fmt: skip

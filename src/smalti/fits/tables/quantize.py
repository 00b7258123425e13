"""Uniform quantisation of a table's features, each between its own lowest and highest value."""

import numpy as np


def feature_ranges(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value of each feature of `entries features`."""
    return table.min(0), table.max(0)


def to_levels(table: np.ndarray, low: np.ndarray, high: np.ndarray, levels: int) -> np.ndarray:
    """The nearest of `levels` equidistant values from `low` to `high`, as 0 .. levels - 1, int32."""
    step = _step(low, high, levels)
    nearest = np.rint((table - low) / np.where(step > 0, step, np.float32(1)))
    return nearest.clip(0, levels - 1).astype(np.int32)


def from_levels(indices: np.ndarray, low: np.ndarray, high: np.ndarray, levels: int) -> np.ndarray:
    """The values that `to_levels` chose, float32."""
    return indices.astype(np.float32) * _step(low, high, levels) + low


def _step(low: np.ndarray, high: np.ndarray, levels: int) -> np.ndarray:
    return (high - low) / np.float32(levels - 1)

"""The kernels of native/image/mips.cpp in NumPy, to be read and to be compared with, bit for bit."""

from functools import reduce

import numpy as np

from smalti.textures.mips import Space, Taps, inside

_ONE = np.float32(1)


def to_planes(texels: np.ndarray, space: Space) -> np.ndarray:
    """uint8 (H, W, C) to float32 (C, H, W): what is averaged."""
    colours = _colours(texels.shape[2])
    planes = np.empty((texels.shape[2], *texels.shape[:2]), np.float32)
    planes[:colours] = space.values[texels[..., :colours].transpose(2, 0, 1)]
    if colours < len(planes):
        planes[-1] = (texels[..., -1] / 255).astype(np.float32)
    if space.invisible:
        planes[:colours] *= planes[-1] + np.float32(space.invisible)
    return planes


def shrink(planes: np.ndarray, down: Taps, across: Taps, edges: str) -> np.ndarray:
    """float32 (C, H, W) to (C, h, w): first down each column, then along each row."""
    lines = _filtered(planes, down, edges)
    return _filtered(lines.swapaxes(1, 2), across, edges).swapaxes(1, 2)


def _filtered(planes: np.ndarray, taps: Taps, edges: str) -> np.ndarray:
    """Along the second of three axes; the sum goes from the first tap to the last."""
    weights = taps.weights[None, :, :, None]
    parts = [
        weights[:, :, tap] * planes[:, inside(taps.starts + tap, planes.shape[1], edges)]
        for tap in range(taps.weights.shape[1])
    ]
    return reduce(np.add, parts)


def to_texels(
    planes: np.ndarray, space: Space, trusted: float, box: np.ndarray | None = None
) -> np.ndarray:
    """float32 (C, h, w) to uint8 (h, w, C).

    box: the same by the box filter. Negative weights leave colour and alpha that do not belong
    together where there is little alpha, or less than none: the box filter's colour takes over.
    """
    count = _colours(len(planes))
    invisible = np.float32(space.invisible)

    def over_alpha(planes: np.ndarray) -> np.ndarray:
        return planes[:count] / np.maximum(planes[-1] + invisible, invisible)

    colours = over_alpha(planes) if space.invisible else planes[:count]
    if box is not None and space.invisible:
        trust = (planes[-1] / np.float32(trusted)).clip(0, 1)
        colours = trust * colours.clip(0, 1) + (_ONE - trust) * over_alpha(box)
    if space.normal:
        length = np.sqrt(colours[0] ** 2 + colours[1] ** 2 + colours[2] ** 2)
        flat = length < np.float32(1e-6)  # opposite directions: which one is left is chance
        colours = colours / np.where(flat, _ONE, length)
        colours[:, flat] = [[0], [0], [1]]
        colours = colours * np.float32(0.5) + np.float32(0.5)
    texels = np.empty((*planes.shape[1:], len(planes)), np.uint8)
    texels[..., :count] = space.levels[_scaled(colours, 65535)].transpose(1, 2, 0)
    if count < len(planes):
        texels[..., -1] = _scaled(planes[-1], 255)
    return texels


def _scaled(plane: np.ndarray, top: int) -> np.ndarray:
    return np.rint(plane.clip(0, 1) * np.float32(top)).astype(np.int32)


def _colours(channels: int) -> int:
    return channels - (channels in (2, 4))

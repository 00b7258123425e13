"""Linear light of any range to a picture in [0, 1]: exposure and a curve.

The curve is Khronos' PBR Neutral tone mapper (2024, github.com/KhronosGroup/ToneMapping), made for
viewers of glTF: what is not bright keeps its colour, and highlights are pressed into the last
quarter and lose it. It knows nothing of the rest of the picture, so the faces of a cube map match.
"""

import numpy as np

from smalti.image.transfer import linear_to_srgb

_FIRST = 0.8 - 0.04  # from which on light is pressed together
_DESATURATION = 0.15
_FRESNEL = 0.04  # the reflection that every surface adds, taken away again


def tone_map(light: np.ndarray, *, exposure: float = 0.0) -> np.ndarray:
    """float32 (H, W, C) in [0, 1], sRGB-encoded; of float (H, W, C), linear light.

    exposure: in stops: light is multiplied with 2 ** exposure. C is 1 to 4; alpha stays.
    """
    channels = light.shape[2]
    count = channels - (channels in (2, 4))
    x = np.maximum(light[..., :count].astype(np.float32), 0) * np.float32(2.0**exposure)
    x = np.minimum(x, np.float32(1e30))
    low = x.min(axis=2, keepdims=True)
    x = x - np.where(low < 2 * _FRESNEL, low - low**2 / (4 * _FRESNEL), _FRESNEL)
    peak = x.max(axis=2, keepdims=True)
    rest = 1 - _FIRST
    pressed = 1 - rest**2 / np.maximum(peak + rest - _FIRST, rest)
    faded = 1 - 1 / (_DESATURATION * (peak - pressed) + 1)
    bright = x * (pressed / np.maximum(peak, np.float32(1e-20))) * (1 - faded) + pressed * faded
    x = np.where(peak < _FIRST, x, bright)
    mapped = linear_to_srgb(x.clip(0, 1)).astype(np.float32)
    return np.concatenate([mapped, light[..., count:].astype(np.float32).clip(0, 1)], axis=2)

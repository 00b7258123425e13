"""Colour spaces: sRGB, linear light of its primaries, Display P3."""

import numpy as np

from smalti.image.transfer import linear_to_srgb, srgb_to_linear
from smalti.textures.prepare.channels import like, unit

_D65 = (0.3127, 0.3290)
# Chromaticities of red, green, blue: ITU-R BT.709-6 and SMPTE EG 432-1; Display P3 has sRGB's
# transfer function (CSS Color 4, section 10.4).
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))

SPACES = {"srgb": _BT709, "linear": _BT709, "display-p3": _P3}


def converted(picture: np.ndarray, source: str, target: str) -> np.ndarray:
    """The colours from one of `SPACES` to another, alpha as it is.

    What lies outside the target's gamut is clipped where samples are whole numbers. Grey has the
    same numbers in all primaries.
    """
    if source == target:
        return picture
    colours = picture.shape[2] - (picture.shape[2] in (2, 4))
    light = unit(picture[..., :colours])
    if source != "linear":
        light = srgb_to_linear(light)
    if colours == 3 and SPACES[source] != SPACES[target]:
        to_xyz, from_xyz = _to_xyz(SPACES[source]), np.linalg.inv(_to_xyz(SPACES[target]))
        light = light @ (from_xyz @ to_xyz).T
    values = light if target == "linear" else linear_to_srgb(light.clip(0))
    return np.concatenate([like(values, picture), picture[..., colours:]], axis=-1)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """SMPTE RP 177-1993: columns are the primaries, scaled so that their sum is the white."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (*primaries, _D65)]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])

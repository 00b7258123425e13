"""Normal maps: R, G, B are x, y, z of a unit vector, from -1 to 1; green up, as OpenGL and glTF."""

import numpy as np

from smalti.errors import ImageError
from smalti.textures.mips import inside
from smalti.textures.prepare.channels import like, top_of, unit


def of_height(picture: np.ndarray, height: float, edges: str) -> np.ndarray:
    """Normals of a picture of heights, its first channel: `H W 3`, of its type.

    The slopes are Scharr's (Optimale Operatoren in der digitalen Bildverarbeitung, 2000: weights 3,
    10, 3), which err least in direction of all 3 x 3 masks; n = (-dh/dx, -dh/dy, 1) of length 1.

    Args:
        height: texels that 1 is higher than 0; below 0 white is deep.
        edges: of `mips.EDGES`: what lies beyond the picture.
    """
    heights = unit(picture[..., 0]) * np.float32(height)
    rows = inside(np.arange(-1, heights.shape[0] + 1), heights.shape[0], edges)
    columns = inside(np.arange(-1, heights.shape[1] + 1), heights.shape[1], edges)
    padded = heights[rows][:, columns]

    def smooth(a: np.ndarray, axis: int) -> np.ndarray:
        a = a.swapaxes(0, axis)
        return ((3 * a[:-2] + 10 * a[1:-1] + 3 * a[2:]) / 16).swapaxes(0, axis)

    along_x = smooth((padded[:, 2:] - padded[:, :-2]) / 2, 0)
    up = -smooth((padded[2:] - padded[:-2]) / 2, 1)  # rows go down, y up
    vectors = np.stack([-along_x, -up, np.ones_like(up)], axis=-1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return like(vectors * np.float32(0.5) + np.float32(0.5), picture)


def with_inverted_y(picture: np.ndarray) -> np.ndarray:
    """Green turned: from green up (OpenGL, glTF, Unity) to down (Direct3D, Unreal), and back.

    Raises:
        ImageError: there is no green.
    """
    _check(picture, "invert_y")
    result = picture.copy()
    result[..., 1] = top_of(picture) - picture[..., 1]
    return result


def with_rebuilt_z(picture: np.ndarray) -> np.ndarray:
    """Blue so that the vector has length 1, z = sqrt(1 - x² - y²); 0 where x and y are longer.

    Raises:
        ImageError: there is no green.
    """
    _check(picture, "rebuild_z")
    x, y = np.moveaxis(2 * unit(picture[..., :2]) - 1, -1, 0)
    z = np.sqrt((1 - x * x - y * y).clip(0))
    result = picture.copy()
    result[..., 2] = like((z + 1) / 2, picture)
    return result


def _check(picture: np.ndarray, what: str) -> None:
    if picture.shape[2] < 3:
        raise ImageError(
            f"{what} is for normal maps, of 3 channels or 4; this picture has {picture.shape[2]}"
        )

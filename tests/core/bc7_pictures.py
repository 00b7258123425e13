"""Pictures for the tests of BC7, and two independent decoders."""

import numpy as np
import texture2ddecoder
from PIL import Image

from smalti.bc7.layout import block_grid
from smalti.files import BUNDLED_PICTURES


def by_texture2ddecoder(blocks: bytes, height: int, width: int) -> np.ndarray:
    bgra = texture2ddecoder.decode_bc7(blocks, width, height)
    return np.frombuffer(bgra, dtype=np.uint8).reshape(height, width, 4)[..., [2, 1, 0, 3]]


def by_pillow(blocks: bytes, height: int, width: int) -> np.ndarray:
    return np.asarray(Image.frombytes("RGBA", (width, height), blocks, "bcn", (7, "BC7")))


def made_picture(height: int, width: int) -> np.ndarray:
    """An opaque picture with a gradient, edges, noise and flat parts."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:height, 0:width]
    colour = np.stack([3 * x + y, 255 - 2 * y, 128 + 90 * np.sin(x / 5.0 + y / 9.0)], axis=2)
    colour[(x // 11 + y // 7) % 3 == 0] = (20, 200, 90)
    colour += rng.normal(0, 4, colour.shape)
    colour[: height // 4, : width // 4] = (0, 130, 255)
    image = np.full((height, width, 4), 255, dtype=np.uint8)
    image[..., :3] = np.clip(colour, 0, 255)
    return image


def made_alpha(height: int, width: int) -> np.ndarray:
    """A picture with opaque, transparent and soft parts, noise under the transparent ones."""
    image = made_picture(height, width)
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot(x - width / 2, y - height / 2)
    image[..., 3] = np.clip(40 * (min(height, width) / 3 - distance), 0, 255)
    return image


def as_blocks(image: np.ndarray) -> np.ndarray:
    """Cut a picture with sides that are multiples of 4 into (N, 16, 4)."""
    rows, columns = block_grid(*image.shape[:2])
    return image.reshape(rows, 4, columns, 4, 4).swapaxes(1, 2).reshape(-1, 16, 4)


def crop(name: str, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A part of a picture that comes with the package, RGBA."""
    with Image.open(BUNDLED_PICTURES / f"{name}.png") as picture:
        return np.array(picture.convert("RGBA"))[top : top + height, left : left + width]


def hostile(height: int, width: int) -> dict[str, np.ndarray]:
    """Pictures without any line through their colours, and with alphas near 0 and 255."""
    rng = np.random.default_rng(11)
    noise = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    pictures = {"noise": noise.copy()}
    for name, alphas in {
        "edges": [0, 1, 2, 127, 253, 254, 255],
        "nearly opaque": [253, 254, 255],
        "nearly invisible": [0, 1, 2],
        "cut out": [0, 255],
        "opaque": [255],
    }.items():
        pictures[name] = noise.copy()
        pictures[name][..., 3] = rng.choice(np.array(alphas, dtype=np.uint8), (height, width))
    corners = 255 * rng.integers(0, 2, (height, width, 4), dtype=np.uint8)
    pictures["corners"] = corners
    pictures["opaque corners"] = corners | np.array([0, 0, 0, 255], dtype=np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    board = np.full((height, width, 4), 255, dtype=np.uint8)
    board[(x + y) % 2 == 0] = (0, 40, 200, 0)
    pictures["checkerboard"] = board
    pixels = noise.copy()
    pixels[..., 3] = np.where((x % 4 == 1) & (y % 4 == 2), 255, rng.integers(0, 3, (height, width)))
    pictures["single pixels"] = pixels
    return pictures

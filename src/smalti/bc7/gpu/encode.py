"""A picture to BC7 blocks on a GPU, strip by strip."""

from collections.abc import Iterator

import numpy as np

from smalti.bc7.gpu import slang, wgsl
from smalti.bc7.layout import BLOCK_SIDE
from smalti.errors import ImageError, OptionError

EFFORTS = (*wgsl.NAMES, *slang.ENGINES)

STRIP_TEXELS = 1 << 24  # 64 MiB on the device, half of what every WebGPU device binds at once
MAX_WIDTH = STRIP_TEXELS // BLOCK_SIDE  # texels


def encode_image(image: np.ndarray, *, effort: str = "fast", device: str = "gpu") -> bytes:
    """Encode a picture into ceil(height / 4) * ceil(width / 4) blocks in row-major order.

    image: uint8 (H, W, 4), straight alpha. effort: ultrafast, fast or medium, the search of
    `smalti.bc7.encode.encode_image` for its rgba metric, or pca or nelder-mead, that of
    `smalti.bc7.mode6.encode_mode6`; their guarantees for alpha hold here too. All arithmetic is
    float32, which decides near ties differently now and then: the same mean error, other bytes.

    device: "gpu", the fastest adapter here, or "gpu:" and part of an adapter's name. pca and
    nelder-mead also run on "gpu:cpu": compiled for the processor, slowly, with no driver.

    Raises ImageError for another shape or type, OptionError for an unknown effort or a device that
    is not here or fails.
    """
    if effort not in EFFORTS:
        raise OptionError(f"effort {effort!r} runs on the CPU only; a GPU has {', '.join(EFFORTS)}")
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4 or not image.size:
        raise ImageError(
            "the BC7 encoder takes uint8 of shape (height, width, 4), "
            f"this is {image.dtype} of shape {image.shape}"
        )
    if image.shape[1] > MAX_WIDTH:
        raise ImageError(
            f"a picture {image.shape[1]:,} texels wide; the GPU encoder takes {MAX_WIDTH:,}"
        )
    kind, _, name = device.partition(":")
    if kind != "gpu":
        raise OptionError(f"device {device!r} is no GPU; it is gpu, or gpu: and an adapter's name")
    backend = slang if effort in slang.ENGINES else wgsl
    gpu = backend.open_gpu(name)
    return b"".join(gpu.encode(strip, effort) for strip in _strips(image))


def _strips(image: np.ndarray) -> Iterator[np.ndarray]:
    """Whole block rows of at most STRIP_TEXELS, or one block row."""
    rows = STRIP_TEXELS // (image.shape[1] * BLOCK_SIDE) * BLOCK_SIDE
    for top in range(0, image.shape[0], rows):
        yield np.ascontiguousarray(image[top : top + rows])

"""A picture as other libraries have it: a Pillow image, a torch tensor."""

from types import ModuleType
from typing import Any

import numpy as np

from smalti.errors import OptionError, unknown
from smalti.extras import need
from smalti.image.samples import to_depth

OUTPUTS = ("numpy", "pil", "torch")


def check_output(output: str) -> None:
    """Refuse a form that there is not, before the work.

    Raises:
        OptionError: it is none of OUTPUTS.
        MissingExtraError: torch is not installed.
    """
    if output not in OUTPUTS:
        raise OptionError(unknown("output", output, OUTPUTS))
    if output == "torch":
        _torch()


def given_as(picture: np.ndarray, output: str) -> Any:
    """A picture `H W C`, or `H W` for grey, in another form.

    Args:
        output: "numpy", as it is; "pil", a Pillow image of 8 bits, which a notebook shows; "torch",
            a tensor `C H W` of the same depth.
    """
    if output == "pil":
        from PIL import Image

        levels = to_depth(picture, np.uint8)
        return Image.fromarray(levels)
    if output == "torch":
        planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
        return _torch().from_numpy(np.ascontiguousarray(planes))
    return picture


def _torch() -> ModuleType:
    return need("torch", extra="models", what='output="torch"')

"""Quality beside bytes: how near what was written is to what it was made of."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from smalti.eval.metrics import Quality


def size(count: int, shape: tuple[int, ...]) -> tuple[str, dict[str, object]]:
    """Bytes, and bits a texel of a picture `H W ...`, in words and by name."""
    bpp = 8 * count / (shape[0] * shape[1])
    facts: dict[str, object] = {
        "bytes": count,
        "bpp": round(bpp, 4),
        "width": shape[1],
        "height": shape[0],
    }
    return f"{count:,} bytes, {bpp:.3f} bpp", facts


def quality(
    x: "np.ndarray", draw: Callable[[], "np.ndarray"], *, metrics: bool, quiet: bool
) -> tuple[str, dict[str, object]]:
    """PSNR of the 8-bit picture, in words and by name; with `metrics` SSIM and MS-SSIM too.

    Args:
        x: the picture, `H W C` or `H W`.
        draw: what came of it; nothing is drawn or measured where nobody is told.
    """
    if quiet:
        return "", {}
    from smalti.eval.metrics import matched, psnr
    from smalti.eval.metrics import quality as everything
    from smalti.image import as_picture, to_uint8

    pair = matched(to_uint8(as_picture(x)), to_uint8(as_picture(draw())))
    if not metrics:
        found = psnr(*pair)
        return f", {decibels(found)}", {"psnr": round(found, 3)}
    return all_of(everything(*pair))


def light(
    x: "np.ndarray", draw: Callable[[], "np.ndarray"], *, metrics: bool, quiet: bool
) -> tuple[str, dict[str, object]]:
    """As `quality`, of linear light: its error in stops; with `metrics` the mPSNR too."""
    if quiet:
        return "", {}
    import numpy as np

    from smalti.eval.light import log_rmse, multi_exposure_psnr

    x_hat = draw()[..., :3]
    colours = np.broadcast_to(x[..., : 3 if x.shape[2] >= 3 else 1], x_hat.shape)
    error = log_rmse(colours, x_hat)
    text = f", log2 RMSE {error:.4f}"
    facts: dict[str, object] = {"log2_rmse": round(error, 5)}
    if metrics:
        found = multi_exposure_psnr(colours, x_hat)
        text, facts = f"{text}, mPSNR {decibels(found)}", facts | {"mpsnr": round(found, 3)}
    return text, facts


def all_of(found: "Quality") -> tuple[str, dict[str, object]]:
    text = f", {decibels(found.psnr)}, SSIM {found.ssim:.4f}, MS-SSIM {found.ms_ssim:.4f}"
    facts = {"psnr": found.psnr, "ssim": found.ssim, "ms_ssim": found.ms_ssim}
    return text.replace("nan", "-"), {key: round(value, 5) for key, value in facts.items()}


def decibels(psnr: float) -> str:
    return "lossless" if math.isinf(psnr) else f"{psnr:.2f} dB"

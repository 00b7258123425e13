"""`smalti profile`: what trained models cost."""

from typing import Literal

from smalti.cli import show


def profile(
    models: tuple[str, ...] = (),
    /,
    *,
    size: int = 1024,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    device: str = "cpu",
    runs: int = 3,
) -> int:
    """What trained models cost: parameters, operations, time and memory.

    Time is processor time on a CPU (OMP_NUM_THREADS=1 for one thread) and the median of a few
    runs; memory is what encoding or decoding takes above the weights and the input.

    Args:
        models: Bundled sets of weights, files, folders or hub repositories (default: every
            bundled autoencoder).
        size: Height and width of the picture, in texels.
        dtype: Of weights and arithmetic.
        device: Where models run: cpu, cuda or mps.
        runs: Timed runs of each half.

    Examples:
        smalti profile patch-f8c16 --size 256
    """
    from smalti import weights
    from smalti.cli import tables
    from smalti.errors import OptionError
    from smalti.extras import need_torch

    need_torch(what="smalti profile")
    from smalti.eval.profile import profile as measure

    if runs < 1:
        raise OptionError(f"runs {runs}; it must be at least 1")
    costs = []
    for name in models or weights.autoencoders():
        costs += measure(name, size=size, dtype=dtype, device=device, runs=runs)
    show.note(f"one picture of {size} x {size} texels, {dtype} on {device}")
    show.note(tables.costs(costs).rstrip())
    return 0

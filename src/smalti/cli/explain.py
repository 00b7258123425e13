"""`smalti explain`: figures that show how a codec works, on your own picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from smalti.cli import show, streams
from smalti.errors import OptionError, unknown
from smalti.extras import need_torch
from smalti.files import check_new, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from matplotlib.figure import Figure

SUBJECTS = ("bc7", "textures", "sizes", "loss")
OF_MODELS = ("sizes", "loss")  # need no picture


def explain(
    subject: str,
    picture: Path | None = None,
    /,
    *,
    block: str | None = None,
    effort: str = "medium",
    steps: int = 500,
    data: Path | None = None,
    models: tuple[str, str] = ("r2ir-mnist", "r2id-mnist"),
    large: int = 100,
    seed: int = 1,
    out: Path | None = None,
    svg: bool = False,
    force: bool = False,
) -> int:
    """Draw how a codec works, on your picture.

    bc7: a block, its search, its bits. textures: how the hash and the latent texture learn.
    sizes: digits of the resampler and the diffuser, at many sizes. loss: what the diffuser's
    training leaves, against time.

    Args:
        subject: One of bc7, textures, sizes and loss.
        picture: One picture, of bc7 and textures.
        block: Of bc7: COLUMN,ROW of the block of 4 x 4 texels to look into, counted from 0
            (default: the one that the search improves most).
        effort: Of bc7: how the block is encoded: ultrafast, fast, medium, high or best.
        steps: Of textures: of each of the five fits, some 45 ms a step; 5000 as published.
        data: The folder of MNIST's files: for loss, and for those figures of sizes that need its
            test pictures.
        models: Of sizes and loss: the resampler, and the diffuser of its latents.
        large: Of sizes: cells on a side of the large latent, drawn at 1024 x 1024; 0 for none.
        seed: Of sizes and loss: of latents and noise.
        out: Folder for the figures (default: smalti-explain/SUBJECT).
        svg: Write SVG instead of PNG.
        force: Replace figures that exist.

    Examples:
        smalti explain bc7 a.png --block 12,7
        smalti explain sizes --large 0
        smalti explain loss --data MNIST
    """
    if subject not in SUBJECTS:
        raise OptionError(unknown("subject", subject, SUBJECTS))
    if subject in OF_MODELS and picture is not None:
        raise OptionError(f"{subject} needs no picture; --out {picture} is the folder for figures")
    if subject not in OF_MODELS and picture is None:
        raise OptionError(f"name the picture: smalti explain {subject} a.png")
    if subject == "loss" and data is None:
        raise OptionError(
            "the loss is that of MNIST's test pictures; name their folder with --data"
        )
    if steps < 1:
        raise OptionError(f"{steps} steps; a fit takes at least 1")
    if large < 0:
        raise OptionError(f"a latent of {large} cells a side; 0 is for none")
    suffix = ".svg" if svg else ".png"
    out = out or Path("smalti-explain") / subject
    for earlier in sorted(out.glob(f"*{suffix}")):
        check_new(earlier, force=force)
    from smalti.explain import drawing

    figures: Iterable[tuple[str, Figure | str]]
    if picture is None:
        figures = _of_models(models, data, large if subject == "sizes" else None, seed)
    elif subject == "textures":
        figures = _textures(picture, steps, streams.input_name(picture))
    else:
        figures = _bc7(streams.load(picture), block, effort, streams.input_name(picture))
    for name, figure in figures:
        if isinstance(figure, str):
            show.note(f"no {name}{suffix}: {figure}")
            continue
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{name}{suffix}"
        write_atomically(path, drawing.file_bytes(figure, svg=svg))
        show.note(str(path))
    return 0


def _bc7(
    picture: "np.ndarray", block: str | None, effort: str, name: str
) -> "Iterable[tuple[str, Figure | str]]":
    from smalti.explain import bc7

    chosen = None if block is None else bc7.parse_block(block)
    return bc7.figures(picture, block=chosen, effort=effort, name=name)


def _textures(picture: Path, steps: int, name: str) -> list[tuple[str, "Figure"]]:
    import numpy as np

    from smalti.explain import texture_study, textures
    from smalti.image import to_float, to_uint8

    x = to_float(streams.load(picture))
    if x.shape[2] in (2, 4):  # over white
        x = x[..., :-1] * x[..., -1:] + 1 - x[..., -1:]
    x = np.broadcast_to(x, (*x.shape[:2], 3))
    with show.progress() as bar:
        found = texture_study.study(x, steps=steps, on_step=bar)
    return textures.figures(to_uint8(x), found.hash, found.latent, found.activations, name=name)


def _of_models(
    names: tuple[str, str], data: Path | None, large: int | None, seed: int
) -> "list[tuple[str, Figure | str]]":
    """Digits at many sizes, or, where `large` is None, the loss alone."""
    need_torch(what="smalti explain sizes")
    from smalti.explain import size_study, sizes
    from smalti.explain.drawn import SizesShown

    models = size_study.load(*names)
    real = None if data is None else size_study.read_digits(data)
    with show.progress() as bar:
        shown = SizesShown()
        if large is not None:
            large_one = (3, large, 1024) if large else None
            shown = size_study.study(models, seed=seed, large=large_one, on_step=bar)
        if large is not None and real is not None:
            size_study.add_real(shown, models.resampler, real)
        if real is not None:
            size_study.add_losses(shown, models, real, seed=seed, on_step=bar)
    if large is None:
        return [("loss", sizes.losses(shown.losses, shown.loss_pictures))]
    return sizes.figures(shown)

"""`smalti explain`: figures that show how a codec works, on your own picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from smalti.cli import show, streams
from smalti.errors import OptionError
from smalti.extras import need_torch

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

SUBJECTS = ("bc7", "textures", "sizes")


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
    out: Path = Path("smalti-explain"),
    svg: bool = False,
) -> int:
    """Draw how a codec works, on your picture: `smalti explain bc7 a.png --block 12,7`

    `smalti explain sizes OUT` needs no picture: the bundled models draw digits at many sizes.

    Args:
        subject: What to explain: bc7; textures, the hash and the latent texture; or sizes, the
            resampler and the diffuser of digits.
        picture: One picture. Of sizes: the folder for the figures, as --out.
        block: Of bc7: COLUMN,ROW of the block of 4 x 4 texels to look into, counted from 0
            (default: the one that the search improves most).
        effort: Of bc7: how the block is encoded: ultrafast, fast, medium, high, best.
        steps: Of textures: of each of the five fits, some 45 ms a step. 5000 as published.
        data: Of sizes: the folder of MNIST's files, for the figures that need its test pictures.
        models: Of sizes: the resampler and the diffuser of its latents.
        large: Of sizes: cells on a side of the large latent, drawn at 1024 x 1024; 0 for none.
        seed: Of sizes: of the latents.
        out: Folder for the figures; those of an earlier call are replaced.
        svg: Write SVG instead of PNG.
    """
    if subject not in SUBJECTS:
        raise OptionError(f"nothing to explain about {subject!r}; known: {', '.join(SUBJECTS)}")
    if steps < 1:
        raise OptionError(f"{steps} steps; a fit takes at least 1")
    if large < 0:
        raise OptionError(f"a latent of {large} cells a side; 0 is for none")
    from smalti.explain import drawing
    from smalti.files import write_atomically

    if subject == "sizes":
        out = picture or out
        figures = _sizes(models, data, large, seed)
    elif picture is None:
        raise OptionError(f"name the picture: smalti explain {subject} a.png")
    elif subject == "textures":
        figures = _textures(picture, steps, streams.input_name(picture))
    else:
        figures = _bc7(streams.load(picture), block, effort, streams.input_name(picture))
    suffix = ".svg" if svg else ".png"
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
) -> list[tuple[str, "Figure | str"]]:
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


def _sizes(
    names: tuple[str, str], data: Path | None, large: int, seed: int
) -> "list[tuple[str, Figure | str]]":
    need_torch(what="smalti explain sizes")
    from smalti.explain import size_study, sizes

    models = size_study.load(*names)
    real = None if data is None else size_study.read_digits(data)
    with show.progress() as bar:
        large_one = (3, large, 1024) if large else None
        shown = size_study.study(models, seed=seed, large=large_one, on_step=bar)
        if real is not None:
            size_study.add_real(shown, models.resampler, real)
            size_study.add_losses(shown, models, real, seed=seed, on_step=bar)
    return sizes.figures(shown)

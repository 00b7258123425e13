"""`smalti explain`: figures that show how a codec works, on your own picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from smalti.cli import show
from smalti.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

SUBJECTS = ("bc7", "textures")


def explain(
    subject: tyro.conf.Positional[str],
    picture: tyro.conf.Positional[Path],
    /,
    *,
    block: str | None = None,
    effort: str = "medium",
    steps: int = 500,
    out: Path = Path("smalti-explain"),
    svg: bool = False,
) -> int:
    """Draw how a codec works, on your picture: `smalti explain bc7 a.png --block 12,7`

    Args:
        subject: What to explain: bc7; or textures, the hash and the latent texture.
        picture: One picture.
        block: Of bc7: COLUMN,ROW of the block of 4 x 4 texels to look into, counted from 0
            (default: the one that the search improves most).
        effort: Of bc7: how the block is encoded: ultrafast, fast, medium, high, best.
        steps: Of textures: of each of the five fits, some 45 ms a step. 5000 as published.
        out: Folder for the figures; those of an earlier call are replaced.
        svg: Write SVG instead of PNG.
    """
    if subject not in SUBJECTS:
        raise OptionError(f"nothing to explain about {subject!r}; known: {', '.join(SUBJECTS)}")
    if steps < 1:
        raise OptionError(f"{steps} steps; a fit takes at least 1")
    from smalti import api
    from smalti.explain import drawing
    from smalti.files import write_atomically

    image = api.load(picture)
    if subject == "textures":
        figures = _textures(image, steps, picture.name)
    else:
        figures = _bc7(image, block, effort, picture.name)
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
    image: "Tensor", block: str | None, effort: str, name: str
) -> list[tuple[str, "Figure | str"]]:
    from smalti.explain import bc7
    from smalti.image import to_uint8

    chosen = None if block is None else bc7.parse_block(block)
    return bc7.draw_all(bc7.as_rgba(to_uint8(image)), block=chosen, effort=effort, name=name)


def _textures(image: "Tensor", steps: int, name: str) -> list[tuple[str, "Figure"]]:
    from smalti import texture_study
    from smalti.explain import textures
    from smalti.image import to_uint8

    if len(image) in (2, 4):  # over white
        image = image[:-1] * image[-1:] + 1 - image[-1:]
    image = image.expand(3, -1, -1).contiguous()
    with show.progress() as bar:
        found = texture_study.study(image, steps=steps, on_step=bar)
    return textures.draw_all(
        to_uint8(image), found.hash, found.latent, found.activations, name=name
    )

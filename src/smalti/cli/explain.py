"""`smalti explain`: figures that show how a codec works, on your own picture."""

from pathlib import Path

import tyro

from smalti.cli import show
from smalti.errors import OptionError

SUBJECTS = ("bc7",)


def explain(
    subject: tyro.conf.Positional[str],
    picture: tyro.conf.Positional[Path],
    /,
    *,
    block: str | None = None,
    effort: str = "medium",
    out: Path = Path("smalti-explain"),
    svg: bool = False,
) -> int:
    """Draw how a codec works, on your picture: `smalti explain bc7 a.png --block 12,7`

    Args:
        subject: What to explain: bc7.
        picture: One picture.
        block: COLUMN,ROW of the block of 4 x 4 texels to look into, counted from 0 (default: the
            one that the search improves most).
        effort: How the block is encoded: ultrafast, fast, medium, high, best.
        out: Folder for the figures; those of an earlier call are replaced.
        svg: Write SVG instead of PNG.
    """
    if subject not in SUBJECTS:
        raise OptionError(f"nothing to explain about {subject!r}; known: {', '.join(SUBJECTS)}")
    from smalti import api
    from smalti.explain import bc7, drawing
    from smalti.files import write_atomically
    from smalti.image import to_uint8

    chosen = None if block is None else bc7.parse_block(block)
    image = bc7.as_rgba(to_uint8(api.load(picture)))
    suffix = ".svg" if svg else ".png"
    figures = bc7.draw_all(image, block=chosen, effort=effort, name=picture.name)
    for name, figure in figures:
        if isinstance(figure, str):
            show.note(f"no {name}{suffix}: {figure}")
            continue
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{name}{suffix}"
        write_atomically(path, drawing.file_bytes(figure, svg=svg))
        show.note(str(path))
    return 0

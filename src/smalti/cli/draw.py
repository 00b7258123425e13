"""`smalti draw` and `smalti name`: the small language model that draws digits and names them."""

from pathlib import Path

import tyro

from smalti.cli import show
from smalti.errors import OptionError, SmaltiError
from smalti.files import MAX_PIXELS, WRITTEN_SUFFIXES

MOST = 1024  # pictures of a sheet


def draw(
    caption: tyro.conf.Positional[str],
    picture: tyro.conf.Positional[Path],
    /,
    *,
    complete: Path | None = None,
    count: int = 1,
    seed: int = 0,
    temperature: float = 0.9,
    guidance: float = 2.0,
    scale: int = 4,
    model: str = "digits-lm",
    device: str = "cpu",
    overwrite: bool = False,
) -> int:
    """A small language model draws a digit: `smalti draw "a seven" out.png`

    Args:
        caption: What to draw: "a seven", "the digit 7", or "a digit" for any.
        picture: The picture to write: .png .webp .avif .tif .bmp .jpg
        complete: Keep the upper half of this picture, and draw the lower one.
        count: Pictures, on one sheet.
        seed: Another one draws other pictures.
        temperature: How freely: 0 draws the likeliest picture, 1 as the model believes.
        guidance: How closely to follow the caption; 1 as the model believes.
        scale: Width and height of each of the model's texels in the picture.
        model: Another one, as `smalti train digits-lm` writes it: runs/digits-lm/model
        device: torch device: cpu, cuda, mps.
        overwrite: Replace a picture that exists.
    """
    if picture.suffix.lower() not in WRITTEN_SUFFIXES:
        raise OptionError(f"{picture} is no picture to write; known: {' '.join(WRITTEN_SUFFIXES)}")
    if picture.exists() and not overwrite:
        raise OptionError(f"{picture} exists; add --overwrite to replace it")
    if not 1 <= scale <= 64:
        raise OptionError(f"scale {scale}; it lies in 1 .. 64")
    if not 1 <= count <= MOST:
        raise OptionError(f"{count} pictures; a sheet has 1 .. {MOST}")
    from smalti import image
    from smalti.tokens.draw import Artist, Taste
    from smalti.tokens.draw_canvas import canvas, sheet

    taste = Taste(temperature, guidance, seed)
    artist = Artist.from_pretrained(model, device=device)
    with show.progress() as bar:

        def tell(done: int, total: int) -> None:
            bar(done, total, caption)

        if complete is None:
            drawn = artist.draw(caption, count, taste=taste, on_step=tell)
        else:
            shown = canvas(image.load(complete, max_pixels=MAX_PIXELS), artist.side[0])
            drawn = artist.complete(shown, caption, count, taste=taste, on_step=tell)
    image.save(sheet(drawn, scale), picture)
    show.note(f"{caption} -> {picture}: {count} of {artist.side[1]} x {artist.side[0]} texels")
    return 0


def name(
    pictures: tyro.conf.Positional[tuple[Path, ...]],
    /,
    *,
    model: str = "digits-lm",
    device: str = "cpu",
) -> int:
    """The same language model says which digit it sees: `smalti name picture.png`

    Pictures may be dark on light or light on dark, of any size, with one digit.

    Args:
        pictures: Pictures of one digit each.
        model: Another one, as `smalti train digits-lm` writes it: runs/digits-lm/model
        device: torch device: cpu, cuda, mps.
    """
    if not pictures:
        raise OptionError("name at least one picture")
    from smalti import image
    from smalti.tokens.draw import Artist
    from smalti.tokens.draw_canvas import canvas, centred, looks_like_ours
    from smalti.tokens.lm_words import caption

    artist = Artist.from_pretrained(model, device=device)
    side, failures = artist.side[0], 0
    for path in pictures:
        try:
            x = image.load(path, max_pixels=MAX_PIXELS)
            seen = canvas(x, side) if looks_like_ours(x, side) else centred(x, side)
        except (SmaltiError, OSError) as error:
            failures += 1
            show.error(str(error) if path.name in str(error) else f"{path}: {error}")
            continue
        chances = artist.name(seen[None])[0]
        best = int(chances.argmax())
        show.note(f"{path}: {caption(best)}, {100 * float(chances[best]):.1f} %")
    return 1 if failures else 0

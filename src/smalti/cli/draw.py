"""`smalti draw` and `smalti name`: small language models that draw pictures and name them."""

from pathlib import Path

from smalti.cli import show, streams
from smalti.cli.paths import check_new_picture
from smalti.errors import OptionError, SmaltiError

MOST = 1024  # pictures of a sheet


def draw(
    caption: str,
    picture: Path,
    /,
    *,
    complete: Path | None = None,
    count: int = 1,
    seed: int = 0,
    temperature: float = 0.9,
    guidance: float = 2.0,
    scale: int = 4,
    suffix: str = ".png",
    model: str | None = None,
    device: str = "cpu",
    force: bool = False,
) -> int:
    """A small language model draws a digit, an airplane or a car.

    Args:
        caption: What to draw: "a seven", "the digit 7", or "a digit" for any; "an airplane",
            "a car", or "a picture" for any.
        picture: The picture to write; - is standard output.
        complete: Keep the upper half of this picture, and draw the lower one.
        count: Pictures, on one sheet.
        seed: Another one draws other pictures.
        temperature: How freely: 0 draws the likeliest picture, 1 as the model believes.
        guidance: How closely to follow the caption; 1 as the model believes.
        scale: Width and height of each of the model's texels in the picture.
        suffix: Format of standard output.
        model: digits-lm, natural-lm, or a folder that `smalti train` wrote for either:
            runs/digits-lm/model (default: the one that knows the caption's words).
        device: Where models run: cpu, cuda or mps.
        force: Replace a picture that exists.

    Examples:
        smalti draw "a seven" seven.png --count 4
        smalti draw "a car" whole.png --complete half.png
    """
    check_new_picture(picture, force=force, suffix=suffix)
    if not 1 <= scale <= 64:
        raise OptionError(f"scale {scale}; it lies in 1 .. 64")
    if not 1 <= count <= MOST:
        raise OptionError(f"{count} pictures; a sheet has 1 .. {MOST}")
    held = None if complete is None else streams.load(complete)  # before any model
    import numpy as np

    from smalti.artist.canvas import whole
    from smalti.artist.language_model import ImageLanguageModel, Sampling
    from smalti.image.sheet import sheet

    sampling = Sampling(temperature, guidance, seed)
    if model is None:
        artist = ImageLanguageModel.of_caption(caption, device=device)
    else:
        artist = ImageLanguageModel.from_pretrained(model, device=device)
    with show.progress() as bar:

        def on_step(done: int, total: int) -> None:
            bar(done, total, caption)

        if held is None:
            drawn = artist.generate(caption, count, sampling=sampling, on_step=on_step)
        else:
            shown = whole(held, artist.channels, artist.side[0])
            drawn = artist.complete(
                np.stack([shown] * count), caption, sampling=sampling, on_step=on_step
            )
    streams.save(sheet(drawn, scale), picture, suffix)
    name = streams.output_name(picture)
    each = f"{artist.side[1]} x {artist.side[0]} texels"
    show.note(f"{caption} -> {name}: {count} of {each}", picture)
    return 0


def name(
    pictures: tuple[Path, ...],
    /,
    *,
    model: str | None = None,
    device: str = "cpu",
) -> int:
    """The same language models say what they see.

    Digits may be dark on light or light on dark, of any size, one in each picture; a sheet of
    `smalti draw` (of a scale above 1) is named drawing by drawing. Without --model
    a picture without colour whose border is even is read as a digit; of any other one natural-lm
    tells whether it is an airplane or a car, the only things that it knows.

    Args:
        pictures: Pictures of one thing each; - is standard input.
        model: digits-lm, natural-lm, or a folder that `smalti train` wrote for either.
        device: Where models run: cpu, cuda or mps.

    Examples:
        smalti name seven.png plane.png
    """
    if not pictures:
        raise OptionError("name at least one picture")
    from smalti.artist.canvas import drawings, looks_like_a_digit, seen
    from smalti.artist.language_model import BUNDLED, ImageLanguageModel

    artists: dict[str, ImageLanguageModel] = {}
    failures = 0
    for path in pictures:
        where = streams.input_name(path)
        try:
            x = streams.load(path)
            chosen = model or BUNDLED[0 if looks_like_a_digit(x) else 1]
            if chosen not in artists:
                artists[chosen] = ImageLanguageModel.from_pretrained(chosen, device=device)
            artist = artists[chosen]
            parts = drawings(x, artist.side[0])
        except OptionError:  # of the model
            raise
        except (SmaltiError, OSError) as error:
            failures += 1
            show.error(str(error) if path.name in str(error) else f"{where}: {error}")
            continue
        for number, part in enumerate(parts, 1):
            what = f"{where}, drawing {number}" if len(parts) > 1 else where
            try:
                shown = seen(part, artist.channels, artist.side[0])
            except SmaltiError as error:
                failures += 1
                show.error(f"{what}: {error}")
                continue
            chances = artist.classify(shown[None])[0]
            best = int(chances.argmax())
            show.note(
                f"{what}: {artist.words.caption(best)}, {100 * float(chances[best]):.1f} % of the "
                f"{len(chances)} labels of {chosen}"
            )
    return 1 if failures else 0

"""`smalti sample`: the diffuser draws latents, the resampler draws pictures of any size of them."""

from pathlib import Path

from smalti import geometry
from smalti.cli import show, streams
from smalti.cli.paths import check_new_picture
from smalti.errors import OptionError
from smalti.files import MAX_PIXELS

MOST = 1024  # pictures of a sheet
AT_ONCE = 16  # pictures drawn from their latents
MOST_LATENTS = 2**16  # of a picture: each of them attends to all
ANY = "any"


def sample(
    picture: Path,
    /,
    *,
    label: tuple[str, ...] = (ANY,),
    latent: str | None = None,
    size: str = "32x32",
    fit: str = "contain",
    count: int = 1,
    seed: int = 0,
    steps: int = 20,
    sampler: str = "dpm++2m",
    guidance: float = 1.5,
    noise: str = "field",
    suffix: str = ".png",
    model: str = "r2id-mnist",
    device: str = "cpu",
    force: bool = False,
) -> int:
    """A diffuser draws digits of any size and shape.

    Args:
        picture: The picture to write, all drawings on one sheet; - is standard output.
        label: What to draw, 0 to 9, or any; several take turns.
        latent: Latents to draw in, WIDTHxHEIGHT (default: 4x4, as in training).
        size: Of each picture in texels, WIDTHxHEIGHT; training saw 32x32 alone.
        fit: How the square that was learnt meets a picture of another shape: contain (whole, its
            shape kept), stretch, cover (cut off).
        count: Pictures, on one sheet.
        seed: Another one draws other pictures; picture i follows from the seed and i.
        steps: From noise to picture; fewer are quicker.
        sampler: ddim, heun (two calls of the network a step) or dpm++2m.
        guidance: How closely to follow the label; 1 as the model believes.
        noise: field (one seed, one picture at every size of latents) or white.
        suffix: Format of standard output.
        model: Another diffuser: a file that `smalti train r2id-mnist` wrote.
        device: Where models run: cpu, cuda or mps.
        force: Replace a picture that exists.

    Examples:
        smalti sample threes.png --label 3 --size 64x40 --count 16
        smalti sample digits.png --label 0 1 2 3 4 5 6 7 8 --count 9
    """
    check_new_picture(picture, force=force, suffix=suffix)
    if not 1 <= count <= MOST:
        raise OptionError(f"count {count}; it lies in 1 .. {MOST}")
    if not label:
        raise OptionError(f"no label; name digits, or {ANY}")
    drawn = geometry.size(size)
    if min(drawn) < 1 or count * drawn[0] * drawn[1] > MAX_PIXELS:
        raise OptionError(
            f"{count} pictures of {size}; each side is at least 1 texel, and together they have at "
            f"most {MAX_PIXELS:,} texels"
        )
    grid = geometry.size(latent) if latent else None
    if grid and grid[0] * grid[1] > MOST_LATENTS:
        raise OptionError(f"{grid[0] * grid[1]:,} latents; at most {MOST_LATENTS:,}")
    from smalti.extras import need_torch

    need_torch(what="smalti sample")
    import torch

    from smalti import api, models
    from smalti.diffusion import sampling
    from smalti.image.sheet import sheet
    from smalti.models.diffuser import Diffuser
    from smalti.models.pictures import to_pictures
    from smalti.models.resampler import Resampler

    api.check_device(device)
    diffuser = models.load_shared(Diffuser, model, device=device)
    resampler = models.load_shared(Resampler, diffuser.config.autoencoder, device=device)
    diffuser.config.check_fits(resampler.config)
    labels = [_label(text, diffuser.config.classes) for text in label]
    grid = grid or (diffuser.config.cells, diffuser.config.cells)
    with show.progress() as bar:
        z = sampling.sample(
            diffuser,
            torch.tensor([labels[i % len(labels)] for i in range(count)]),
            grid,
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            noise=noise,
            seed=seed,
            on_step=lambda done, total: bar(done, total, f"{count} of {' '.join(label)}"),
        )
    with torch.no_grad():
        x = torch.cat([resampler.decode(part, drawn, fit=fit) for part in z.split(AT_ONCE)])
    streams.save(sheet(to_pictures(x)), picture, suffix)
    name = streams.output_name(picture)
    show.note(f"{name}: {count} of {size} texels, from {grid[1]} x {grid[0]} latents", picture)
    return 0


def _label(text: str, classes: int) -> int:
    if text == ANY:
        return classes
    if not text.isdecimal() or int(text) >= classes:
        raise OptionError(f"label {text!r}; it is one of 0 .. {classes - 1}, or {ANY}")
    return int(text)

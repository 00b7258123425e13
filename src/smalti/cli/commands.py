"""One function a command; its signature is the command line, its docstring the help."""

from collections.abc import Callable
from pathlib import Path

import tyro

from smalti.cli import geometry, paths, show
from smalti.cli.draw import draw, name
from smalti.cli.explain import explain
from smalti.cli.export import export
from smalti.cli.fit import fit
from smalti.cli.material import material
from smalti.cli.profile import profile
from smalti.cli.sample import sample
from smalti.cli.texture import show_info, texture, unpack
from smalti.cli.tokens import tokens, untokens
from smalti.cli.train import train
from smalti.errors import SmaltiError
from smalti.files import MAX_PIXELS, PICTURE_SUFFIXES, WRITTEN_SUFFIXES

Paths = tyro.conf.Positional[tuple[Path, ...]]


def encode(
    inputs: Paths,
    /,
    *,
    codec: str = "bc7",
    effort: str | None = None,
    out: Path | None = None,
    device: str | None = None,
    seed: int | None = None,
    rdo: float | None = None,
    max_pixels: int = MAX_PIXELS,
    overwrite: bool = False,
) -> int:
    """Compress pictures: `smalti encode a.png a.smt`, or many pictures and folders at once.

    Args:
        inputs: Pictures and folders. A last name that ends in .smt (or .dds, .ktx2) is the output.
        codec: A codec of `smalti list`, with settings if wanted: rgba-ae:step=0.125
        effort: How long to search: ultrafast, fast, medium, high, best (default: medium).
        out: Folder for the outputs; otherwise each is written beside its picture.
        device: torch device: cpu, cuda, mps (default: cpu); for bc7 also gpu, any graphics card.
        seed: Of whatever the encoder draws at random.
        rdo: Of bc7: choose blocks that zip and zstd make smaller. 4 is about 15 % for 1 dB.
        max_pixels: Refuse pictures of more texels than this.
        overwrite: Replace files that exist; an output that you name is replaced without.
    """
    jobs = paths.plan(inputs, out, overwrite, PICTURE_SUFFIXES, paths.FILES, ".smt")
    if rdo is not None:
        codec += f"{',' if ':' in codec else ':'}rdo={rdo}"

    def run(source: Path, target: Path, on_step: Callable[[int, int], None]) -> str:
        from smalti import api
        from smalti.files import write_atomically

        x = api.load(source, max_pixels=max_pixels)
        data = api.encode(
            x,
            codec,
            effort=effort,
            device=device,
            seed=seed,
            on_step=on_step,
            suffix=target.suffix.lower(),
        )
        write_atomically(target, data)
        bpp = 8 * len(data) / (x.shape[1] * x.shape[2])
        return f"{len(data):,} bytes, {bpp:.3f} bpp"

    return show.run_jobs(jobs, run)


def decode(
    inputs: Paths,
    /,
    *,
    out: Path | None = None,
    window: str | None = None,
    size: str | None = None,
    suffix: str = ".png",
    device: str = "cpu",
    weights: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    overwrite: bool = False,
) -> int:
    """Draw compressed files: `smalti decode a.smt a.png`, or many files and folders at once.

    Args:
        inputs: .smt, .dds and .ktx2 files and folders. A last name like a picture's is the output.
        out: Folder for the pictures; otherwise each is written beside its file.
        window: Only these texels, WIDTHxHEIGHT+LEFT+TOP, for instance 64x64+128+0
        size: Draw at WIDTHxHEIGHT, for codecs without a fixed resolution.
        suffix: Format of pictures that you did not name: .png .webp .avif .tif .bmp .jpg
        device: torch device: cpu, cuda, mps.
        weights: The .safetensors file that the file was made with, if it is not a bundled one.
        max_pixels: Refuse files of more texels than this.
        overwrite: Replace pictures that exist.
    """
    box = geometry.window(window) if window else None
    drawn = geometry.size(size) if size else None
    jobs = paths.plan(inputs, out, overwrite, paths.FILES, WRITTEN_SUFFIXES, suffix)

    def run(source: Path, target: Path, _: Callable[[int, int], None]) -> str:
        from smalti import api

        data = source.read_bytes()
        x_hat = api.decode(
            data, window=box, size=drawn, device=device, weights=weights, max_pixels=max_pixels
        )
        api.save(x_hat, target)
        return f"{x_hat.shape[2]} x {x_hat.shape[1]}, {show.CHANNELS[x_hat.shape[0]]}"

    return show.run_jobs(jobs, run)


def info(inputs: Paths, /) -> int:
    """What files hold, section by section, without decoding the picture.

    Args:
        inputs: .smt, .dds and .ktx2 files, and folders of them.
    """
    from smalti import api, registry

    failures = 0
    for source, _ in paths.expand(inputs, paths.FILES):
        try:
            data = source.read_bytes()
            if registry.is_foreign(data):
                show_info(source, data)
            else:
                show.file_info(source, api.info(data))
        except (SmaltiError, OSError) as error:
            failures += 1
            show.error(f"{source}: {error}")
    return 1 if failures else 0


def list_() -> int:
    """The codecs, baselines and trained weights of this release."""
    from smalti import api, weights
    from smalti.eval.baselines import BASELINES

    show.codec_table(api.list_codecs(), BASELINES, weights.bundled())
    return 0


def compare(
    pictures: Paths = (),
    /,
    *,
    codecs: tuple[str, ...] = (),
    out: Path = Path("smalti-compare"),
    device: str = "cpu",
) -> int:
    """Every codec and baseline on your pictures: a table here, and one HTML page.

    Interrupt it whenever you like: the same command goes on where it stopped.

    Args:
        pictures: Pictures and folders; without any, the five bundled ones.
        codecs: Which to run, with settings if wanted: bc7:effort=best jpeg:quality=80
            (default: every codec and baseline at its usual settings).
        out: Folder for the page and every compressed file.
        device: torch device: cpu, cuda, mps.
    """
    from smalti.eval import report, run

    chosen = [path for path, _ in paths.expand(pictures or (paths.BUNDLED,), PICTURE_SUFFIXES)]
    with show.progress() as bar:
        results = run.compare(
            chosen, codecs or run.default_contenders(), out, device=device, on_progress=bar
        )
    code = show.comparison(results)
    with show.progress() as bar:
        page = report.write_report(results, out, device=device, on_progress=bar)
    show.note(f"report: {page.resolve()}")
    return code


COMMANDS: dict[str, Callable[..., int]] = {
    "encode": encode,
    "fit": fit,
    "decode": decode,
    "info": info,
    "texture": texture,
    "unpack": unpack,
    "material": material,
    "list": list_,
    "compare": compare,
    "train": train,
    "explain": explain,
    "profile": profile,
    "export": export,
    "tokens": tokens,
    "untokens": untokens,
    "draw": draw,
    "name": name,
    "sample": sample,
}

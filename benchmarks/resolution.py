"""The resampler and the diffuser of digits at sizes and aspects that they were not trained at.

    OMP_NUM_THREADS=1 python benchmarks/resolution.py MNIST --judge JUDGE.pt --out FOLDER \\
        > benchmarks/results/DATE-resolution.jsonl
    python benchmarks/resolution.py --summary benchmarks/results/DATE-resolution.jsonl

MNIST is the folder of its four files; all pictures are of its test part, and every seed is fixed.
JUDGE.pt is trained where it is missing (`judge.py`). What a section found is kept in FOLDER, so the
same command goes on after an interruption; other weights or settings begin anew. `--photos FOLDER`
adds the sections of `resolution_photos.py`; --summary prints the tables of `resolution_table.py`.

Models were trained on 32 x 32 alone. The 28 x 28 test picture, brought to a size by Pillow's
bicubic filter, is the truth there. Beside each number stand the trivial ones:

- resized: the same latents decoded (or drawn) at 32 x 32, then a bicubic antialiased resize.
- unshuffle: PixelUnshuffle(8), which is exact at 32 x 32, then the same resize.
- real: test pictures of that size in the place of what was drawn.

Sections, a line of JSON each size, grid or setting:

- reconstruction: MSE in [-1, 1] at 32 x 32 over all test pictures, and of the best linear code
  (PCA of the training pictures) of as many numbers.
- truth: mean PSNR in dB of 8-bit pictures against the truth at each size.
- encoded_from: pictures of another size encoded, and decoded at 32 x 32. `resized_first`: brought
  to 32 x 32 before they are encoded.
- consistency: the same points in two grids with one footprint, 10 log10(2² / MSE): 32 in 96 texels
  a side, 20 in 100 and 14 in 126, whose coordinates are rounded differently; the worst counts.
- downscale: decode(s) against decode(4 s) brought to s by the bicubic filter; PSNR of 8 bits.
- samples: share of drawn pictures that the judge takes for their label, and the Frechet distance of
  its 128 features (after a resize to 32 x 32) to those of training pictures. `fid_32` is that of
  the same latents at 32 x 32, since few pictures have a larger one. `floor`: of test pictures.
- steps: the same against sampler and number of steps, at 32 x 32 from 4 x 4.
- loss: of the diffuser at single times, in latents of test pictures.
- drift: how far a glyph's ratio of inertias moves from 1:1 (`resolution_measures.drift`).
- cost: one decode at 2048 x 2048 in a process of its own (`resolution_cost.py`).
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import judge as judges
import resolution_photos
import resolution_table
import torch
from resolution_sections import OF_DIFFUSER, SECTIONS
from resolution_study import Row, Study, digest

import smalti
from smalti import diffusion
from smalti.errors import SmaltiError, WeightsError
from smalti.eval.log import conditions, json_number
from smalti.explain import size_study
from smalti.files import write_atomically


@torch.inference_mode()
def run(study: Study, identity: Row, only: tuple[str, ...] = tuple(SECTIONS)) -> list[Row]:
    """Every section's lines; those of an earlier run with the same identity are read again."""
    rows: list[Row] = []
    for what in only:
        if what in OF_DIFFUSER and study.diffuser is None:
            rows.append({"what": what, "missing": "no diffuser"})
            continue
        path = study.folder / f"{what}.json"
        if path.is_file() and (kept := json.loads(path.read_text()))["identity"] == identity:
            rows += kept["rows"]
            continue
        study.tell(what)
        started = time.process_time()
        found = [{"what": what, **row} for row in SECTIONS[what](study)]
        found = [{key: json_number(value) for key, value in row.items()} for row in found]
        found.append({"what": what, "core_seconds": round(time.process_time() - started, 1)})
        content = json.dumps({"identity": identity, "rows": found})
        write_atomically(path, content.encode())
        rows += found
    return rows


def found_model(name: str) -> Any:
    """A model by name, or None with a line where there are no such weights."""
    try:
        return smalti.load_model(name)
    except WeightsError as cause:
        say({"what": "missing", "model": name, "why": str(cause)})
        return None


def study_of(chosen: argparse.Namespace) -> Study | None:
    """Everything that the sections need; None where the resampler itself is missing."""

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    def on_step(done: int, total: int) -> None:
        if done % 100 == 0:
            tell(f"training the judge: step {done} of {total}")

    models = {name: found_model(name) for name in chosen.resamplers}
    models = {name: model for name, model in models.items() if model is not None}
    if chosen.resamplers[0] not in models:
        return None
    diffuser = found_model(chosen.diffuser)
    sampling = {"guidance": chosen.guidance, "steps": chosen.steps, "sampler": chosen.sampler}
    chosen.out.mkdir(parents=True, exist_ok=True)
    return Study(
        models,
        diffuser,
        judges.judge_of(chosen.judge, chosen.mnist, on_step),
        judges.read_digits(chosen.mnist, "train"),
        judges.read_digits(chosen.mnist, "test"),
        chosen.out,
        samples=chosen.samples,
        draw=diffusion.sample,
        loss=size_study.velocity_loss,
        sampling={key: value for key, value in sampling.items() if value is not None},
        tell=tell,
    )


def measure(chosen: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    say(conditions("cpu"))
    only = tuple(name for name in SECTIONS if not chosen.only or name in chosen.only)
    study = study_of(chosen)
    if study is not None:
        test = study.test
        own = judges.accuracy(study.judge, judges.resized(test.pictures, 32, 32), test.labels)
        identity = {
            "models": {name: digest(model) for name, model in study.resamplers.items()},
            "diffuser": digest(study.diffuser),
            "judge": digest(study.judge),
            "samples": study.samples,
            "sampling": study.sampling,
        }
        say({"what": "settings", "judge_accuracy": own, **identity})
        for row in run(study, identity, only):
            say(row)
    if chosen.photos:
        model = found_model(chosen.photo_model)
        if model is not None:
            for row in resolution_photos.photos(model, chosen.photos):
                say(row)


def say(row: Row) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("mnist", type=Path, nargs="?", help="the folder of MNIST's four files")
    add("--judge", type=Path, help="trained where it is missing")
    add("--out", type=Path, help="folder for what is found on the way")
    add("--resamplers", nargs="+", default=["r2ir-mnist", "r2ir-mnist-64"], metavar="NAME")
    add("--diffuser", default="r2id-mnist", metavar="NAME", help="of the first resampler")
    add("--samples", type=int, default=1000)
    add("--guidance", type=float, help="default: the sampler's own")
    add("--steps", type=int, help="default: the sampler's own")
    add("--sampler", help="default: the sampler's own")
    add("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    add("--photos", type=Path, help="folder of photographs")
    add("--photo-model", default="r2ir-photos", metavar="NAME")
    add("--summary", type=Path, metavar="FILE", help="print the tables of stored results")
    chosen = parser.parse_args()
    if not chosen.summary and not (chosen.mnist and chosen.judge and chosen.out):
        parser.error("name MNIST's folder, --judge FILE and --out FOLDER; or --summary FILE")
    if chosen.samples < 40:
        parser.error(f"--samples {chosen.samples}; accuracy and distances need at least 40")
    return chosen


def main() -> None:
    chosen = arguments()
    try:
        if chosen.summary:
            sys.stdout.write(resolution_table.tables(chosen.summary))
        else:
            measure(chosen)
    except SmaltiError as error:
        sys.exit(f"resolution.py: {error}")
    except KeyboardInterrupt:
        sys.exit("resolution.py: interrupted; the same command goes on from here")


if __name__ == "__main__":
    main()

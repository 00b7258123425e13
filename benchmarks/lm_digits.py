"""The language model that draws digits: what a judge says, and which tokens it should use.

    OMP_NUM_THREADS=1 python benchmarks/lm_digits.py MNIST --judge JUDGE.pt \\
        > benchmarks/results/DATE-lm-digits.jsonl
    OMP_NUM_THREADS=1 python benchmarks/lm_digits.py MNIST --judge JUDGE.pt --table \\
        >> benchmarks/results/DATE-lm-digits.jsonl

MNIST is the folder of its four files. The judge, a small convolutional network, is trained on the
training pictures (half a minute of one core) and kept in JUDGE.pt; it sees nothing of the tokenizer or
the language model. Without --table the bundled model is judged:

- drawn: share of drawings that the judge takes for the digit of the caption, PER_DIGIT of each, for
  several temperatures and guidances, with seeds that nothing was chosen by.
- named: share of MNIST's test pictures that the model names right.
- tokenizer: PSNR of the 8-bit test pictures that went through the tokenizer alone.
- completed: share of test pictures whose lower half the model drew that the judge takes for what
  they were, told the digit and not told it; of half pictures alone; and of pictures that only went
  through the tokenizer, the best that can be had.

With --table each tokenizer of FAMILY is trained for TOKENIZER_STEPS, then a language model of 1
million parameters on its codes of the first TRAINED pictures, until it has read IDS ids: a budget
of operations, which a busy machine does not change. With more tokens a picture it reads fewer
pictures. Drawings are judged at TABLE_TASTE.

- bits_fixed: tokens * log2(codebook); bits_smt: of a picture's tokens in a .smt file, which holds
  one picture and no model of digits; bits_lm: what the language model would need.
"""

import argparse
import dataclasses
import math
import statistics
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from lm_judge import FIRST_SEED, Judge, drawn, evaluate, judge_of, names_of, right, say, through
from torch import Tensor

import smalti
from smalti.artist import sequences
from smalti.artist.labelled import Labelled, read_mnist, upper_half
from smalti.artist.language_model import ImageLanguageModel, Sampling
from smalti.artist.train import LmTask, LmValidation
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr
from smalti.models.fsq import FsqAutoencoder
from smalti.train import recipes
from smalti.train.loop import Options, Run, accelerator_on
from smalti.train.recipes.language import LmRecipe
from smalti.train.recipes.recipe import changed
from smalti.train.run import run_recipe

PER_DIGIT = 40
TASTES = ((0.9, 1.0), (0.9, 2.0))  # temperature, guidance
NAMED, COMPLETED = 2000, 100  # of the test pictures
EPOCHS = 1  # of the judge
# Name -> settings of the recipe fsq-digits, and tokens merged on each side.
FAMILY = {
    "f8, 1000 codes": ("model.levels=8,5,5,5", 1),
    "f4, 1000 codes": ("model.factor=4 model.levels=8,5,5,5", 1),
    "f8, 240 codes": ("model.levels=8,6,5", 1),
    "f4, 6 codes, 2 x 2 merged": ("model.factor=4 model.levels=3,2", 2),
    "f8, 15360 codes": ("model.levels=8,8,8,6,5", 1),
    "f4, 240 codes": ("model.factor=4 model.levels=8,6,5", 1),
    "f4, 15360 codes": ("model.factor=4 model.levels=8,8,8,6,5", 1),
}
TRAINED = 5_000  # pictures, for the table
TOKENIZER_STEPS, IDS = 120, 300_000
LITTLE = ("hidden=160", "layers=3", "inner=416", "batch=64", "warmup=0.1", "ema=0.95")
TABLE_TASTE, TABLE_PER_DIGIT, TABLE_TESTED = (0.9, 2.0), 10, 300
AT_END = 10**9  # steps: neither checkpoints nor validation before the last one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="of tokenizers")
    parser.add_argument("--only", nargs="+", choices=FAMILY, default=[*FAMILY], help="of the table")
    parser.add_argument("--models", nargs="+", default=["digits-lm"], help="one after the other")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    train, test = read_mnist(chosen.mnist), read_mnist(chosen.mnist, "test")
    judge = judge_of(chosen.judge, train, epochs=EPOCHS, augment=shifted)
    say(conditions("cpu") | {"judge": round(right(judge, test), 4)})
    if not chosen.table:
        for name in chosen.models:
            say({"model": Path(name).parent.parent.name or name})
            artist = ImageLanguageModel.from_pretrained(name)
            numbers = {"each": PER_DIGIT, "named": NAMED, "completed": COMPLETED}
            evaluate(artist, judge, test, **numbers, tastes=TASTES)
        return
    held = np.arange(TRAINED) >= TRAINED - TRAINED // 10
    part = dataclasses.replace(train[:TRAINED], held=held)
    for name in chosen.only:
        settings, merged = FAMILY[name]
        row = table_row(settings.split(), merged, chosen.mnist, part, test, judge)
        say({"tokenizer": name} | row)


def shifted(x: Tensor, random: torch.Generator) -> Tensor:
    """By up to two texels each way, the whole batch alike."""
    return x.roll(torch.randint(-2, 3, (2,), generator=random).tolist(), (2, 3))


def table_row(
    settings: list[str],
    merged: int,
    mnist: Path,
    part: Labelled,
    test: Labelled,
    judge: Judge,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = trained_tokenizer(settings, mnist, Path(folder))
        image_tokenizer = FsqAutoencoder.from_pretrained(path).requires_grad_(False)
        quality = [psnr(*pair) for pair in through(image_tokenizer, test.pictures[:TABLE_TESTED])]
        smt = [smt_bits(path, picture) for picture in test.pictures[:10]]
    tokenizer_parameters = sum(p.numel() for p in image_tokenizer.parameters())
    image_tokenizer = image_tokenizer if merged == 1 else Merged(image_tokenizer, merged)
    halves = part.pictures, upper_half(part.pictures)
    codes = sequences.Codes(*(sequences.encoded(image_tokenizer, half) for half in halves))
    run = trained_model(image_tokenizer, codes, part)
    model = run.averaged()
    bits = LmValidation(run.recipe, run.precision).run(model)[0]["bits_a_code"]
    artist = ImageLanguageModel(model, run.recipe.tokenizer, image_tokenizer)
    sampling = Sampling(*TABLE_TASTE, FIRST_SEED)
    names = names_of(artist, test.pictures[:TABLE_TESTED])
    tokens = artist.rows * artist.columns
    return {
        "tokens": tokens,
        "codebook": artist.vocabulary.codes,
        "parameters": tokenizer_parameters,
        "psnr": round(statistics.mean(quality), 2),
        "bits_fixed": round(tokens * math.log2(artist.vocabulary.codes), 1),
        "bits_smt": round(statistics.mean(smt), 1),
        "bits_lm": round(tokens * bits, 1),
        "lm_parameters": sum(p.numel() for p in run.parameters),
        "lm_steps": run.recipe.steps,
        "drawn": round(statistics.mean(drawn(artist, judge, sampling, TABLE_PER_DIGIT)), 4),
        "named": round(float((names == test.labels[:TABLE_TESTED]).mean()), 4),
    }


def trained_tokenizer(settings: list[str], mnist: Path, out: Path) -> Path:
    return run_recipe(
        recipes.recipe_of("fsq-digits", [*settings, f"steps={TOKENIZER_STEPS}"]),
        [mnist / "train-images-idx3-ubyte.gz"],
        out,
        validate_on=[mnist / "t10k-images-idx3-ubyte.gz"],
        options=Options(checkpoint_every=AT_END, validate_every=AT_END),
        device="cpu",
    )


def trained_model(image_tokenizer: Any, codes: sequences.Codes, part: Labelled) -> Run:
    recipe = changed(LmRecipe(), LITTLE)
    length = LmTask(recipe, image_tokenizer, codes, part).learnt.length
    recipe = dataclasses.replace(recipe, steps=round(IDS / (recipe.batch * length)))
    task, accelerator = LmTask(recipe, image_tokenizer, codes, part), accelerator_on("cpu")
    run = Run(task, task.batches(accelerator.device), accelerator, Options())
    for step in range(recipe.steps):
        run.step(step, run.batches(step, 0, recipe.batch))
    return run


class Merged:
    """A tokenizer whose side x side neighbouring codes are one: a product of their codebooks."""

    def __init__(self, image_tokenizer: FsqAutoencoder, side: int) -> None:
        self.image_tokenizer, self.side, self.device = image_tokenizer, side, image_tokenizer.device
        self.factor = side * image_tokenizer.factor
        self.config = SimpleNamespace(levels=image_tokenizer.config.levels * side**2)

    def encode(self, x: Tensor) -> Tensor:
        codes, side = self.image_tokenizer.encode(x), self.side
        count, height, width = codes.shape
        cells = codes.view(count, height // side, side, width // side, side).permute(0, 1, 3, 2, 4)
        radix = self.image_tokenizer.codebook_size ** torch.arange(side**2)
        return (cells.flatten(3) * radix).sum(-1)

    def decode(self, merged: Tensor) -> Tensor:
        count, height, width = merged.shape
        side, base = self.side, self.image_tokenizer.codebook_size
        cells = merged[..., None] // base ** torch.arange(side**2) % base
        codes = cells.view(count, height, width, side, side).permute(0, 1, 3, 2, 4)
        return self.image_tokenizer.decode(codes.reshape(count, height * side, width * side))


def smt_bits(weights: Path, picture: np.ndarray) -> int:
    data = smalti.encode(picture, f"fsq:weights={weights}")
    return 8 * sum(smalti.info(data).sections)


if __name__ == "__main__":
    main()

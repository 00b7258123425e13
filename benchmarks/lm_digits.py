"""The language model that draws digits: what a judge says, and which tokens it should use.

    OMP_NUM_THREADS=1 python benchmarks/lm_digits.py MNIST --judge JUDGE.pt \\
        > benchmarks/results/DATE-lm-digits.jsonl
    OMP_NUM_THREADS=1 python benchmarks/lm_digits.py MNIST --judge JUDGE.pt --table \\
        >> benchmarks/results/DATE-lm-digits.jsonl

MNIST is the folder of its four files. The judge, a small convolutional network, is trained on the
training pictures (a minute of one core) and kept in JUDGE.pt; it sees nothing of the tokenizer or
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
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import smalti
from smalti.eval.log import conditions
from smalti.eval.metrics import psnr
from smalti.image import to_uint8
from smalti.models.fsq import FsqAutoencoder
from smalti.tokens import lm_data
from smalti.tokens.draw import Artist, Taste
from smalti.tokens.lm_train import Run
from smalti.tokens.lm_words import ANY, DIGITS, caption
from smalti.train import recipes
from smalti.train.lm_recipe import LmRecipe
from smalti.train.loop import Options
from smalti.train.recipe import changed

PER_DIGIT = 40
FIRST_SEED = 1_000_000
TASTES = ((1.0, 1.0), (0.9, 1.0), (0.9, 1.5), (0.9, 2.0))  # temperature, guidance
NAMED, COMPLETED, QUALITY = 2000, 100, 500  # of the test pictures
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
    parser.add_argument("--model", default="digits-lm", help="instead of the bundled one")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    test = lm_data.read_mnist(chosen.mnist, "test")
    judge = judge_of(chosen.judge, chosen.mnist)
    found = judged(judge, as_floats(test.pictures)).numpy()
    right = {"judge": float((found == test.labels).mean())}
    say(conditions("cpu") | right)
    if not chosen.table:
        evaluate(Artist.from_pretrained(chosen.model), judge, test)
        return
    part = lm_data.read_mnist(chosen.mnist)
    part = lm_data.Labelled(part.pictures[:TRAINED], part.labels[:TRAINED])
    for name in chosen.only:
        settings, merged = FAMILY[name]
        row = table_row(settings.split(), merged, chosen.mnist, part, test, judge)
        say({"tokenizer": name} | row)


def evaluate(artist: Artist, judge: nn.Module, test: lm_data.Labelled) -> None:
    for temperature, guidance in TASTES:
        taste = Taste(temperature, guidance, FIRST_SEED)
        shares = drawn(artist, judge, taste, PER_DIGIT)
        say(
            {
                "what": "drawn",
                "temperature": temperature,
                "guidance": guidance,
                "pictures": PER_DIGIT * len(DIGITS),
                "share": round(statistics.mean(shares), 4),
                "by_digit": shares,
            }
        )
    quality = [psnr(*pair) for pair in through(artist.eye, test.pictures[:QUALITY])]
    say({"what": "tokenizer", "pictures": QUALITY, "psnr": round(statistics.mean(quality), 2)})
    x = as_floats(test.pictures)
    names = torch.cat([artist.name(part) for part in x[:NAMED].split(500)]).argmax(1).numpy()
    share = float((names == test.labels[:NAMED]).mean())
    say({"what": "named", "pictures": NAMED, "share": round(share, 4)})
    x, labels = x[:COMPLETED], test.labels[:COMPLETED]
    x_hat = artist.pictures_of(
        torch.stack([artist.vocabulary.sequence(c) for c in artist.codes_of(x)])
    )
    halves = as_floats(lm_data.upper_half(test.pictures[:COMPLETED]))
    taste = Taste(seed=FIRST_SEED)
    told = [artist.complete(x[i], caption(int(labels[i])), taste=taste)[0] for i in range(len(x))]
    untold = [artist.complete(x[i], ANY, taste=taste)[0] for i in range(len(x))]
    for what, pictures in (
        ("completed, told the digit", torch.stack(told)),
        ("completed, not told", torch.stack(untold)),
        ("upper halves alone", halves),
        ("through the tokenizer", x_hat),
    ):
        share = float((judged(judge, pictures).numpy() == labels).mean())
        say({"what": what, "pictures": COMPLETED, "share": round(share, 4)})


def drawn(artist: Artist, judge: nn.Module, taste: Taste, each: int) -> list[float]:
    """Share of each digit's drawings that the judge takes for it."""
    shares = []
    for digit in range(len(DIGITS)):
        own = dataclasses.replace(taste, seed=taste.seed + digit)
        pictures = artist.draw(caption(digit), each, taste=own)
        shares.append(round(float((judged(judge, pictures) == digit).float().mean()), 4))
    return shares


def table_row(
    settings: list[str],
    merged: int,
    mnist: Path,
    part: lm_data.Labelled,
    test: lm_data.Labelled,
    judge: nn.Module,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = trained_tokenizer(settings, mnist, Path(folder))
        eye = FsqAutoencoder.from_pretrained(path).requires_grad_(False)
        quality = [psnr(*pair) for pair in through(eye, test.pictures[:TABLE_TESTED])]
        smt = [smt_bits(path, picture) for picture in test.pictures[:10]]
    tokenizer_parameters = sum(p.numel() for p in eye.parameters())
    eye = eye if merged == 1 else Merged(eye, merged)
    codes = lm_data.Codes(
        lm_data.encoded(eye, part.pictures), lm_data.encoded(eye, lm_data.upper_half(part.pictures))
    )
    model = trained_model(eye, codes, part.labels)
    bits = model.validate()["bits_a_code"]
    artist = Artist(model.averaged(), model.tokenizer, eye)
    taste = Taste(*TABLE_TASTE, FIRST_SEED)
    x = as_floats(test.pictures[:TABLE_TESTED])
    names = torch.cat([artist.name(some) for some in x.split(250)]).argmax(1).numpy()
    tokens = artist.rows * artist.columns
    return {
        "tokens": tokens,
        "codebook": artist.vocabulary.codes,
        "parameters": tokenizer_parameters,
        "psnr": round(statistics.mean(quality), 2),
        "bits_fixed": round(tokens * math.log2(artist.vocabulary.codes), 1),
        "bits_smt": round(statistics.mean(smt), 1),
        "bits_lm": round(tokens * bits, 1),
        "lm_parameters": sum(p.numel() for p in model.parameters),
        "lm_steps": model.recipe.steps,
        "drawn": round(statistics.mean(drawn(artist, judge, taste, TABLE_PER_DIGIT)), 4),
        "named": round(float((names == test.labels[:TABLE_TESTED]).mean()), 4),
    }


def trained_tokenizer(settings: list[str], mnist: Path, out: Path) -> Path:
    return recipes.run(
        recipes.recipe_of("fsq-digits", [*settings, f"steps={TOKENIZER_STEPS}"]),
        [mnist / "train-images-idx3-ubyte.gz"],
        out,
        validate_on=[mnist / "t10k-images-idx3-ubyte.gz"],
        options=Options(checkpoint_every=AT_END, validate_every=AT_END),
        device="cpu",
    )


def trained_model(eye: Any, codes: lm_data.Codes, labels: np.ndarray) -> Run:
    recipe = changed(LmRecipe(), LITTLE)
    run = Run(recipe, eye, codes, labels, torch.device("cpu"))
    steps = round(IDS / (recipe.batch * run.batches.length))
    run.recipe = changed(recipe, [f"steps={steps}"])
    for step in range(steps):
        run.step(step)
    return run


class Merged:
    """A tokenizer whose side x side neighbouring codes are one: a product of their codebooks."""

    def __init__(self, eye: FsqAutoencoder, side: int) -> None:
        self.eye, self.side, self.device = eye, side, eye.device
        self.factor = side * eye.factor
        self.config = SimpleNamespace(levels=eye.config.levels * side**2)

    def encode(self, x: Tensor) -> Tensor:
        codes, side = self.eye.encode(x), self.side
        count, height, width = codes.shape
        cells = codes.view(count, height // side, side, width // side, side).permute(0, 1, 3, 2, 4)
        radix = self.eye.codebook_size ** torch.arange(side**2)
        return (cells.flatten(3) * radix).sum(-1)

    def decode(self, merged: Tensor) -> Tensor:
        count, height, width = merged.shape
        side, base = self.side, self.eye.codebook_size
        cells = merged[..., None] // base ** torch.arange(side**2) % base
        codes = cells.view(count, height, width, side, side).permute(0, 1, 3, 2, 4)
        return self.eye.decode(codes.reshape(count, height * side, width * side))


def judge_of(path: Path, mnist: Path) -> nn.Module:
    """The network of a file, or one that is trained now and written there."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10)]
    judge = nn.Sequential(*layers, *head).to(memory_format=torch.channels_last)
    if path.is_file():
        judge.load_state_dict(torch.load(path, weights_only=True))
        return judge.eval()
    data = lm_data.read_mnist(mnist)
    batch, epochs = 128, 3
    random = torch.Generator().manual_seed(0)
    order = torch.cat([torch.randperm(len(data.labels), generator=random) for _ in range(epochs)])
    optimizer = torch.optim.AdamW(judge.parameters())
    parts = order.split(batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=len(parts))
    pictures, labels = torch.from_numpy(data.pictures), torch.from_numpy(data.labels)
    for part in parts:
        shift = torch.randint(-2, 3, (2,), generator=random).tolist()
        x = (pictures[part].float() / 255).roll(shift, (1, 2))[:, None]
        loss = F.cross_entropy(judge(x), labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    torch.save(judge.state_dict(), path)
    return judge.eval()


@torch.inference_mode()
def judged(judge: nn.Module, pictures: Tensor) -> Tensor:
    """The digits of pictures `N H W` in [0, 1]."""
    return torch.cat([judge(part[:, None]).argmax(1) for part in pictures.split(500)])


@torch.inference_mode()
def through(eye: FsqAutoencoder, pictures: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures, and what the tokenizer makes of them, `H W 1` uint8."""
    x = as_floats(pictures)
    x_hat = [eye(2 * part[:, None].expand(-1, 3, -1, -1) - 1).mean(1) for part in x.split(250)]
    decoded = ((torch.cat(x_hat) + 1) / 2).clamp(0, 1)
    return [(p[..., None], to_uint8(d[None])) for p, d in zip(pictures, decoded, strict=True)]


def smt_bits(weights: Path, picture: np.ndarray) -> int:
    data = smalti.encode(as_floats(picture[None]), f"fsq:weights={weights}")
    return 8 * sum(smalti.info(data).sections)


def as_floats(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).float() / 255


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The language model that draws airplanes and cars: what a judge says.

    OMP_NUM_THREADS=1 python benchmarks/lm_natural.py STL10 --judge JUDGE.pt \\
        > benchmarks/results/DATE-lm-natural.jsonl

STL10 is the folder that the recipe natural-lm learns from: index.csv with the columns file and
label, and pictures in a folder val that nothing was trained on. The judge, a small convolutional
network on the pictures reduced to 32 x 32, is trained on the training pictures (a minute of one
core) and kept in JUDGE.pt. With --sheet a picture is written too: rows of drawings, completions
(shown half above) and of what the tokenizer makes of pictures.

- drawn, tokenizer, named, completed: as in lm_digits.py, of pictures in val. With two labels half
  of everything is right by chance.
- copied: of DRAWN drawings of each label, how many of the 64 codes equal those of the training
  picture that is most alike, at most and in the mean; and the same of the pictures in val, which
  cannot be copies.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch
from lm_judge import FIRST_SEED, completions, evaluate, judge_of, right, say
from torch import Tensor

import smalti
from smalti.artist.labelled import Labelled, read_folder
from smalti.artist.language_model import ImageLanguageModel, Sampling
from smalti.eval.log import conditions
from smalti.image import to_float
from smalti.image.sheet import sheet
from smalti.train.recipes import recipe_of

DRAWN = 50  # of each label
EPOCHS = 40  # of the judge
TASTES = ((1.0, 1.0), (0.9, 2.0))  # temperature, guidance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--model", default="natural-lm", help="instead of the bundled one")
    parser.add_argument("--sheet", type=Path, help="a picture to write")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    data = read_folder(recipe_of("natural-lm", ["views=2"]), chosen.pictures)
    train, test = part_of(data, ~data.held), part_of(data, data.held & (data.labels >= 0))
    judge = judge_of(chosen.judge, train, epochs=EPOCHS, augment=varied)
    say(conditions("cpu") | {"judge": round(right(judge, test), 4), "judged": len(test.labels)})
    artist = ImageLanguageModel.from_pretrained(chosen.model)
    everything = len(test.labels)
    numbers = {"each": DRAWN, "named": everything, "completed": everything}
    evaluate(artist, judge, test, **numbers, tastes=TASTES)
    known = artist.codes_of(train.pictures)
    captions = [artist.words.caption(label) for label in range(len(artist.words.labels))]
    drawings = np.concatenate(
        [artist.generate(text, DRAWN, sampling=Sampling(seed=FIRST_SEED)) for text in captions]
    )
    for what, pictures in (("drawings", drawings), ("pictures in val", test.pictures)):
        equal = most_alike(artist.codes_of(pictures), known)
        numbers = {"most": int(equal.max()), "mean": round(float(equal.mean()), 2)}
        say({"what": f"codes copied, {what}", "pictures": len(pictures), **numbers})
    if chosen.sheet:
        smalti.save(rows_of(artist, test, drawings), chosen.sheet)


def part_of(data: Labelled, mask: np.ndarray) -> Labelled:
    return dataclasses.replace(
        data, pictures=data.pictures[mask], labels=data.labels[mask], held=data.held[mask]
    )


def varied(x: Tensor, random: torch.Generator) -> Tensor:
    """Mirrored, shifted by up to an eighth, brighter or darker, and in other colours."""
    count, _, side, _ = x.shape
    flipped = torch.rand(count, generator=random) < 0.5
    x = torch.where(flipped.view(-1, 1, 1, 1), x.flip(3), x)
    most = side // 8
    down, across = torch.randint(-most, most + 1, (2,), generator=random).tolist()
    padded = torch.nn.functional.pad(x, (most,) * 4, mode="replicate")
    top, left = most + down, most + across
    x = padded[:, :, top : top + side, left : left + side]
    gain = 1 + 0.4 * (torch.rand(count, 3, 1, 1, generator=random) - 0.5)
    shift = 0.3 * (torch.rand(count, 1, 1, 1, generator=random) - 0.5)
    return (x * gain + shift).clamp(0, 1)


def most_alike(codes: Tensor, known: Tensor) -> Tensor:
    """How many codes of each picture `N h w` equal those of the known one with the most."""
    flat = known.flatten(1)
    return torch.stack([(flat == picture).sum(1).max() for picture in codes.flatten(1)]).float()


def rows_of(artist: ImageLanguageModel, test: Labelled, drawings: np.ndarray) -> np.ndarray:
    """Eight drawings of each label; eight pictures as seen by the tokenizer, and completed."""
    each = len(drawings) // len(artist.words.labels)
    firsts = [drawings[label * each :][:8] for label in range(len(artist.words.labels))]
    chosen = np.linspace(0, len(test.labels) - 1, 8).astype(int)
    x = test.pictures[chosen]
    ids = [artist.vocabulary.sequence(codes) for codes in artist.codes_of(x)]
    rows = [
        *firsts,
        to_float(x),
        artist.pictures_of(torch.stack(ids)),
        completions(artist, x, test.labels[chosen]),
    ]
    return np.concatenate([sheet_row(row) for row in rows], 0)


def sheet_row(pictures: np.ndarray) -> np.ndarray:
    return np.concatenate([sheet(picture[None], 2) for picture in pictures], 1)


if __name__ == "__main__":
    main()

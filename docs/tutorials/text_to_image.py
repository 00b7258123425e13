"""Teach a small transformer to draw what a sentence says, of any shape, in minutes of one CPU core.

    python docs/tutorials/text_to_image.py --out runs/words
    python docs/tutorials/text_to_image.py --out runs/words --say "a snowman on sand at night"

text_to_image.md beside it is the text to it. The pictures, the autoencoder inside the loop, flow
matching and packing are those of latent_generator.py; here labels become words. Ctrl-C stops it;
the same command goes on.
"""

import argparse
import itertools
import sys
from pathlib import Path

import latent_generator as base
import numpy as np
import torch
from latent_transformer import Generator
from scenes import LANDS, SKIES, THINGS, scene
from torch import Tensor, nn

import smalti
from smalti.models.pictures import to_picture
from smalti.train import checkpoints
from smalti.train.precision import keep_freed_memory

SKY_WORDS = ("by day", "at dusk", "at night", "in haze")  # as SKIES
LAND_WORDS = ("grass", "sand", "snow", "earth")  # as LANDS
TEMPLATES = (
    "a {thing} on {land} {sky}",
    "{sky} a {thing} stands on {land}",
    "{land} and a {thing} {sky}",
    "the {thing} {sky} on the {land}",
)
WORDS = sorted(
    {"a", "the", "on", "and", "stands", *THINGS, *LAND_WORDS}
    | {word for words in SKY_WORDS for word in words.split()}
)
LONGEST = 10  # words of a caption; 0 stands for none
# Every combination of a thing, a sky and a land; every seventh is never trained on.
SCENES = tuple(itertools.product(range(len(THINGS)), range(len(SKIES)), range(len(LANDS))))
HELD_OUT = SCENES[3::7]
SIZES = base.Settings(width=160, depth=5, cells=60, steps=3000)
REDUCED = base.Settings(64, 2, batch=8, cells=20, steps=150, drawing=6)

# --- 1. Words ----------------------------------------------------------------------------------


def tokens(caption: str) -> list[int]:
    """Numbers of a caption's words, 1 ...; raises SystemExit for a word that nobody taught."""
    words = caption.lower().replace(",", " ").split()
    for word in words:
        if word not in WORDS:
            raise SystemExit(f"the word {word!r} was never taught; known: {' '.join(WORDS)}")
    if len(words) > LONGEST:
        raise SystemExit(f"{len(words)} words; a caption has at most {LONGEST}")
    return [1 + WORDS.index(word) for word in words] + [0] * (LONGEST - len(words))


def caption(thing: int, sky: int, land: int, random: np.random.Generator) -> str:
    """One of the ways to say what a scene shows."""
    template = TEMPLATES[random.integers(len(TEMPLATES))]
    return template.format(thing=list(THINGS)[thing], land=LAND_WORDS[land], sky=SKY_WORDS[sky])


class Words(nn.Module):
    """Numbers of words `B LONGEST` ─→ one vector a caption: a transformer of two layers, averaged.

    A caption without words has a vector of its own: what guidance goes away from.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(1 + len(WORDS), width)
        self.places = nn.Parameter(torch.zeros(LONGEST, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.nothing = nn.Parameter(torch.zeros(width))

    def forward(self, ids: Tensor) -> Tensor:
        absent = ids == 0
        empty = absent.all(1)
        hidden = absent & ~empty[:, None]  # an empty row would leave attention without a key
        h = self.layers(self.words(ids) + self.places, src_key_padding_mask=hidden)
        present = (~absent).float()[..., None]
        mean = (h * present).sum(1) / present.sum(1).clamp(min=1)
        return torch.where(empty[:, None], self.nothing, mean)


class Painter(Generator):
    """The generator of the other tutorial, told by words."""

    def __init__(self, width: int = 160, depth: int = 5) -> None:
        super().__init__(0, width, depth)
        self.config = {"width": width, "depth": depth}
        self.label = Words(width)

    def none(self, labels: Tensor) -> Tensor:
        return torch.zeros_like(labels)


# --- 2. Pictures with captions -----------------------------------------------------------------


class Captioned:
    """Scenes of those combinations that are not held out, by number."""

    labels = tuple(str(each) for each in SCENES if each not in HELD_OUT)

    def __init__(self) -> None:
        self.scenes = [each for each in SCENES if each not in HELD_OUT]

    def draw(self, label: int, height: int, width: int, random: np.random.Generator) -> np.ndarray:
        thing, sky, land = self.scenes[label]
        return scene(thing, height, width, random, sky=sky, land=land)


class Latents(base.Latents):
    """Latents of scenes, each with a caption of its own wording."""

    def batch(self, step: int) -> tuple:
        z, labels = super().batch(step)
        random = np.random.default_rng((3, step))
        said = [caption(*self.source.scenes[label], random) for label in labels.tolist()]
        return z, torch.tensor([tokens(text) for text in said])


# --- 3. Drawing, and counting ------------------------------------------------------------------


@torch.no_grad()
def draw(
    model: Painter, latents: base.Latents, captions: list[str], shape: tuple[int, int]
) -> list:
    """A picture `H W 3` of each caption."""
    asked = torch.tensor([tokens(text) for text in captions])
    shapes = (shape,) * len(captions)
    z = base.sample(model, asked, shapes, steps=latents.settings.drawing, seed=len(captions))
    with base.PRECISION.autocast():
        return [to_picture(x) for x in latents.autoencoder.decode(z)]


def sky_and_land(picture: np.ndarray) -> tuple[int, int]:
    """The sky and the land whose colours are nearest to a picture's top and bottom rows."""
    levels = 255 * picture
    top, bottom = np.median(levels[:3], axis=(0, 1)), np.median(levels[-3:], axis=(0, 1))
    skies = [np.abs(np.array(sky[0]) - top).sum() for sky in SKIES]
    lands = [np.abs(np.array(land) - bottom).sum() for land in LANDS]
    return int(np.argmin(skies)), int(np.argmin(lands))


def count(model: Painter, latents: base.Latents, scenes: tuple) -> dict[str, float]:
    """Of one drawing of each of these scenes: how many have the sky and the land that was said."""
    random = np.random.default_rng(5)
    said = [caption(*each, random) for each in scenes]
    found = [sky_and_land(picture) for picture in draw(model, latents, said, (9, 9))]
    pairs = list(zip(found, scenes, strict=True))
    sky = sum(seen[0] == each[1] for seen, each in pairs) / len(pairs)
    land = sum(seen[1] == each[2] for seen, each in pairs) / len(pairs)
    return {"drawings": len(pairs), "sky": round(sky, 3), "land": round(land, 3)}


def sheet(model: Painter, latents: base.Latents, out: Path) -> None:
    """Eight scenes that were never trained on, and their captions in a text file."""
    random = np.random.default_rng(7)
    chosen = [next(each for each in HELD_OUT if each[0] == thing) for thing in range(len(THINGS))]
    said = [caption(*each, random) for each in chosen]
    pictures = draw(model, latents, said, (9, 13))
    rows = [np.concatenate(pictures[i : i + 4], 1) for i in (0, 4)]
    smalti.save(np.concatenate(rows), out / "sheet.png")
    (out / "sheet.txt").write_text("\n".join(said) + "\n")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/words"))
    parser.add_argument("--say", nargs="*", help="draw these captions with a trained model")
    parser.add_argument("--steps", type=base.positive, help=f"at most; otherwise {SIZES.steps}")
    parser.add_argument("--budget", type=base.positive, default=15, help="minutes of CPU, at most")
    parser.add_argument("--reduced", action="store_true", help="half a minute, to see that it runs")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    keep_freed_memory()
    latents = Latents(Captioned(), REDUCED if options.reduced else SIZES)
    if options.say:
        for text in options.say:
            [picture] = draw(restored(options.out), latents, [text], (9, 13))
            name = f"{text.replace(' ', '-')}.png"
            smalti.save(picture, options.out / name)
            base.say(f"{options.out / name}")
        return
    model, averaged = (Painter(latents.settings.width, latents.settings.depth) for _ in range(2))
    values = latents.fresh(256, (2, 0))[0].values
    model.mean = values.mean(0)
    model.std = (values - model.mean).square().mean().sqrt()
    averaged.load_state_dict(model.state_dict())
    base.train(model, averaged, latents, options)
    averaged.eval().requires_grad_(False)
    sheet(averaged, latents, options.out)
    told = count(averaged, latents, latents.source.scenes[:: len(SCENES) // 24])
    base.say(f"trained combinations: {told}")
    base.say(f"never trained on:     {count(averaged, latents, HELD_OUT)}")


def restored(out: Path) -> Painter:
    """The averaged model of a run's last checkpoint."""
    state = checkpoints.newest(out, torch.device("cpu"))
    if state is None:
        raise SystemExit(f"no checkpoint in {out}")
    model = Painter(**state["kind"]["model"])
    model.load_state_dict(state["averaged"])
    return model.eval().requires_grad_(False)


if __name__ == "__main__":
    sys.exit(main())

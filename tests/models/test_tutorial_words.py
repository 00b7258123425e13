"""The tutorial that draws what a sentence says, in its reduced form."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import smalti

from conftest import ROOT

FOLDER = ROOT / "docs" / "tutorials"
sys.path.insert(0, str(FOLDER))

import latent_generator as base  # noqa: E402
import scenes  # noqa: E402
import text_to_image as tutorial  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("words")
    tutorial.main(["--reduced", "--out", str(out)])
    return out


def test_it_hears_the_words(run):
    """The loss is less with a picture's own caption than with another's, on held-out scenes."""
    model = tutorial.restored(run)
    latents = tutorial.Latents(tutorial.Captioned(), tutorial.REDUCED)
    latents.source.scenes = list(tutorial.HELD_OUT)
    latents.source.labels = tuple(map(str, tutorial.HELD_OUT))
    z, said = latents.batch(0)
    losses = []
    for ids in (said, said.roll(1, 0)):
        torch.manual_seed(0)
        losses.append(float(base.loss_of(model, z, ids)))
    assert losses[0] < 0.98 * losses[1]
    assert smalti.load(run / "sheet.png").shape == (144, 416, 3)
    assert len((run / "sheet.txt").read_text().splitlines()) == len(scenes.THINGS)


def test_it_draws_what_is_asked(run, capsys):
    tutorial.main(["--reduced", "--out", str(run), "--say", "a pine on snow at night"])
    assert smalti.load(run / "a-pine-on-snow-at-night.png").shape == (72, 104, 3)
    for text, sentence in (
        ("a zebra on snow", "the word 'zebra' was never taught; known: a and at"),
        ("a pine " * 6, "12 words; a caption has at most 10"),
    ):
        with pytest.raises(SystemExit, match=sentence):
            tutorial.tokens(text)


def test_every_caption_can_be_read_and_says_what_is_shown():
    random = np.random.default_rng(0)
    assert not {*tutorial.HELD_OUT} & {*tutorial.Captioned().scenes}
    for thing, sky, land in tutorial.SCENES:
        said = tutorial.caption(thing, sky, land, random)
        ids = tutorial.tokens(said)
        assert len(ids) == tutorial.LONGEST
        assert list(scenes.THINGS)[thing] in said.split()
        drawn = scenes.scene(thing, 72, 72, random, sky=sky, land=land)
        assert tutorial.sky_and_land(drawn / 255) == (sky, land)


def test_words_that_are_not_there_change_nothing():
    model = tutorial.Words(16).eval()
    ids = torch.tensor([tutorial.tokens("a pine on snow"), [0] * tutorial.LONGEST])
    alone = model(ids[:1])
    assert torch.allclose(model(ids)[0], alone[0], atol=1e-6)
    assert torch.equal(model(ids)[1], model.nothing)
    assert not torch.allclose(alone, model(torch.tensor([tutorial.tokens("a house on snow")])))


def test_the_text_and_its_files_belong_together():
    text = (FOLDER / "text_to_image.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (FOLDER / target).exists(), target
    known = (FOLDER / "text_to_image.py").read_text()
    commands = re.findall(r"^ +python (docs/tutorials/\S+)(.*)$", text, flags=re.MULTILINE)
    assert commands
    for script, options in commands:
        assert (ROOT / script).exists()
        for word in shlex.split(options.partition("#")[0]):
            assert not word.startswith("--") or f'"{word}"' in known, word

"""Language models of anybody's labelled pictures, in colour: their data, training and commands."""

import csv
import json
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import smalti
from smalti.artist.labelled import NONE, read_folder
from smalti.artist.language_model import BUNDLED, ImageLanguageModel, Sampling, folder_of
from smalti.artist.train import run_recipe
from smalti.cli import main
from smalti.errors import ImageError, OptionError
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.train import recipes
from smalti.train.loop import Options

TINY = (
    *("hidden=32", "layers=1", "inner=64", "features=16", "batch=16", "steps=150", "side=16"),
    *("warmup=0.1", "ema=0.8", "optimizer.lr=0.01", "least=20", "views=3", "name_weight=10"),
)


def picture(random, label):
    """20 x 24 texels of noise: reddish with a dark right half, or bluish with a dark lower half."""
    x = 0.1 * random.random((24, 20, 3), np.float32)
    if label == "apple":
        x[:, :10, 0] += 0.9
    if label == "Sea ice":
        x[:12, :, 2] += 0.9
    return x


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder for each of three labels, one of which is rare."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for label, count in (("apple", 40), ("Sea ice", 40), ("rare", 5)):
        for number in range(count):
            path = folder / label / f"{number:02}.png"
            path.parent.mkdir(exist_ok=True)
            smalti.save(picture(random, label), path)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("image_tokenizer") / "image_tokenizer.safetensors"
    image_tokenizer = FsqAutoencoder(FsqConfig(levels=(4, 3), width=8, blocks=1, factor=8))
    with torch.no_grad():
        image_tokenizer.encoder[-1].weight.mul_(20)  # or every picture would be of a few codes
    image_tokenizer.save_pretrained(path)
    return recipes.recipe_of("natural-lm", [*TINY, f"tokenizer={path}"])


@pytest.fixture(scope="module")
def trained(folder, recipe, tmp_path_factory):
    """(folder of the model, what was noted)."""
    notes = []
    options = Options(checkpoint_every=1000, validate_every=1000)
    out = tmp_path_factory.mktemp("run")
    return run_recipe(
        recipe, [folder], out, options=options, device="cpu", on_note=notes.append
    ), notes


def smalti_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["smalti", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_folders_tell_labels(folder, recipe):
    data = read_folder(recipe, folder)
    assert data.words.labels == ("apple", "sea_ice")
    assert data.pictures.shape[1:] == (16, 16, 3)
    held = int(data.held.sum())
    assert held == 8
    assert len(data.labels) == 3 * (85 - held) + held
    assert (data.labels == NONE).any()
    assert (data.pictures[1] == data.pictures[0][:, ::-1]).all()
    assert (data.pictures[2] != data.pictures[0]).any()
    reddish = data.pictures[data.labels == 0].mean((0, 1, 2))
    assert reddish.argmax() == 0
    assert (read_folder(recipe, folder).pictures == data.pictures).all()


def test_an_index_tells_labels_and_what_is_held_out(folder, recipe, tmp_path):
    random = np.random.default_rng(1)
    rows = [
        (f"{part}/{n}.png", "apple" if n % 4 else "")
        for part in ("train", "val")
        for n in range(40)
    ]
    for name, _ in rows:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        smalti.save(picture(random, "apple"), tmp_path / name)
    with (tmp_path / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    data = read_folder(recipe, tmp_path)
    assert data.words.labels == ("apple",)
    assert int(data.held.sum()) == 40
    assert int((data.labels[data.held] == NONE).sum()) == 10


def test_folders_that_teach_nothing_are_refused(folder, recipe, tmp_path):
    with pytest.raises(OptionError, match="no label of at least 1000"):
        read_folder(recipes.changed(recipe, ["least=1000"]), folder)
    with pytest.raises(OptionError, match=r"side=12; .* takes multiples of 8 texels"):
        run_recipe(recipes.changed(recipe, ["side=12"]), [folder], tmp_path, device="cpu")
    (tmp_path / "index.csv").write_text("name,label\n")
    with pytest.raises(OptionError, match="no columns file and label"):
        read_folder(recipe, tmp_path)
    (tmp_path / "index.csv").write_text("file,label\n" + "none.png,apple\n" * 30)
    with pytest.raises((ImageError, OSError), match=r"none\.png"):
        read_folder(recipe, tmp_path)


def test_a_model_of_colours_draws_completes_and_names(
    trained, folder, tmp_path, monkeypatch, capsys
):
    model, notes = trained
    assert "100.0% of held-out pictures named" in notes[-1]
    artist = ImageLanguageModel.from_pretrained(model)
    drawn = artist.generate("a sea_ice", 3, sampling=Sampling(seed=1))
    assert drawn.shape == (3, 16, 16, 3)
    out, done = tmp_path / "out.png", tmp_path / "done.png"
    shown = folder / "apple" / "03.png"
    assert smalti_command(monkeypatch, "draw", "an apple", out, "--model", model) == 0
    assert smalti.load(out).shape == (64, 64, 3)
    words = ("draw", "a picture", done, "--complete", shown, "--model", model)
    assert smalti_command(monkeypatch, *words, "--scale", "1") == 0
    assert smalti.load(done).shape == (16, 16, 3)
    assert smalti_command(monkeypatch, "name", shown, "--model", model) == 0
    assert "03.png: an apple, " in capsys.readouterr().out
    assert (
        json.loads((model / "config.json").read_text())["image_tokenizer"]
        == "image_tokenizer.safetensors"
    )


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_models_are_small_and_know_their_words(name):
    sizes = [path.stat().st_size for path in folder_of(name).iterdir()]
    assert sum(sizes) < 5e6
    artist = ImageLanguageModel.from_pretrained(name)
    assert 1e6 < artist.model.num_parameters() < 5e6


def test_the_captions_words_choose_the_model():
    assert ImageLanguageModel.of_caption("an airplane").channels == 3
    assert ImageLanguageModel.of_caption("a picture").words.labels == ("airplane", "car")
    assert ImageLanguageModel.of_caption("a digit").channels == 1
    with pytest.raises(
        OptionError, match=r"digits-lm knows .*; natural-lm knows an airplane, a car"
    ):
        ImageLanguageModel.of_caption("a horse")


def test_the_bundled_model_of_things_reads_what_it_drew(tmp_path, monkeypatch, capsys):
    artist = ImageLanguageModel.from_pretrained("natural-lm")
    right = 0
    for label, caption in enumerate(("an airplane", "a car")):
        drawn = artist.generate(caption, 8, sampling=Sampling(seed=77))
        right += int((artist.classify(drawn).argmax(1) == label).sum())
    assert right >= 12
    out = tmp_path / "car.png"
    assert smalti_command(monkeypatch, "draw", "a car", out, "--seed", "77") == 0
    assert smalti.load(out).shape == (256, 256, 3)
    assert smalti_command(monkeypatch, "name", out) == 0
    assert f"{out}: a" in capsys.readouterr().out

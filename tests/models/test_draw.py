"""The language model that draws digits: its data, its training, its pictures, its commands."""

import gzip
import json
import shutil
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import smalti
from smalti.artist import labelled, sequences
from smalti.artist.canvas import (
    canvas,
    centred,
    drawings,
    looks_like_a_digit,
    looks_like_ours,
    seen,
    whole,
)
from smalti.artist.language_model import ImageLanguageModel, Sampling, folder_of
from smalti.artist.train import LmTask, run_recipe
from smalti.artist.words import DIGITS, Words, words_of_things
from smalti.cli import main
from smalti.errors import ImageError, MissingExtraError, OptionError
from smalti.image import idx, to_uint8
from smalti.image.sheet import sheet
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.train import recipes
from smalti.train.loop import Interrupted, Options
from smalti.train.recipes.language import LmRecipe
from smalti.train.recipes.recipe import changed
from smalti.train.sources import Pictures

TINY = (
    *("hidden=32", "layers=1", "inner=64", "features=16", "batch=16", "steps=60"),
    *("warmup=0.1", "ema=0.8", "optimizer.lr=0.01"),
)
LEVELS = (4, 3)


def write_idx(path, values):
    sizes = b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(gzip.compress(bytes((0, 0, 8, values.ndim)) + sizes + values.tobytes()))


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """400 pictures of 28 x 28 in MNIST's files: a bright bar whose height is the label's."""
    folder = tmp_path_factory.mktemp("mnist")
    random = np.random.default_rng(0)
    labels = random.integers(10, size=400).astype(np.uint8)
    pictures = np.zeros((400, 28, 28), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[2 * label + 2 : 2 * label + 6, 4:24] = random.integers(180, 256)
    write_idx(folder / "train-images-idx3-ubyte.gz", pictures)
    write_idx(folder / "train-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A tiny language model on a tokenizer of random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("image_tokenizer") / "image_tokenizer.safetensors"
    image_tokenizer = FsqAutoencoder(FsqConfig(levels=LEVELS, width=8, blocks=1, factor=8))
    with torch.no_grad():
        image_tokenizer.encoder[-1].weight.mul_(20)  # or every picture would be of a few codes
    image_tokenizer.save_pretrained(path)
    return recipes.recipe_of("digits-lm", [*TINY, f"tokenizer={path}"])


@pytest.fixture(scope="module")
def trained(mnist, recipe, tmp_path_factory):
    """(folder of the model, losses, what was noted) of an unbroken run."""
    losses, notes = [], []
    folder = run_recipe(
        recipe,
        [mnist],
        tmp_path_factory.mktemp("whole"),
        options=Options(log_every=1, checkpoint_every=1000, validate_every=1000),
        device="cpu",
        on_step=lambda done, total, text: losses.append(text),
        on_note=notes.append,
    )
    return folder, [float(text.split()[-1]) for text in losses if "loss" in text], notes


@pytest.fixture(scope="module")
def artist(trained):
    return ImageLanguageModel.from_pretrained(trained[0])


@pytest.fixture(scope="module")
def bundled():
    return ImageLanguageModel.from_pretrained()


def smalti_command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["smalti", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


# Data.


def test_idx_pictures_are_padded_and_found_as_a_source(mnist):
    path = mnist / "train-images-idx3-ubyte.gz"
    raw, padded = idx.read(path), idx.read_pictures(path)
    assert raw.shape == (400, 28, 28)
    assert padded.shape == (400, 32, 32)
    assert (padded[:, 2:30, 2:30] == raw).all()
    assert padded.sum() == raw.sum()
    pictures = Pictures([path])
    assert len(pictures) == 400
    assert (pictures[7] == padded[7][..., None]).all()
    assert pictures[7].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins"),
        (bytes((0, 0, 13, 1, 0, 0, 0, 1)) + bytes(4), "no idx file of unsigned bytes"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 9)) + bytes(8), "holds 8 bytes, not 9"),
        (bytes((0, 0, 8, 3, 0, 0)), "begins"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 2, 1, 1)), "not of pictures"),
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, data, message):
    path = tmp_path / "x-ubyte"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message):
        idx.read_pictures(path)
    (tmp_path / "y-ubyte.gz").write_bytes(gzip.compress(bytes(100))[:-9])
    with pytest.raises(ImageError, match="cannot be read"):
        idx.read(tmp_path / "y-ubyte.gz")


def test_captions():
    words = DIGITS.tokenizer()
    assert words.decode(DIGITS.ids(words, "A Handwritten SEVEN")) == "a handwritten seven"
    assert DIGITS.caption(8) == "an eight"
    assert DIGITS.ids(words, "An eight") == DIGITS.ids(words, "a eight")
    for text in ("a horse", "", "sevens"):
        with pytest.raises(OptionError, match="does not know every word"):
            DIGITS.ids(words, text)
    things = words_of_things(("airplane", "fire_truck"))
    assert [row[0] for row in things.captions()] == ["an airplane", "a fire_truck", "a picture"]
    assert things.caption(0, 2) == "a picture of an airplane"
    tokenizer = things.tokenizer()
    assert len(things.ids(tokenizer, "a photo of a fire_truck")) == 5
    assert things.known() == "an airplane, a fire_truck, and a picture for any"
    assert Words.of_settings(json.loads(json.dumps(vars(things)))) == things


def test_sequences_hold_what_they_say(mnist, recipe):
    image_tokenizer = FsqAutoencoder.from_pretrained(recipe.tokenizer)
    data = labelled.read_mnist(mnist)
    halves = data.pictures, labelled.upper_half(data.pictures)
    codes = sequences.Codes(*(sequences.encoded(image_tokenizer, half) for half in halves))
    task = LmTask(recipe, image_tokenizer, codes, data)
    vocabulary, words = task.vocabulary, task.tokenizer
    again = task.learnt(5, 16)
    kinds = {"draw": 0, "name": 0, "complete": 0}
    length = vocabulary.length(4, 4)
    for step in range(5, 15):
        batch = task.learnt(step, 16)
        assert step > 5 or (batch.ids == again.ids).all()
        for ids, targets, weights in zip(batch.ids, batch.targets, batch.weights, strict=True):
            start = ids.tolist().index(vocabulary.start)
            assert ids[0] == words.bos_token_id
            picture = vocabulary.picture(ids).indices.numpy()
            found = [i for i in range(400) if (codes.whole[i] == picture).all()]
            asked = (targets != sequences.IGNORED).nonzero().flatten()
            assert ((targets != sequences.IGNORED) == (weights > 0)).all()
            assert (targets[asked[:-1]] == ids[asked[:-1] + 1]).all()
            assert targets[asked[-1]] == words.eos_token_id
            if start == 1:
                kinds["name"] += 1
                said = words.decode(ids[start + length : start + length + 2])
                assert said in {f"a {DIGITS.labels[data.labels[i]]}" for i in found}
                assert asked[0] == 0
                assert weights[asked[-1]] == recipe.name_weight
            elif asked[0] == start:
                kinds["draw"] += 1
                said = words.decode(ids[1:start])
                digits = {int(data.labels[i]) for i in found}
                assert said == "a digit" or any(
                    DIGITS.labels[d] in said or str(d) in said for d in digits
                )
            else:
                kinds["complete"] += 1
                assert asked[0] == start + 10  # <img_start>, two rows of four, two ends of rows
    assert min(kinds.values()) > 20
    assert kinds["draw"] > kinds["name"]


# Training.


def test_training_lowers_the_loss_and_leaves_a_model(trained, recipe):
    folder, losses, notes = trained
    assert len(losses) == recipe.steps
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])
    assert "of held-out pictures named" in notes[-1]
    held = json.loads((folder / "config.json").read_text())
    assert (held["image_tokenizer"], held["picture_grid"]) == (
        "image_tokenizer.safetensors",
        [4, 4],
    )
    assert (held["picture_channels"], held["captions"]["any"]) == (1, "a digit")


def test_an_interrupted_run_goes_on_exactly(mnist, recipe, trained, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def kill(done, total, text):
        if done == 31 and "loss" in text:
            raise Killed

    options = Options(log_every=1, checkpoint_every=10, validate_every=1000)
    with pytest.raises(Killed):
        run_recipe(recipe, [mnist], tmp_path, options=options, device="cpu", on_step=kill)
    with pytest.raises(OptionError, match="belongs to a run with seed 0, not 3"):
        run_recipe(changed(recipe, ["seed=3"]), [mnist], tmp_path, options=options, device="cpu")
    notes = []
    folder = run_recipe(
        recipe, [mnist], tmp_path, options=options, device="cpu", on_note=notes.append
    )
    assert notes[0] == "going on after step 30 of 60"
    assert (folder / "model.safetensors").read_bytes() == (
        trained[0] / "model.safetensors"
    ).read_bytes()


def test_ctrl_c_leaves_a_checkpoint(mnist, recipe, tmp_path):
    import os
    import signal

    def interrupt(done, total, text):
        if done == 3 and "loss" in text:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="after step 4 of 60"):
        run_recipe(
            recipe, [mnist], tmp_path, options=Options(log_every=1), device="cpu", on_step=interrupt
        )
    assert (tmp_path / "digits-lm" / "checkpoint-00000004.pt").is_file()


@pytest.mark.parametrize(
    "setting", ["draw=-1", "hidden=40", "steps=0", "any_caption=2", "optimizer.kind=x"]
)
def test_wrong_recipes_are_refused(setting):
    with pytest.raises(OptionError):
        recipes.recipe_of("digits-lm", [setting])


# Drawing.


def test_drawings_follow_from_the_seed_alone(artist):
    first = artist.generate("a seven", 4, sampling=Sampling(seed=5))
    assert first.shape == (4, 32, 32, 1)
    assert 0 <= first.min() <= first.max() <= 1
    assert (artist.generate("a seven", 4, sampling=Sampling(seed=5)) == first).all()
    assert np.allclose(
        artist.generate("a seven", 2, sampling=Sampling(seed=5)), first[:2], atol=1e-3
    )
    assert not np.allclose(
        artist.generate("a seven", 4, sampling=Sampling(seed=6)), first, atol=0.01
    )
    likeliest = artist.generate("the digit 7", 3, sampling=Sampling(temperature=0, guidance=1))
    assert (likeliest == likeliest[:1]).all()


def test_every_picture_is_well_formed_however_wild(artist):
    steps = []
    ids = artist._continue(
        "a digit",
        torch.full((50, 1), artist.vocabulary.start),
        Sampling(temperature=10, guidance=3),
        lambda done, total: steps.append((done, total)),
    )
    assert steps[-1] == (22, 22)
    for row in ids:
        picture = artist.vocabulary.picture(row)
        assert picture.problems == ()
        assert picture.indices.shape == (4, 4)
    assert len(ids.unique(dim=0)) == 50


def test_reading_on_equals_reading_anew(artist):
    """Sampling with a cache and two prompts, against one pass over the whole sequence."""
    sampling = Sampling(temperature=0, guidance=2)
    ids = artist._continue("a two", torch.tensor([[artist.vocabulary.start]]), sampling, None)[0]
    logits = []
    for text in ("a two", "a digit"):
        whole = torch.cat([torch.tensor(artist._prompt(text)), ids])
        with torch.inference_mode():
            logits.append(artist.model(input_ids=whole[None]).logits[0, -len(ids) - 1 : -1])
    guided = logits[1] + 2 * (logits[0] - logits[1])
    first, codes = artist.vocabulary.text_size, artist.vocabulary.codes
    for place in (1, 2, 6, 19):
        assert ids[place] == first + guided[place, first : first + codes].argmax()


def test_a_completion_keeps_the_upper_half(artist):
    pictures = np.random.default_rng(0).random((3, 32, 32, 1), np.float32)
    drawn = artist.complete(pictures, "a two")
    assert (drawn[:, :16] == pictures[:, :16]).all()
    other = pictures.copy()
    other[:, 16:] = 1
    assert (artist.complete(other, "a two") == drawn).all()
    assert artist.complete(pictures[:1]).shape == (1, 32, 32, 1)
    with pytest.raises(OptionError, match=r"\(1, 28, 28, 1\); this model sees N x 32 x 32 x 1"):
        artist.complete(np.zeros((1, 28, 28, 1), np.float32))


def test_the_trained_model_names_its_pictures(artist, mnist):
    data = labelled.read_mnist(mnist)
    chances = artist.classify(data.pictures[:50])
    assert chances.shape == (50, 10)
    assert np.allclose(chances.sum(1), 1)


@pytest.mark.parametrize(
    "wrong", [{"temperature": -1}, {"temperature": float("nan")}, {"guidance": -1}, {"seed": -1}]
)
def test_wrong_tastes_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Sampling(**wrong)


# Anybody's pictures.


def test_canvases():
    random = np.random.default_rng(0)
    white = np.ones((70, 50, 3), np.float32)
    white[20:50, 22:28] = 0  # a dark bar on white
    found = centred(white, 32)
    assert found.shape == (32, 32, 1)
    rows, columns = (found[..., 0] > 0.5).any(1).nonzero()[0], (found > 0.5).any(0).nonzero()[0]
    assert (rows.min(), rows.max()) == (6, 25)  # 20 texels high, in the middle
    assert (columns.min(), columns.max()) == (14, 17)
    digit = np.zeros((28, 28), np.uint8)
    digit[5:20, 8:12] = 255
    assert looks_like_ours(digit, 32)
    assert (canvas(digit, 32)[2:30, 2:30, 0] == digit / 255).all()
    large = canvas(digit, 32).repeat(4, 0).repeat(4, 1)
    assert looks_like_ours(large, 32)
    assert np.isclose(canvas(large[3:-3, 3:-3], 32).mean(), (digit / 255).mean(), atol=0.1)
    assert not looks_like_ours(white, 32)
    assert not looks_like_ours(np.ones((32, 32), np.float32), 32)
    with pytest.raises(ImageError, match="one brightness"):
        centred(np.ones((40, 40, 3), np.float32), 32)
    tall = centred(np.pad(np.ones((300, 2), np.float32), ((30, 30), (40, 40))), 32)
    assert tall.max() == 1
    assert sheet(random.random((5, 32, 32, 1), np.float32), 2).shape == (128, 192, 1)
    pictures = random.random((2, 8, 8, 3), np.float32)
    assert (sheet(pictures)[:, 8:] == pictures[1]).all()
    photo = random.random((70, 50, 3), np.float32)
    assert [looks_like_a_digit(x) for x in (digit, white, photo)] == [True, True, False]
    assert seen(photo, 3, 32).shape == whole(photo, 3, 32).shape == (32, 32, 3)
    assert (seen(white, 1, 32) == centred(white, 32)).all()
    assert (whole(white, 1, 32) == canvas(white, 32)).all()


# The bundled model.


def test_the_bundled_model_reads_what_it_drew(bundled):
    right = 0
    for digit in range(10):
        drawn = bundled.generate(DIGITS.caption(digit), 4, sampling=Sampling(seed=77))
        right += int((bundled.classify(drawn).argmax(1) == digit).sum())
    assert right >= 36


def test_commands(tmp_path, monkeypatch, capsys, bundled):
    out, done = tmp_path / "seven.png", tmp_path / "done.png"
    assert smalti_command(monkeypatch, "draw", "a seven", out, "--seed", "77") == 0
    assert smalti.load(out).shape == (128, 128)
    assert smalti_command(monkeypatch, "name", out) == 0
    assert f"{out}: a seven, " in capsys.readouterr().out
    assert smalti_command(monkeypatch, "draw", "a 7", done, "--complete", out, "--scale", "4") == 0
    kept, shown = (smalti.load(path)[:64].astype(int) for path in (done, out))
    assert np.abs(kept - shown).max() <= 5
    assert smalti_command(monkeypatch, "draw", "a seven", out) == 1
    assert "--force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["draw", "a horse", "x.png"],
            "knows every word of 'a horse'; digits-lm knows .*a seven.*natural-lm",
        ),
        (["draw", "a two", "x.txt"], "no picture to write"),
        (["draw", "a two", "x.png", "--count", "0"], "0 pictures; a sheet has 1 .. 1024"),
        (["draw", "a two", "x.png", "--scale", "0"], "scale 0"),
        (["draw", "a two", "x.png", "--temperature", "-1"], "temperature -1"),
        (["draw", "a two", "x.png", "--model", "nowhere"], "no model in nowhere"),
        (["draw", "a two", "x.png", "--complete", "none.png"], "none.png"),
        (["name"], "name at least one picture"),
        (["name", "none.png"], "none.png"),
        (["draw", "a car", "x.png", "--model", "digits-lm"], "does not know every word of 'a car'"),
        (["train", "digits-lm"], "learns from one folder"),
        (["train", "natural-lm", "--data", "nowhere"], "nowhere is no folder"),
        (
            ["train", "digits-lm", "--data", "nowhere"],
            "no train-images-idx3-ubyte or train-images-idx3-ubyte.gz",
        ),
        (["train", "digit-lm"], "is digits-lm meant"),
    ],
)
def test_wrong_commands_are_answered_in_a_sentence(words, message, tmp_path, monkeypatch, capsys):
    import re

    monkeypatch.chdir(tmp_path)
    assert smalti_command(monkeypatch, *words) == 1
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert "Traceback" not in said
    assert not list(tmp_path.glob("*.png"))


def test_a_sheet_is_taken_apart_into_its_drawings():
    random = np.random.default_rng(0)
    cells = random.random((5, 32, 32, 1), np.float32)
    shown = drawings(to_uint8(sheet(cells, 4)), 32)
    assert len(shown) == 5
    for cell, drawn in zip(cells, shown, strict=True):
        np.testing.assert_array_equal(drawn, to_uint8(cell))
    for alone in (sheet(cells[:1], 4), random.random((384, 384, 1)), np.zeros((32, 32, 3))):
        assert len(drawings(to_uint8(alone.astype(np.float32)), 32)) == 1


def test_what_was_drawn_on_one_sheet_is_named_drawing_by_drawing(
    trained, tmp_path, monkeypatch, capsys
):
    out, model = tmp_path / "sheet.png", str(trained[0])
    assert smalti_command(monkeypatch, "draw", "a two", out, "--count", "9", "--model", model) == 0
    capsys.readouterr()
    smalti_command(monkeypatch, "name", out, "--model", model)
    said = capsys.readouterr()  # a model of a few steps may leave a drawing black
    lines = [*said.out.splitlines(), *said.err.replace("smalti: ", "").splitlines()]
    assert {line.partition(":")[0] for line in lines} == {
        f"{out}, drawing {n}" for n in range(1, 10)
    }


def test_a_picture_to_complete_is_looked_for_before_any_model(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ImageLanguageModel, "of_caption", lambda *_, **__: pytest.fail("loaded"))
    assert smalti_command(monkeypatch, "draw", "a two", "x.png", "--complete", "none.png") == 1
    assert capsys.readouterr().err == "smalti: none.png: no such file\n"


def test_damaged_models_are_refused(trained, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained[0], folder)
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(OptionError, match="cannot be loaded"):
        ImageLanguageModel.from_pretrained(folder)


def test_without_transformers_a_sentence_says_what_to_install(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'smalti\[tokens\]'"):
        ImageLanguageModel.from_pretrained(trained[0])


def test_the_shipped_files_are_small():
    sizes = [path.stat().st_size for path in folder_of("digits-lm").iterdir()]
    assert sum(sizes) < 5e6
    assert LmRecipe().tokenizer == "fsq-digits"

"""Training resamplers and diffusers: recipes, their data, steps, resuming."""

import struct

import numpy as np
import pytest
import torch

from smalti import models
from smalti.errors import ImageError, OptionError
from smalti.image import save
from smalti.models.diffuser import Diffuser
from smalti.models.layers.fields import centres
from smalti.models.resampler import Resampler
from smalti.train import recipes
from smalti.train.field_data import Digits
from smalti.train.loop import Options
from smalti.train.recipes.fields import FIELD_RECIPES
from smalti.train.run import run_recipe
from smalti.train.steps.fields import latents, lines, parts

TINY = ("model.width=16", "model.heads=2", "batch=2")
DIGITS = (*TINY, "model.latent_channels=3", "model.atoms=4", "model.texel_width=8", "texels=4")
QUIET = Options(precision="no", workers=0, checkpoint_every=1, validate_every=100)


def write_idx(path, values):
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """Bars at places that the label says, in MNIST's files."""
    folder = tmp_path_factory.mktemp("mnist")
    for part, count in (("train", 30), ("t10k", 12)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pictures = np.zeros((count, 28, 28), np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            picture[4:24, 4 + 2 * label : 6 + 2 * label] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte", pictures)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def train(name, settings, data, out, steps):
    recipe = recipes.recipe_of(name, [*settings, f"steps={steps}"])
    return run_recipe(recipe, data, out, options=QUIET, device="cpu")


@pytest.fixture(scope="module")
def image_tokenizer(mnist, tmp_path_factory):
    return train("r2ir-mnist", DIGITS, [mnist], tmp_path_factory.mktemp("image_tokenizer"), 3)


def test_a_resampler_of_digits_follows_the_spread_of_its_latents(image_tokenizer, mnist):
    model = models.load(image_tokenizer)
    assert isinstance(model, Resampler)
    assert not torch.equal(model.deviation, torch.ones(3))
    assert not torch.equal(model.mean, torch.zeros(3))
    x = 2 * Digits(mnist, "test", 32).pictures.float() / 255 - 1
    z = latents(model, x, centres(4)[None], centres(4)[None])
    assert torch.allclose(z, model.encode(x), atol=1e-5)


def test_a_diffuser_learns_that_resamplers_latents(image_tokenizer, mnist, tmp_path):
    settings = (
        *TINY,
        "model.latent_channels=3",
        "model.blocks=1",
        f"model.autoencoder={image_tokenizer}",
    )
    path = train("r2id-mnist", settings, [mnist], tmp_path, 2)
    model = models.load(path)
    assert isinstance(model, Diffuser)
    assert model.config.autoencoder == str(image_tokenizer)
    assert list((tmp_path / "r2id-mnist" / "validation").glob("*.png"))
    with pytest.raises(
        OptionError, match=r"has 4 cells of 3 numbers, not 4 of 16; set model\.cells"
    ):
        train("r2id-mnist", settings[:-3] + settings[-1:], [mnist], tmp_path / "b", 1)


def test_photographs_are_seen_at_half_their_size_as_well(tmp_path):
    random = np.random.default_rng(0)
    for i in range(2):
        levels = random.integers(0, 256, (40, 48, 3), np.uint8)
        save(levels, tmp_path / f"{i}.png")
    settings = (*DIGITS, "model.frame=16", "model.cells=2")
    path = train("r2ir-photos", settings, [tmp_path], tmp_path, 3)
    model = models.load(path)
    assert model.grid(33, 16) == (5, 2)
    assert not torch.equal(model.log_scale, torch.zeros(3))  # the rate was learnt


def test_a_resumed_run_is_the_unbroken_one(mnist, tmp_path):
    whole = models.load(train("r2ir-mnist", DIGITS, [mnist], tmp_path / "a", 3)).state_dict()
    folder = tmp_path / "b" / "r2ir-mnist"
    train("r2ir-mnist", DIGITS, [mnist], tmp_path / "b", 3)
    for newest in (folder / "checkpoint-00000003.pt", folder / "r2ir-mnist.safetensors"):
        newest.unlink()
    again = models.load(train("r2ir-mnist", DIGITS, [mnist], tmp_path / "b", 3)).state_dict()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_parts_lie_in_the_frame_and_have_the_footprints_they_say():
    torch.manual_seed(0)
    ys, xs, height, width = parts(200, 6, 32, 1.0)
    for at, side in ((ys, height), (xs, width)):
        assert at.abs().max() <= 0.5 + 0.5 / 32 + 1e-6
        inner = at.abs().amax(1) < 0.5
        assert torch.allclose(at[inner].diff(dim=1), side[inner].expand(-1, 5), atol=1e-6)
    octaves = -height.log2()
    assert octaves.min() > 2.6
    assert octaves.max() < 6.4
    assert ((octaves - 5).abs() < 0.6).float().mean() > 0.5


def test_lines_are_displaced_within_their_part_of_the_frame():
    torch.manual_seed(0)
    assert torch.equal(lines(4, 0.0), centres(4)[None])
    moved = lines(4, 1.0)
    assert (moved - centres(4)).abs().max() <= 0.125
    assert (moved.diff() > 0).all()


@pytest.mark.parametrize("name", FIELD_RECIPES)
def test_recipes_say_how_to_run_them(name):
    recipe = FIELD_RECIPES[name]()
    assert recipe.name == name
    assert f"smalti train {name} --data" in FIELD_RECIPES[name].__doc__
    assert type(recipe.build().config) is type(recipe.model)


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("r2ir-mnist", "rate=0.1", r"rate=0\.1 with model\.places=6"),
        ("r2ir-photos", "model.places=4", r"rate=0\.005 with model\.places=4"),
        ("r2ir-mnist", "model.heads=0", "heads=0; it must be at least 1"),
        ("r2ir-mnist", "model.places=-1", "places=-1"),
        ("r2ir-mnist", "model.channels=2", r"model\.channels=2"),
        ("r2ir-mnist", "texels=-1", "texels=-1"),
        ("r2ir-photos", "sharper=0", "sharper=0"),
        ("r2id-mnist", "model.cells=0", "cells=0"),
        ("r2id-mnist", "model.heads=3", "width=128; it is a multiple of heads=3"),
    ],
)
def test_recipes_refuse_what_no_model_has(name, setting, message):
    with pytest.raises(OptionError, match=message):
        recipes.recipe_of(name, [setting])


def test_a_diffuser_refuses_other_labels_and_other_latents(image_tokenizer, mnist, tmp_path):
    small = (*TINY, "model.latent_channels=3", "model.blocks=1")
    settings = (*small, f"model.autoencoder={image_tokenizer}", "model.classes=5")
    with pytest.raises(OptionError, match=r"labels up to 9; set model\.classes above"):
        train("r2id-mnist", settings, [mnist], tmp_path, 1)
    with pytest.raises(OptionError, match="r2ir-photos is a resampler of photographs"):
        train("r2id-mnist", (*small, "model.autoencoder=r2ir-photos"), [mnist], tmp_path, 1)


def test_missing_and_damaged_data_are_sentences(mnist, tmp_path):
    recipe = recipes.recipe_of("r2ir-mnist", DIGITS)
    with pytest.raises(OptionError, match="r2ir-mnist learns from MNIST; name the folder"):
        run_recipe(recipe, [], tmp_path)
    with pytest.raises(OptionError, match="no t10k-images-idx3-ubyte or t10k-images"):
        run_recipe(recipe, [tmp_path], tmp_path)
    for path in mnist.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(7, np.uint8))
    with pytest.raises(ImageError, match=r"pictures \(30, 28, 28\), labels \(7,\)"):
        run_recipe(recipe, [tmp_path], tmp_path)
    with pytest.raises(OptionError, match="jitter=2"):
        recipes.recipe_of("r2ir-mnist", ["jitter=2"])

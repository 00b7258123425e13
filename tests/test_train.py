"""Training: the loss falls, and a resumed run goes on exactly."""

import dataclasses

import numpy as np
import pytest
import torch

from smalti import image
from smalti.errors import ImageError, OptionError
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.rgba import RgbaAutoencoder, RgbaConfig
from smalti.train import recipes
from smalti.train.data import Boxes, Crops
from smalti.train.loop import learning_rate_scale, train

SMALL = {
    "fsq-1m": lambda: FsqAutoencoder(FsqConfig(width=16, blocks=1)),
    "rgba-boxes": lambda: RgbaAutoencoder(RgbaConfig(width=8)),
}


@pytest.fixture
def pictures(tmp_path, picture):
    images = np.stack([(picture(3, 40, 40, seed).numpy() * 255).astype("u1") for seed in range(8)])
    np.savez(tmp_path / "pictures.npz", images=images)
    return tmp_path / "pictures.npz"


def small(name, steps):
    recipe = recipes.RECIPES[name]()
    return dataclasses.replace(recipe, model=SMALL[name], steps=steps, batch=4, side=32)


def batches(name, source):
    """Two batches of four pictures, over and over."""
    all_ = Crops([source], side=32, batch=4) if name == "fsq-1m" else Boxes(side=32, batch=4)
    two = [all_(0), all_(1)]
    return lambda step: two[step % 2]


STEPS = {"fsq-1m": 20, "rgba-boxes": 80}  # boxes start on a plateau


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", list(SMALL))
def test_the_loss_falls_and_a_killed_run_resumes_exactly(name, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("smalti.train.loop.CHECKPOINT_EVERY", 5)
    recipe, whole, resumed = small(name, STEPS[name]), [], []
    train(
        recipe,
        batches(name, pictures),
        tmp_path / "whole",
        on_step=lambda done, total, loss: whole.append(loss),
    )

    def killer(done, total, loss):
        if done == 12:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, batches(name, pictures), tmp_path / "killed", on_step=killer)
    train(
        recipe,
        batches(name, pictures),
        tmp_path / "killed",
        on_step=lambda done, total, loss: resumed.append(loss),
    )
    assert np.mean(whole[-5:]) < 0.9 * np.mean(whole[:5])
    assert resumed == whole[10:]
    file = f"{name}.safetensors"
    first, second = (tmp_path / run / file for run in ("whole", "killed"))
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(OptionError, match=r"with steps \d+, not 99"):
        train(small(name, 99), batches(name, pictures), tmp_path / "whole")


def test_batches_follow_from_the_step_number(pictures):
    crops = Crops([pictures], side=24, batch=3, seed=1)
    assert torch.equal(crops(7), crops(7))
    assert not torch.equal(crops(7), crops(8))
    boxes = Boxes(side=24, batch=3, seed=1)
    assert torch.equal(boxes(7), boxes(7))
    assert boxes(7).shape == (3, 4, 24, 24)
    assert 0 <= boxes(7).min() <= boxes(7).max() <= 1


def test_a_folder_of_pictures_of_every_kind(tmp_path, picture):
    (tmp_path / "deep").mkdir()
    for channels, name in enumerate(("a.png", "b.tif", "deep/c.webp", "d.png"), start=1):
        image.save(picture(channels, 30, 40), tmp_path / name)
    crops = Crops([tmp_path], side=30, batch=5)
    assert len(crops.pictures) == 4
    assert crops(0).shape == (5, 3, 30, 30)


def test_pictures_that_are_too_small_are_an_error(pictures):
    with pytest.raises(ImageError, match=r"none of the 8 pictures .* at least 41 x 41"):
        Crops([pictures], side=41, batch=1)


def test_learning_rate_warms_up_and_ends_near_zero():
    recipe = small("fsq-1m", 100)
    scales = [learning_rate_scale(step, recipe) for step in range(100)]
    assert max(scales) == 1.0
    assert scales[0] == pytest.approx(0.2)
    assert scales[-1] < 1e-3


def test_recipes_refuse_wrong_data(tmp_path):
    with pytest.raises(OptionError, match="unknown recipe 'x'; known: fsq-1m, rgba-boxes"):
        recipes.run("x", [], tmp_path)
    with pytest.raises(OptionError, match="--data"):
        recipes.run("fsq-1m", [], tmp_path)
    with pytest.raises(OptionError, match="takes no --data"):
        recipes.run("rgba-boxes", [tmp_path], tmp_path)

"""Variants of the patch autoencoder: two stages, one of them frozen, and their recipes."""

import dataclasses

import pytest
import torch

import smalti
from smalti.errors import OptionError, WeightsError
from smalti.models.patch.init import linear_init
from smalti.models.patch.model import PatchAutoencoder, PatchConfig
from smalti.models.patch.stages import StackedConfig, StackedPatchAutoencoder
from smalti.train import recipes
from smalti.train.loop import Options
from smalti.train.optimizers import hidden_weights
from smalti.train.recipes.patch import PATCH_VARIANTS
from smalti.train.recipes.recipe import Optimization
from smalti.train.run import run_recipe

from conftest import make_picture, make_tensor

FIRST = PatchConfig(latent_channels=4, width=32, features=8, patch=4)
SECOND = PatchConfig(latent_channels=6, width=48, patch=2, decoder="simple", channels=4)
SMALL = StackedConfig(FIRST, SECOND)  # 8 x 8 texels to 6 numbers


def patches(side: int) -> torch.Tensor:
    x = 2 * make_tensor(3, 160, 240) - 1
    return x.unfold(1, side, side).unfold(2, side, side).permute(1, 2, 0, 3, 4).flatten(0, 1)


@pytest.fixture
def first(tmp_path):
    """A first stage's weights: the linear code of 4 x 4 patches."""
    torch.manual_seed(0)
    model = PatchAutoencoder(FIRST)
    linear_init(model, patches(4))
    path = tmp_path / "first.safetensors"
    model.save_pretrained(path)
    return path


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        smalti.save(make_picture(3, 64, 80, seed=i), tmp_path / "pictures" / f"{i}.png")
    return tmp_path / "pictures"


def test_two_stages_are_one_after_the_other(first):
    model = StackedPatchAutoencoder(SMALL).eval()
    model.load_first(first)
    model.set_gains(patches(8)[:16])
    assert (model.factor, model.channels) == (8, 3)
    x = torch.rand(2, 3, 21, 32) * 2 - 1
    with torch.no_grad():
        z = model.encode(x)
        assert z.shape == (2, 6, 3, 4)
        y = model.first.encode(x) * model.gains
        assert torch.allclose(model.second.encode(y), z)
        x_hat = model.first.decode(model.second.decode(z) / model.gains)
        assert torch.equal(model(x), x_hat[:, :, :21])


def test_gains_make_errors_of_latents_those_of_pictures(first):
    model = StackedPatchAutoencoder(SMALL).eval()
    model.load_first(first)
    x = patches(32)
    model.set_gains(x[:16])
    with torch.no_grad():
        y = model.between(x)
        moved = y + 0.02 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        change = model.first.decode(moved / model.gains) - model.first.decode(y / model.gains)
    ratio = change.square().mean() / (moved - y).square().mean()
    assert 0.9 < ratio < 1.1


def test_the_linear_beginning_of_the_second_stage(first):
    """As many numbers as latents lose nothing; fewer lose what the KLT of the latents loses."""
    x, lost = patches(8), {}
    for channels in (16, 6):
        torch.manual_seed(0)
        second = PatchConfig(
            latent_channels=channels, width=48, patch=2, decoder="simple", channels=4
        )
        model = StackedPatchAutoencoder(StackedConfig(FIRST, second)).eval()
        model.load_first(first)
        linear_init(model, x)
        with torch.no_grad():
            y = model.between(x)
            lost[channels] = (model.second(y) - y).square().mean().item()
    assert lost[16] < 1e-9
    flat = y.flatten(1).double()
    spectrum = torch.linalg.svdvals(flat - flat.mean(0)).square()
    assert lost[6] == pytest.approx(spectrum[6:].sum().item() / flat.numel(), rel=1e-3)


def test_weights_hold_both_stages(first, tmp_path):
    model = StackedPatchAutoencoder(SMALL).eval()
    model.load_first(first)
    model.set_gains(patches(8)[:16])
    path = tmp_path / "both.safetensors"
    model.save_pretrained(path, dtype=torch.float32)
    loaded = smalti.load_model(path)
    assert isinstance(loaded, StackedPatchAutoencoder)
    assert loaded.config == SMALL
    expected, held = model.state_dict(), loaded.state_dict()
    assert expected.keys() == held.keys()
    assert all(torch.equal(expected[key], held[key]) for key in held)


@pytest.mark.parametrize("latent_loss", [True, False])
def test_training_moves_the_second_stage_alone(first, pictures, tmp_path, latent_loss):
    config = StackedConfig(FIRST, dataclasses.replace(SECOND, latent_channels=16))
    recipe = dataclasses.replace(
        recipes.recipe_of("patch-d32c64"),
        model=config,
        frozen=str(first),
        latent_loss=latent_loss,
        side=32,
        batch=4,
        steps=45,
        linear_init=False,
        optimizer=Optimization(lr_muon=0.02),
    )
    losses = []
    path = run_recipe(
        recipe,
        [pictures],
        tmp_path / "run",
        validate_on=[pictures],
        options=Options(workers=0, log_every=1),
        device="cpu",
        on_step=lambda _done, _total, text: losses.append(float(text.removeprefix("loss "))),
    )
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])
    trained, frozen = smalti.load_model(path), PatchAutoencoder.from_pretrained(first)
    pairs = zip(trained.first.parameters(), frozen.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_muon_leaves_frozen_weights_alone():
    model = StackedPatchAutoencoder(SMALL)
    ours = {id(p) for p in model.second.parameters()}
    hidden = hidden_weights(model)
    assert hidden
    assert all(id(weight) in ours for weight in hidden)


def test_recipes_build_what_they_say():
    numbers = {}
    for name, make in PATCH_VARIANTS.items():
        with torch.device("meta"):
            model = make().build()
        side = make().side
        z = model.encode(torch.zeros(1, 3, side, side, device="meta"))
        assert model.decode(z).shape[-2:] == (side, side)
        numbers[name] = z.numel() / side**2
    assert numbers == {
        "patch-1x1": 0.25,
        "patch-simple": 0.25,
        "patch-d32c256": 0.25,
        "patch-d32c64": 0.0625,
        "patch-naive32": 0.0625,
    }


def test_what_does_not_fit_is_refused(first):
    with pytest.raises(OptionError, match=r"second.channels=3; the latents .* have 16 channels"):
        StackedConfig(second=PatchConfig(patch=4))
    with pytest.raises(OptionError, match="frozen and latent_loss are for models of two stages"):
        recipes.recipe_of("patch-1x1", ["latent_loss=true"])
    with pytest.raises(OptionError, match="has PatchConfig"):
        StackedPatchAutoencoder().load_first(first)
    with pytest.raises(WeightsError):
        StackedPatchAutoencoder().load_first("fsq-1m")

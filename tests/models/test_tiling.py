"""Exact tiling: a picture by parts is the picture at once, for every trained model."""

import pytest
import torch

from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.layers import fsq
from smalti.models.patch.fast import FastPatchAutoencoder
from smalti.models.patch.model import DECODERS, PatchAutoencoder, PatchConfig
from smalti.models.rgba import RgbaAutoencoder, RgbaConfig


@pytest.mark.parametrize("decoder", DECODERS)
def test_tiles_with_their_halo_are_exact_and_smaller_halos_are_not(decoder):
    torch.manual_seed(0)
    config = PatchConfig(decoder=decoder, latent_channels=4, width=32, features=8)
    model = PatchAutoencoder(config).eval().requires_grad_(False)
    whole, tiled = FastPatchAutoencoder(model), FastPatchAutoencoder(model, tile=3)
    x = torch.rand(2, 3, 75, 110) * 2 - 1
    z = whole.encode(x)
    x_hat = whole.decode(z, (75, 110))
    assert (tiled.encode(x) - z).abs().max() < 1e-6
    assert (tiled.decode(z, (75, 110)) - x_hat).abs().max() < 2e-6
    assert tiled.halo == (0 if decoder == "1x1" else 2)
    if tiled.halo:
        tiled.halo -= 1
        assert (tiled.decode(z, (75, 110)) - x_hat).abs().max() > 1e-3


def test_rgba_tiles_are_exact():
    torch.manual_seed(0)
    model = RgbaAutoencoder(RgbaConfig(width=8)).eval().requires_grad_(False)
    x = torch.rand(2, 4, 80, 112)
    z = model.encode(x)
    assert (model.encode(x, tile=2) - z).abs().max() < 1e-6
    assert (model.decode(z, tile=2) - model.decode(z)).abs().max() < 1e-6


@pytest.mark.parametrize("factor", [2, 4])
def test_fsq_tiles_are_equal_although_its_norms_see_everything(factor):
    torch.manual_seed(0)
    model = FsqAutoencoder(FsqConfig(width=16, factor=factor)).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter += 0.3 * torch.randn_like(parameter)
    x = torch.rand(2, 3, 40, 72) * 2 - 1
    digits = model.digits(x)
    z = model.encoder(x)
    # a number on the edge between two levels may fall to either side
    inside = (fsq.to_digits(z - 1e-4, (8, 8, 8, 6, 5)) == digits) & (
        fsq.to_digits(z + 1e-4, (8, 8, 8, 6, 5)) == digits
    )
    assert inside.float().mean() > 0.99
    assert torch.equal(model.digits(x, tile=5)[inside], digits[inside])
    assert (model.from_digits(digits, tile=5) - model.from_digits(digits)).abs().max() < 1e-5


def test_fsq_tiles_keep_no_gradients_and_leave_the_picture_alone():
    model = FsqAutoencoder(FsqConfig(width=16))
    x = torch.rand(1, 3, 12, 20)
    before = x.clone()
    digits = model.digits(x, tile=3)
    assert not model.from_digits(digits, tile=3).requires_grad
    assert torch.equal(x, before)

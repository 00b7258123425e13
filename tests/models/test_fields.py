"""Coordinates, windowed cosines, what texels of any size see, and noise over a field."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from smalti.diffusion.noise import noise, spread
from smalti.models.layers.fields import (
    analyse,
    atoms,
    centres,
    mass,
    near,
    reading,
    spans,
    synthesise,
    waves,
)


def test_texels_lie_at_their_centres():
    assert centres(4).tolist() == [-0.375, -0.125, 0.125, 0.375]
    assert centres(1).tolist() == [0.0]
    assert centres(2, 3.0).tolist() == [-0.75, 0.75]
    assert torch.equal(centres(96)[1::3], centres(32))  # nested grids share their points


def test_windows_of_atoms_sum_to_one_at_points_a_radius_apart():
    at = torch.linspace(-1, 1, 41)
    points = torch.arange(-2.0, 3.0)
    window = atoms(at[:, None] - points, radius=1.0, count=3)[..., 0]
    assert torch.allclose(window.sum(1), torch.ones(41), atol=1e-6)


def test_a_large_footprint_sees_no_fine_wave():
    d = torch.linspace(-0.9, 0.9, 50)
    point, texel = (atoms(d, radius=1.0, count=12, footprint=side) for side in (0.0, 1.0))
    omega = math.pi * 11 / 2
    damping = math.sin(omega / 2) / (omega / 2)
    assert torch.allclose(texel[:, 11], point[:, 11] * damping, atol=1e-5)
    assert torch.equal(texel[:, 0], point[:, 0])


def test_waves_are_damped_each_along_its_axis():
    rows, columns = centres(3)[None], centres(5)[None]
    plain = waves(rows, columns, count=4)
    assert plain.shape == (1, 3, 5, 16)
    damped = waves(rows, columns, count=4, footprint=(0.0, 0.5))
    assert torch.equal(damped[..., :8], plain[..., :8])
    assert damped[..., 11].abs().max() < plain[..., 11].abs().max()


@pytest.mark.parametrize("size", [(20, 11), (32, 32), (64, 40)])
def test_reading_is_an_antialiased_bicubic_resize(size):
    random = np.random.default_rng(0)
    picture = random.random((32, 32), np.float32)
    height, width = size
    down = reading(centres(height), torch.tensor([1 / height]), 32)
    across = reading(centres(width), torch.tensor([1 / width]), 32)
    read = (down @ torch.from_numpy(picture) @ across.T).numpy()
    expected = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    inside = (slice(4, -4), slice(4, -4))  # Pillow leaves out what lies beyond the edge
    assert np.abs(read - np.asarray(expected))[inside].max() < 1e-5
    assert torch.allclose(down.sum(1), torch.ones(height), atol=1e-5)


def test_analysis_is_the_sum_it_says_it_is():
    torch.manual_seed(0)
    x, ys, xs = torch.rand(2, 3, 9, 7), centres(9), centres(7)
    rows, columns = torch.tensor([[-0.3, 0.2]]), torch.tensor([[0.1]])
    seen = analyse(x, ys, xs, rows, columns, radius=0.4, count=3).view(2, 2, 1, 3, 3, 3)
    down, across = (
        atoms(source - at, radius=0.4, count=3) for source, at in ((ys, 0.2), (xs, 0.1))
    )
    assert torch.allclose(
        seen[1, 1, 0, 2], (down.T @ x[1, 2] @ across), atol=1e-6
    )  # picture 1, row 1, channel 2
    assert torch.allclose(mass(rows, ys, radius=0.4, count=3)[0, 1], down.sum(0), atol=1e-6)


def test_synthesis_is_the_mean_it_says_it_is():
    torch.manual_seed(0)
    rows, columns = torch.tensor([[-0.3, 0.2]]), torch.tensor([[-0.2, 0.1]])
    coefficients = torch.randn(1, 2, 2, 3, 3, 4)
    y, x = 0.05, -0.1
    drawn = synthesise(
        coefficients,
        rows,
        columns,
        torch.tensor([[y]]),
        torch.tensor([[x]]),
        (0.1, 0.0),
        (0.6, 0.6),
    )
    total, weights = torch.zeros(4), 0.0
    for i, row in enumerate(rows[0]):
        for j, column in enumerate(columns[0]):
            down = atoms(y - row, radius=0.6, count=3, footprint=0.1)
            across = atoms(x - column, radius=0.6, count=3)
            total += torch.einsum("a,k,akr->r", down, across, coefficients[0, i, j])
            weights += down[0] * across[0]
    assert torch.allclose(drawn[0, 0, 0], total / weights, atol=1e-5)


def test_near_and_spans():
    points = centres(10)
    assert near(points, torch.tensor([0.0]), 0.16) == slice(3, 7)
    assert near(points, torch.tensor([5.0]), 0.1).start == 10
    assert [*spans(7, 3)] == [slice(0, 3), slice(3, 6), slice(6, 7)]


def test_noise_is_white_at_the_knots_and_of_unit_variance_between_them():
    assert torch.allclose(spread(centres(4)[None], 4)[0, :, 1:5], torch.eye(4), atol=1e-6)
    at = torch.linspace(-0.5, 0.5, 33)[None]
    assert torch.allclose(spread(at, 4).square().sum(-1), torch.ones(1, 33), atol=1e-6)
    knots = torch.randn(2, 3, 6, 6)
    own = noise(knots, centres(4)[None], centres(4)[None])
    assert torch.allclose(own, knots[:, :, 1:5, 1:5], atol=1e-6)
    nested = noise(knots, centres(12)[None], centres(12)[None])
    assert torch.allclose(nested[:, :, 1::3, 1::3], own, atol=1e-6)

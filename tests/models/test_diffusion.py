"""Schedules, samplers and the diffuser."""

import pytest
import torch

from smalti.diffusion import sample
from smalti.diffusion.noise import first
from smalti.diffusion.samplers import SAMPLERS, sampler_of
from smalti.diffusion.sampling import Guided
from smalti.diffusion.schedule import shift_of, times
from smalti.errors import OptionError
from smalti.models.diffuser import Diffuser, DiffuserConfig, time_waves
from smalti.models.layers.fields import centres

TINY = DiffuserConfig(latent_channels=3, width=32, blocks=2, heads=2, film=16)


@pytest.fixture
def diffuser():
    """With weights in place of those that begin as zero, so that nothing is left out."""
    torch.manual_seed(0)
    model = Diffuser(TINY).eval().requires_grad_(False)
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(std=0.1)
    return model


def test_times_and_their_shift():
    assert times(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    plain, shifted = times(8)[1:-1], times(8, shift=2.0)[1:-1]
    snr = [torch.log((1 - t) / t) for t in (plain, shifted)]
    assert torch.allclose(snr[0] - snr[1], torch.log(torch.tensor(2.0)).double().expand(7))
    assert shift_of("white", (8, 8), 4) == 2.0
    assert shift_of("field", (8, 8), 4) == 1.0
    with pytest.raises(OptionError, match="0 steps"):
        times(0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_carry_a_gaussian_to_a_gaussian(name):
    """Latents of mean 2 and deviation 0.5: the expected latents are known in closed form."""
    torch.manual_seed(0)
    mean, deviation = 2.0, 0.5

    def denoise(x, t):
        gain = deviation**2 * (1 - t) / ((1 - t) ** 2 * deviation**2 + t**2)
        return mean + gain * (x - (1 - t) * mean)

    x = torch.randn(4096)
    exact = mean + deviation * x  # the path of each point is known as well
    errors = [
        (sampler_of(name)(denoise, x.double(), times(n)) - exact).abs().max() for n in (10, 40, 160)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < (0.02 if name == "ddim" else 0.003)
    order = (errors[1] / errors[2]).log2() / 2
    assert order > (0.8 if name == "ddim" else 1.4)


def test_an_unknown_sampler_is_a_sentence():
    with pytest.raises(OptionError, match=r"no sampler 'euler'; known: ddim, heun, dpm\+\+2m"):
        sampler_of("euler")


def test_steps_are_told():
    told = []
    SAMPLERS["heun"](lambda x, t: x * 0, torch.ones(1), times(3), lambda *n: told.append(n))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_time_is_told_by_its_log_snr():
    waves = time_waves(torch.tensor([0.0, 1e-9, 0.5, 1.0]))
    assert waves.isfinite().all()
    assert torch.equal(waves[0], waves[1])  # beyond what is told apart
    assert not torch.allclose(waves[0], waves[3])


def test_the_diffuser_begins_with_no_velocity_and_learns():
    torch.manual_seed(0)
    model = Diffuser(TINY)
    x, t = torch.randn(2, 3, 4, 4), torch.tensor([0.2, 0.9])
    v = model(x, t, model.conditions(torch.tensor([3, 10])))
    assert v.shape == x.shape
    assert not v.any()
    (v - x).square().mean().backward()
    assert model.leave.weight.grad.abs().sum() > 0


def test_pictures_follow_from_the_seed_and_their_number(diffuser):
    labels = torch.tensor([1, 2, 3])
    z = sample(diffuser, labels, (4, 4), steps=3, seed=5)
    assert z.shape == (3, 3, 4, 4)
    assert torch.allclose(sample(diffuser, labels[:2], (4, 4), steps=3, seed=5), z[:2], atol=1e-5)
    assert not torch.allclose(sample(diffuser, labels, (4, 4), steps=3, seed=6), z)
    other = sample(diffuser, torch.tensor([1, 2, 7]), (4, 4), steps=3, seed=5)
    assert torch.allclose(other[:2], z[:2], atol=1e-5)
    assert not torch.allclose(other[2], z[2])


def test_many_latents_are_drawn_in_small_batches(diffuser, monkeypatch):
    labels = torch.tensor([1, 2, 3])
    whole = sample(diffuser, labels, (4, 4), steps=2, seed=5)
    monkeypatch.setattr("smalti.diffusion.sampling.MOST_TOKENS", 20)
    told = []
    parts = sample(
        diffuser, labels, (4, 4), steps=2, seed=5, on_step=lambda *step: told.append(step)
    )
    assert torch.allclose(parts, whole, atol=1e-5)
    assert told == [(n, 6) for n in range(1, 7)]


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (4, 10), (1, 1)])
@pytest.mark.parametrize("noise", ["field", "white"])
def test_any_size_of_latents(diffuser, size, noise):
    z = sample(diffuser, torch.tensor([10]), size, steps=2, noise=noise)
    assert z.shape == (1, 3, *size)
    assert z.isfinite().all()


def test_one_seed_is_one_field_of_noise():
    def at(n):
        return first("field", 7, 2, 3, 4, centres(n)[None], centres(n)[None])

    assert torch.allclose(at(12)[:, :, 1::3, 1::3], at(4), atol=1e-6)


def test_guidance_and_its_interval(diffuser):
    x, labels, line = torch.randn(2, 3, 4, 4), torch.tensor([1, 2]), centres(4)[None]

    def guided(guidance, interval=(0.0, 1.0)):
        return Guided.of(diffuser, labels, guidance, interval, line, line)(x, 0.5)

    told, untold = guided(1.0), guided(0.0)
    assert torch.allclose(guided(3.0), untold + 3 * (told - untold), atol=1e-5)
    assert torch.allclose(guided(3.0, (0.6, 1.0)), told, atol=1e-6)
    any_label = Guided.of(diffuser, torch.tensor([10, 10]), 1.0, (0.0, 1.0), line, line)(x, 0.5)
    assert torch.allclose(untold, any_label, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([11])}, "labels 11"),
        ({"size": (0, 4)}, "latents of"),
        ({"guidance": -1.0}, "guidance -1"),
        ({"seed": -1}, "seed -1"),
        ({"noise": "pink"}, "no noise 'pink'; known: field, white"),
        ({"steps": 0}, "0 steps"),
        ({"steps": 10**9}, "at most 10,000"),
        ({"labels": torch.tensor([], dtype=torch.int64)}, "no labels"),
        ({"interval": (0.9, 0.1)}, r"guidance in \(0\.9, 0\.1\)"),
    ],
)
def test_mistakes_are_sentences(diffuser, change, message):
    asked = {"labels": torch.tensor([1]), "size": (4, 4), "steps": 1, **change}
    labels, size = asked.pop("labels"), asked.pop("size")
    with pytest.raises(OptionError, match=message):
        sample(diffuser, labels, size, **asked)

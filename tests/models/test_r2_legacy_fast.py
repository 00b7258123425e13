"""The fast forms of R2IR and R2ID against the models."""

import pytest
import torch
from torch import Tensor, nn

from smalti import models
from smalti.models.legacy import fast_parts
from smalti.models.legacy.fast_diffuser import FastLegacyDiffuser
from smalti.models.legacy.fast_parts import arithmetic_of
from smalti.models.legacy.fast_resampler import FastLegacyResampler
from smalti.models.legacy.r2 import (
    LegacyDiffuser,
    LegacyDiffuserConfig,
    LegacyResampler,
    LegacyResamplerConfig,
)

WIDTH = 24


def shaken(model: nn.Module) -> nn.Module:
    """With no number left at its start, so that every branch counts."""
    random = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=random)
        elif name in ("noise_out.weight", "latent_out.weight", "image_out.weight"):
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=random)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def resampler() -> LegacyResampler:
    torch.manual_seed(0)
    return shaken(LegacyResampler(LegacyResamplerConfig(2, 5, WIDTH, 2, 3, heads=3)))


@pytest.fixture(scope="module")
def diffuser() -> LegacyDiffuser:
    torch.manual_seed(0)
    return shaken(LegacyDiffuser(LegacyDiffuserConfig(5, WIDTH, 2, 2, heads=3, film=16)))


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest, in deviations of what is expected."""
    assert found.dtype == torch.float32
    return float((found - expected).abs().max() / expected.std())


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[fast_parts.CPU_ROWS, 34], ids=["whole", "parts"])
def rows(request, monkeypatch) -> None:
    """All tokens at once, or some 17 to 34 of them."""
    monkeypatch.setattr(fast_parts, "CPU_ROWS", request.param)


# few tokens, too many to be read one by one, and more than channels
@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (4, 6), (10, 15)])
@pytest.mark.parametrize("count", [1, 3])
def test_diffuser(diffuser, size, count):
    z, alpha = noise(2, 5, *size), torch.tensor([0.1, 0.9])
    texts = [noise(2, tokens, WIDTH, seed=tokens) for tokens in (2, 2, 9)[:count]]
    expected = diffuser(z, alpha, texts)
    found = models.fast(diffuser)(z, alpha, texts)
    assert len(found) == count
    for a, b in zip(found, expected, strict=True):
        assert difference(a, b) < 2e-5


def test_texts_are_read_once(diffuser):
    z, alpha, text = noise(3, 5, 4, 4), torch.tensor([0.1, 0.5, 0.9]), noise(1, 2, WIDTH)
    fast = models.fast(diffuser)
    texts = fast.texts([text, 0 * text])
    expected = diffuser(z, alpha, [text.expand(3, -1, -1), 0 * text.expand(3, -1, -1)])
    for _ in range(2):
        for a, b in zip(fast(z, alpha, texts), expected, strict=True):
            assert difference(a, b) < 2e-5
    assert fast(z, alpha, []) == []


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("picture", "latent", "drawn"),
    [((8, 8), (2, 2), (8, 8)), ((5, 9), (3, 7), (40, 30)), ((2, 3), (1, 1), (1, 2))],
)
def test_resampler(resampler, picture, latent, drawn):
    x = noise(2, 2, *picture).tanh()
    z = resampler.encode(x, latent)
    fast = models.fast(resampler)
    assert difference(fast.encode(x, latent), z) < 2e-5
    expected = resampler.decode(z, drawn)
    assert difference(fast.decode(z, drawn), expected) < 2e-5
    assert difference(fast.decode(z, drawn, bounded=True), expected) < 2e-5


def test_scale(resampler):
    z = models.fast(resampler).encode(noise(1, 2, 16, 24))
    assert z.shape == (1, 5, 2, 3)
    assert models.fast(resampler).decode(z, scale=2).shape == (1, 2, 4, 6)


@pytest.mark.parametrize("arithmetic", [torch.float32, torch.bfloat16])
def test_bfloat16(diffuser, resampler, arithmetic):
    """Weights in bfloat16, the arithmetic as told: within what rounding to 8 bits does."""
    options = {"dtype": torch.bfloat16, "arithmetic": arithmetic}
    z, alpha, text = noise(1, 5, 8, 8), torch.tensor([0.5]), noise(1, 2, WIDTH)
    [found] = FastLegacyDiffuser(diffuser, **options)(z, alpha, [text])
    assert 1e-4 < difference(found, diffuser(z, alpha, [text])[0]) < 0.15
    found = FastLegacyResampler(resampler, **options).decode(z, (16, 8))
    assert 1e-4 < difference(found, resampler.decode(z, (16, 8))) < 0.15


def test_arithmetic_is_what_the_processor_has(monkeypatch):
    cpu = torch.device("cpu")
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=has: {"avx512_bf16": has})
        expected = torch.bfloat16 if has else torch.float32
        assert arithmetic_of(torch.bfloat16, cpu) == expected
    assert arithmetic_of(torch.bfloat16, torch.device("cuda")) == torch.bfloat16
    assert arithmetic_of(torch.float32, cpu) == arithmetic_of(torch.float64, cpu) == torch.float32


def test_the_model_stays_as_it_is(diffuser):
    before = {key: value.clone() for key, value in diffuser.state_dict().items()}
    models.fast(diffuser, dtype=torch.bfloat16)(
        noise(1, 5, 4, 4), torch.tensor([0.5]), [noise(1, 2, WIDTH)]
    )
    assert all(torch.equal(value, before[key]) for key, value in diffuser.state_dict().items())

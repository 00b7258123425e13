"""R2IR and R2ID against a statement of their formulae in numpy, and what is theirs alone."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import smalti
from smalti.errors import ImageError, OptionError
from smalti.models.legacy import sampling
from smalti.models.legacy.blocks import legacy_grid, legacy_positions
from smalti.models.legacy.r2 import (
    DIFFUSER_16X,
    RESAMPLER_16X,
    LegacyDiffuser,
    LegacyDiffuserConfig,
    LegacyLabelEncoder,
    LegacyLabelEncoderConfig,
    LegacyResampler,
    LegacyResamplerConfig,
)

import r2_statement as statement


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(statement.GOLDEN) as file:
        return dict(file)


def loaded(model: nn.Module, golden: dict[str, np.ndarray], name: str) -> nn.Module:
    weights = statement.of(golden, name)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def resampler(golden) -> LegacyResampler:
    return loaded(
        LegacyResampler(LegacyResamplerConfig(**statement.RESAMPLER)), golden, "resampler"
    )


@pytest.fixture(scope="module")
def diffuser(golden) -> LegacyDiffuser:
    return loaded(LegacyDiffuser(LegacyDiffuserConfig(**statement.DIFFUSER)), golden, "diffuser")


@pytest.fixture(scope="module")
def labels(golden) -> LegacyLabelEncoder:
    return loaded(
        LegacyLabelEncoder(LegacyLabelEncoderConfig(**statement.LABELS)), golden, "labels"
    )


def tensor(value: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(value, np.float32))


def close(found: Tensor, expected: np.ndarray, tolerance: float = 1e-5) -> bool:
    """Within a share of the expected values' deviation."""
    expected = np.asarray(expected, np.float64)
    return float(np.abs(found.double().numpy() - expected).max()) <= tolerance * expected.std()


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameter_counts_are_the_published_ones():
    with torch.device("meta"):
        assert count(LegacyResampler()) == 3_668_993
        assert count(LegacyDiffuser()) == 10_385_920
        assert count(LegacyLabelEncoder()) == 4_608
        assert count(LegacyResampler(RESAMPLER_16X)) == 27_576_067
        assert count(LegacyDiffuser(DIFFUSER_16X)) == 247_722_496


@pytest.mark.parametrize("i", range(3))
def test_resampler_is_the_statement(golden, resampler, i):
    _, latent, drawn = statement.RESAMPLED[i]
    z = resampler.encode(tensor(golden[f"in/image{i}"])[None], latent)
    assert close(z[0], golden[f"out/latent{i}"])
    x_hat = resampler.decode(tensor(golden[f"out/latent{i}"])[None], drawn)
    assert close(x_hat[0], golden[f"out/image{i}"])


@pytest.mark.parametrize("i", range(3))
def test_diffuser_is_the_statement(golden, diffuser, i):
    texts = [tensor(text)[None] for text in golden["out/texts"]]
    alpha = tensor(golden[f"in/alpha{i}"])[None]
    found = diffuser(tensor(golden[f"in/z{i}"])[None], alpha, texts)
    assert close(torch.cat(found), golden[f"out/noise{i}"])


def test_label_encoder_is_the_statement(golden, labels):
    assert close(labels(torch.tensor([-1, 2])), golden["out/texts"])
    assert torch.equal(labels(None, batch=2), labels(torch.tensor([-1, -1])))
    with pytest.raises(OptionError, match=r"labels 4 \.\. 4; they are 0 \.\. 3"):
        labels(torch.tensor([4]))


def test_the_stored_numbers_are_the_statements(golden):
    z = statement.encode(
        statement.of(golden, "resampler"), statement.RESAMPLER, golden["in/image2"], (1, 1)
    )
    assert np.allclose(z, golden["out/latent2"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(4, 4), (3, 7), (8, 2), (1, 5), (1, 1)])
def test_positions_at_the_published_frequencies(size):
    """1e-3 of the deviation: float32 holds a coordinate to 3e-8, times π 2^9."""
    assert close(legacy_positions(*size, 10, 6)[0], statement.positions(*size, 10, 6), 1e-3)


def test_jitter_in_training():
    """Deviation half a step, of x and y and of both systems apart, anew at every call."""
    torch.manual_seed(0)
    for square, sigma in ((False, (1 / 32, 1 / 8)), (True, (1 / 32, 1 / 32))):
        moved = legacy_grid(4, 16, square=square, jittered=500)
        offset = moved - legacy_grid(4, 16, square=square)
        assert torch.allclose(offset.std((0, 1)), torch.tensor(sigma), rtol=0.02)
        assert torch.all(offset.mean((0, 1)).abs() < 0.02 * torch.tensor(sigma))
        assert abs(torch.corrcoef(offset.flatten(0, 1).T)[0, 1]) < 0.02
    features = legacy_positions(4, 16, 1, 0, jittered=2000)  # sin πx, sin πy, cos πx, cos πy
    offset = features - legacy_positions(4, 16, 1, 0)
    assert abs(torch.corrcoef(offset[:, 30, [0, 4]].T)[0, 1]) < 0.1  # x of the two systems
    model = LegacyResampler(LegacyResamplerConfig(**statement.RESAMPLER, dropout=0, ffn_dropout=0))
    nn.init.normal_(model.latent_out.weight)
    x = torch.rand(2, 2, 6, 6)
    assert not torch.equal(model.encode(x, (2, 2)), model.encode(x, (2, 2)))
    model.eval()
    assert torch.equal(model.encode(x, (2, 2)), model.encode(x, (2, 2)))


def test_new_models_draw_grey_and_learn():
    """Both heads start at zero: the first gradients are those of the last head alone."""
    torch.manual_seed(0)
    model = LegacyResampler(LegacyResamplerConfig(**statement.RESAMPLER))
    x = torch.rand(2, 2, 8, 8)
    x_hat = model(x, scale=4)
    assert x_hat.shape == x.shape
    assert not x_hat.any()
    (x_hat - x).square().mean().backward()
    assert {k for k, p in model.named_parameters() if p.grad is not None and p.grad.any()} == {
        "image_out.weight",
        "image_out.bias",
    }
    nn.init.normal_(model.image_out.weight)
    nn.init.normal_(model.latent_out.weight)
    (model(x, scale=4) - x).square().mean().backward()
    assert all(p.grad.any() for p in model.parameters())

    diffuser = LegacyDiffuser(LegacyDiffuserConfig(**statement.DIFFUSER))
    text = torch.randn(2, 2, 12)
    z = torch.randn(2, 3, 3, 4)
    assert not any(eps.any() for eps in diffuser(z, torch.rand(2), [text, 0 * text]))
    nn.init.normal_(diffuser.noise_out.weight)
    sum(eps.square().sum() for eps in diffuser(z, torch.rand(2), [text, 0 * text])).backward()
    assert all(p.grad.any() for p in diffuser.parameters())


def test_a_batch_is_its_pictures(resampler, diffuser):
    random = torch.Generator().manual_seed(1)
    x = torch.rand(3, 2, 5, 4, generator=random)
    each = torch.cat([resampler.encode(part, (2, 3)) for part in x.split(1)])
    assert torch.allclose(resampler.encode(x, (2, 3)), each, atol=1e-6)
    z, text = torch.randn(3, 3, 2, 2, generator=random), torch.randn(3, 2, 12, generator=random)
    alpha = torch.rand(3, generator=random)
    found = diffuser(z, alpha, [text])[0]
    parts = zip(z.split(1), alpha.split(1), text.split(1), strict=True)
    each = torch.cat([diffuser(a, b, [c])[0] for a, b, c in parts])
    assert torch.allclose(found, each, atol=1e-5)


def test_what_the_models_refuse(resampler, diffuser):
    with pytest.raises(ImageError, match=r"shape \(1, 3, 4, 4\); it is B 2 H W"):
        resampler.encode(torch.zeros(1, 3, 4, 4), (2, 2))
    with pytest.raises(ImageError, match="0 x 0 asked for"):
        resampler.encode(torch.zeros(1, 2, 4, 4))
    with pytest.raises(ImageError, match="it is B 3 H W"):
        diffuser(torch.zeros(1, 3, 0, 4), torch.zeros(1), [])
    with pytest.raises(OptionError, match="5 heads of 192 channels"):
        LegacyDiffuserConfig(heads=5)


def test_save_and_load(resampler, tmp_path):
    resampler.save_pretrained(tmp_path / "a.safetensors", dtype=torch.float32)
    again = smalti.load_model(str(tmp_path / "a.safetensors"))
    x = torch.rand(1, 2, 4, 4)
    assert torch.equal(again.encode(x, (2, 2)), resampler.encode(x, (2, 2)))


@pytest.mark.parametrize(("steps", "guidance", "eta"), [(1, 1, 0), (7, 1, 1), (20, 4, 2)])
def test_sampler_is_the_statement(steps, guidance, eta):
    """With a predictor that is exact for pictures of one colour, whichever the noise."""
    random = torch.Generator().manual_seed(3)
    start = torch.randn(2, 3, 2, 4, generator=random, dtype=torch.float64)
    state = random.get_state()
    noises = [torch.randn(start.shape, generator=random, dtype=torch.float64) for _ in range(steps)]

    def predict(x, share):
        a = float(share.ravel()[0]) if isinstance(share, Tensor) else share
        return [(x - a**0.5 * target) / (1 - a) ** 0.5 for target in (0.1, 0.4)]

    random.set_state(state)
    found = sampling.sample(
        predict, start, steps=steps, guidance=guidance, eta=eta, generator=random
    )
    expected = statement.sample(predict, start.numpy(), [z.numpy() for z in noises], guidance, eta)
    assert np.allclose(found.numpy(), expected, rtol=0, atol=1e-3)  # ᾱ in float32 here
    if eta == 0:
        assert torch.allclose(found, torch.full_like(found, 0.4), atol=0.05)


def test_schedule():
    t = torch.linspace(0, 1, 9)
    assert close(sampling.alpha_bar(t), [statement.alpha_bar(float(u)) for u in t], 1e-6)
    assert float(sampling.alpha_bar(t)[0]) == pytest.approx(0.99984, abs=1e-5)
    z, noise = torch.ones(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)
    found = sampling.corrupt(z, noise, torch.tensor([1.0, 0.36]))
    assert torch.allclose(found[:, 0, 0, 0], torch.tensor([1.0, 0.6 + 0.8 * 3]))
    with pytest.raises(OptionError, match="0 steps"):
        sampling.sample(lambda z, share: [z, z], noise, steps=0)


def attention_of_original(prefix: str, width: int) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        shapes |= {f"{prefix}.{part}.weight": (width, width), f"{prefix}.{part}.bias": (width,)}
    for part in ("norm_q", "norm_k"):
        shapes |= {f"{prefix}.{part}.weight": (width,), f"{prefix}.{part}.bias": (width,)}
    return shapes


def convolution(prefix: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (n_out, n_in, 1, 1), f"{prefix}.bias": (n_out,)}


def r2ir_as_published() -> dict[str, tuple[int, ...]]:
    shapes = {"pos_embed.frequencies": (16,)}
    for part, n_in in (("color", 129), ("pos", 128), ("latent", 192)):
        shapes |= convolution(f"{part}_to_embed_proj", n_in, 192)
    shapes |= convolution("enc_out_proj.0", 192, 64) | convolution("dec_out_proj.0", 192, 1)
    for block in [f"{half}_blocks.{i}" for half in ("enc", "dec") for i in range(4)]:
        shapes |= attention_of_original(f"{block}.attn", 192)
        for norm in ("attn_ada", "ffn_norm"):
            shapes |= {f"{block}.{norm}.gamma": (192,), f"{block}.{norm}.beta": (192,)}
        shapes |= {f"{block}.{part}_scalar": (192,) for part in ("attn", "ffn", "final")}
        shapes |= convolution(f"{block}.ffn.0", 192, 768) | convolution(f"{block}.ffn.3", 768, 192)
    return shapes


def r2id_as_published() -> dict[str, tuple[int, ...]]:
    shapes = {"pos_embed.frequencies": (16,), "time_embed.frequencies": (10,)}
    shapes |= convolution("proj_to_latent", 192, 192) | convolution("latent_to_epsilon", 192, 64)
    shapes |= {"film_proj.0.weight": (128, 20), "film_proj.2.weight": (128, 128)}
    shapes |= {"film_proj.0.bias": (128,), "film_proj.2.bias": (128,)}
    for half, branches in (("enc", ["self"]), ("dec", ["self", "cross"])):
        for block in [f"{half}_blocks.{i}" for i in range(8)]:
            for branch in branches:
                shapes |= attention_of_original(f"{block}.{branch}_attn.mha", 192)
            for norm in [*branches, "ffn"]:
                key = f"{block}.{norm}_ada"
                shapes |= {f"{key}.gb.0.weight": (384, 128), f"{key}.gb.0.bias": (384,)}
                shapes |= {f"{key}.norm.gamma": (192,), f"{key}.norm.beta": (192,)}
            shapes |= {f"{block}.{part}_scalar": (192,) for part in [*branches, "ffn", "final"]}
            shapes |= convolution(f"{block}.ffn.net.0", 192, 768)
            shapes |= convolution(f"{block}.ffn.net.3", 768, 192)
    return shapes


@pytest.mark.parametrize(
    ("kind", "shapes", "here", "there"),
    [
        (
            "LegacyResampler",
            r2ir_as_published(),
            "decoder.3.attention.query.weight",
            "dec_blocks.3.attn.q_proj.weight",
        ),
        (
            "LegacyDiffuser",
            r2id_as_published(),
            "decoder.1.cross_norm.film.bias",
            "dec_blocks.1.cross_ada.gb.0.bias",
        ),
        (
            "LegacyLabelEncoder",
            {
                "token_proj.weight": (384, 10),
                "token_proj.bias": (384,),
                "token_norm.weight": (192,),
                "token_norm.bias": (192,),
            },
            "norm.bias",
            "token_norm.bias",
        ),
    ],
)
def test_checkpoints_as_published(kind, shapes, here, there, tmp_path):
    """Names and shapes of the original's files, not made from our models."""
    random = torch.Generator().manual_seed(0)
    state = {key: torch.randn(shape, generator=random) for key, shape in shapes.items()}
    torch.save(state, tmp_path / "a.pt")
    model = smalti.load_model(str(tmp_path / "a.pt"))
    assert type(model).__name__ == kind
    assert torch.equal(model.state_dict()[here], state[there])

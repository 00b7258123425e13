"""The patch autoencoder: the published model, its fast form, and the linear beginning."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from smalti import models
from smalti.errors import ImageError, OptionError
from smalti.models.patch.init import klt, linear_init
from smalti.models.patch.model import DECODERS, PatchAutoencoder, PatchConfig

from conftest import make_tensor

SMALL = {"latent_channels": 4, "width": 32, "features": 8}


def shaken(config: PatchConfig) -> PatchAutoencoder:
    """A model all of whose weights matter: no gain is 1, no bias 0."""
    torch.manual_seed(0)
    model = PatchAutoencoder(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_and_operations_are_the_published_ones():
    model = PatchAutoencoder().to("meta")
    assert parameters(model) == 13_243_539
    assert parameters(model.encoder) == 3_521_552
    x = torch.zeros(1, 3, 1024, 1024, device="meta")
    for half, argument, expected in (
        (model.encode, x, 115.16e9),
        (model.decode, model.encode(x), 322.59e9),
    ):
        with FlopCounterMode(display=False) as counter:
            half(argument)
        assert counter.get_total_flops() == pytest.approx(expected, rel=0.001)


def original_state() -> dict[str, torch.Tensor]:
    """The shapes of the original's checkpoint, written out here independently."""
    torch.manual_seed(1)

    def layer(key: str, *shape: int) -> dict[str, torch.Tensor]:
        n_in = torch.Size(shape[1:]).numel()
        return {
            f"{key}.weight": torch.randn(shape) / n_in**0.5,
            f"{key}.bias": 0.1 * torch.randn(shape[0]),
        }

    state = layer("encoder.0.initial.0", 512, 3, 8, 8)
    gates = [f"encoder.0.blocks.{i}" for i in (0, 1)] + [f"decoder.0.blocks.{i}" for i in (1, 3)]
    for block in gates:
        state[f"{block}.norm.weight"] = 1 + 0.1 * torch.randn(512)
        state |= layer(f"{block}.mlp.conv_up", 2048, 512, 1, 1)
        state |= layer(f"{block}.mlp.conv_down", 512, 1024, 1, 1)
    for block in (f"decoder.0.blocks.{i}" for i in (0, 2)):
        state[f"{block}.norm.weight"] = 1 + 0.1 * torch.randn(512)
        state |= layer(f"{block}.mlp.0", 512, 512, 1, 1)
        state |= layer(f"{block}.mlp.2", 512, 512, 3, 3)
    state |= layer("encoder.0.out.model.0", 512, 512, 1, 1)
    state |= layer("encoder.0.out.model.2", 16, 512, 1, 1)
    state |= layer("decoder.0.conv_in.model.0", 512, 16, 1, 1)
    state |= layer("decoder.0.conv_in.model.2", 512, 512, 1, 1)
    state |= layer("decoder.0.nerf.0.param_gen", 2048, 512)
    state["decoder.0.nerf.0.norm.weight"] = 1 + 0.1 * torch.randn(32)
    state["decoder.0.positions"] = torch.randn(1, 64, 32)
    return state | layer("decoder.0.last", 3, 32)


def test_the_originals_state_dict_loads_and_means_the_same():
    """Restated cell by cell with matrices, in float64."""
    state = original_state()
    model = PatchAutoencoder().eval().requires_grad_(False)
    model.load_state_dict(state)
    w = {key: value.double() for key, value in state.items()}

    def linear(v, key):
        return v @ w[f"{key}.weight"].flatten(1).T + w[f"{key}.bias"]

    def norm(v, gain, eps):
        return v / (v.pow(2).mean(-1, keepdim=True) + eps).sqrt() * gain

    def gelu_tanh(v):
        return 0.5 * v * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (v + 0.044715 * v**3)))

    def gelu(v):
        return 0.5 * v * (1 + torch.erf(v / 2**0.5))

    def geglu_block(v, key):
        up = linear(norm(v, w[f"{key}.norm.weight"], 1e-8), f"{key}.mlp.conv_up")
        return v + linear(up[..., :1024] * gelu_tanh(up[..., 1024:]), f"{key}.mlp.conv_down")

    def conv_block(v, key):
        u = gelu_tanh(linear(norm(v, w[f"{key}.norm.weight"], 1e-8), f"{key}.mlp.0"))
        padded = F.pad(u, (0, 0, 1, 1, 1, 1))
        total = v + w[f"{key}.mlp.2.bias"]
        for i in range(3):
            for j in range(3):
                shifted = padded[i : i + v.shape[0], j : j + v.shape[1]]
                total = total + shifted @ w[f"{key}.mlp.2.weight"][:, :, i, j].T
        return total

    x = torch.rand(1, 3, 24, 32) * 2 - 1
    rows = [
        [x[0, :, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8].flatten() for j in range(4)]
        for i in range(3)
    ]
    v = linear(torch.stack([torch.stack(row) for row in rows]).double(), "encoder.0.initial.0")
    for i in (0, 1):
        v = geglu_block(v, f"encoder.0.blocks.{i}")
    z = linear(gelu(linear(v, "encoder.0.out.model.0")), "encoder.0.out.model.2")
    assert (model.encode(x)[0].permute(1, 2, 0) - z).abs().max() < 1e-5

    h = linear(gelu(linear(z, "decoder.0.conv_in.model.0")), "decoder.0.conv_in.model.2")
    for i in (0, 2):
        h = geglu_block(conv_block(h, f"decoder.0.blocks.{i}"), f"decoder.0.blocks.{i + 1}")
    positions = w["decoder.0.positions"][0]
    table = norm(positions, w["decoder.0.nerf.0.norm.weight"], torch.finfo(torch.float32).eps)
    picture = torch.zeros(3, 24, 32, dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            matrices = linear(h[i, j], "decoder.0.nerf.0.param_gen").view(2, 32, 32)
            first = matrices[0] / matrices[0].norm(dim=0)
            hidden = table @ first
            q = positions + hidden / (1 + torch.exp(-hidden)) @ matrices[1]
            texels = linear(q, "decoder.0.last").view(8, 8, 3)
            picture[:, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8] = texels.permute(2, 0, 1)
    drawn = model.decode(z.permute(2, 0, 1)[None].float())[0]
    assert (drawn - picture).abs().max() < 4e-6 * picture.abs().max()  # float32, 10 layers


@pytest.mark.parametrize("size", [(1, 1), (5, 23), (16, 8)])
def test_any_size(size):
    model = shaken(PatchConfig(**SMALL))
    x = torch.rand(2, 3, *size) * 2 - 1
    whole = F.pad(x, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate")
    assert model(x).shape == x.shape
    assert torch.allclose(model(x), model(whole)[:, :, : size[0], : size[1]], atol=1e-6)
    with pytest.raises(ImageError, match="takes B 3 H W"):
        model.encode(x[:, :2])


@pytest.mark.parametrize(
    "config",
    [
        PatchConfig(),
        *(PatchConfig(decoder=decoder, **SMALL) for decoder in DECODERS),
        PatchConfig(patch=4, latent_channels=32, width=32, features=8, blocks=1, channels=16),
    ],
    ids=lambda c: f"{c.decoder}-{c.width}-{c.patch}",
)
def test_the_fast_form_is_equal(config):
    model = shaken(config)
    fast = models.fast(model)
    x = torch.rand(2, config.channels, 37, 90) * 2 - 1
    z = model.encode(x)
    assert (fast.encode(x) - z).abs().max() < 1e-5
    x_hat = model.decode(z, (37, 90))
    assert (fast.decode(z, (37, 90)) - x_hat).abs().max() < 1e-4
    assert fast.decode(z).shape == model.decode(z).shape


def test_the_fast_form_is_equal_where_the_picture_is_large():
    """Outputs of about the size that pictures have, and three times that."""
    model = shaken(PatchConfig())
    for wanted in (0.5, 3.0):
        z = torch.randn(1, 16, 9, 11, generator=torch.Generator().manual_seed(0))
        model.decoder[0].last.weight *= wanted / model.decode(z).std()
        difference = models.fast(model).decode(z) - model.decode(z)
        assert difference.abs().max() < 1e-4


def test_the_fast_form_in_bfloat16_is_close():
    model = shaken(PatchConfig())
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    z, fast = model.encode(x), models.fast(model, dtype=torch.bfloat16)
    assert fast.decode(z).dtype == torch.float32
    for exact, close in ((z, fast.encode(x)), (model.decode(z), fast.decode(z))):
        assert (exact - close).square().mean() < 1e-3 * exact.square().mean()


def test_the_fast_form_leaves_its_input_alone():
    """Also where rows of cells are a view of the latent: as wide, in channels_last order."""
    fast = models.fast(shaken(PatchConfig(**SMALL | {"latent_channels": 32})))
    z = torch.randn(1, 32, 6, 5).to(memory_format=torch.channels_last)
    before = z.clone()
    fast.decode(z)
    assert torch.equal(z, before)


@pytest.mark.parametrize("decoder", DECODERS)
def test_linear_beginning_is_the_klt(decoder):
    """The untrained model errs as the linear transform does; exactly so with a simple decoder.

    The pixel head has 31 patterns for each colour, and 16 components may have 48.
    """
    picture = 2 * make_tensor(3, 160, 240) - 1
    patches = picture.unfold(1, 8, 8).unfold(2, 8, 8).permute(1, 2, 0, 3, 4).flatten(0, 1)
    torch.manual_seed(0)
    model = PatchAutoencoder(PatchConfig(width=256, decoder=decoder)).requires_grad_(False)
    linear_init(model, patches)
    mean, _, basis = klt(patches.flatten(1).double())
    centred = patches.flatten(1).double() - mean
    projected = (centred @ basis[:, :16] @ basis[:, :16].T + mean).view(patches.shape)
    z = model.encode(patches)
    x_hat = model.decode(z)
    if decoder == "simple":
        assert (x_hat - projected).abs().max() < 1e-4
    lost = (projected - patches).square().mean()
    assert (x_hat - patches).square().mean() < 1.02 * lost
    assert z.std((0, 2, 3), correction=0).sub(1).abs().max() < 1e-2
    assert z.mean((0, 2, 3)).abs().max() < 1e-2


def test_klt_is_the_best_linear_code():
    patches = torch.randn(500, 12, generator=torch.Generator().manual_seed(0)).double()
    patches = patches @ torch.diag(torch.arange(12, 0, -1).double())
    mean, deviations, basis = klt(patches)
    centred = patches - mean
    error = (centred - centred @ basis[:, :5] @ basis[:, :5].T).square().sum()
    assert error == pytest.approx(torch.linalg.svdvals(centred)[5:].square().sum().item())
    assert (deviations.diff() <= 0).all()


def test_a_wrong_decoder_is_refused_by_name():
    with pytest.raises(OptionError, match="one of full, 1x1, simple"):
        PatchConfig(decoder="2x2")

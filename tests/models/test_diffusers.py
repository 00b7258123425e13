"""Our autoencoders as the vae of real diffusers pipelines, tiny and with random weights."""

import dataclasses

import numpy as np
import pytest
import torch

import smalti
from smalti import weights
from smalti.errors import ImageError, OptionError
from smalti.export.latents import MEASURED, Statistics, encode, measure
from smalti.files import BUNDLED_PICTURES
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.patch.model import PatchAutoencoder, PatchConfig
from smalti.models.patch.stages import StackedConfig, StackedPatchAutoencoder
from smalti.models.pictures import to_tensor
from smalti.models.rgba import RgbaAutoencoder, RgbaConfig

diffusers = pytest.importorskip("diffusers")

from smalti.export.diffusers import AutoencoderSmalti  # noqa: E402

PATCH = PatchConfig(latent_channels=16, width=16, features=8)
STACKED = StackedConfig(PATCH, PatchConfig(8, patch=2, width=16, decoder="simple", channels=16))
MODELS = {
    "patch": lambda: PatchAutoencoder(PATCH),
    "patch-1x1": lambda: PatchAutoencoder(dataclasses.replace(PATCH, decoder="1x1")),
    "patch-simple": lambda: PatchAutoencoder(dataclasses.replace(PATCH, decoder="simple")),
    "stacked": lambda: StackedPatchAutoencoder(STACKED),
    "fsq": lambda: FsqAutoencoder(FsqConfig(width=8, blocks=1)),
    "rgba": lambda: RgbaAutoencoder(RgbaConfig(latent_channels=16, width=8)),
}


@pytest.fixture(params=MODELS)
def vae(request):
    return adapter(request.param)


def adapter(name: str) -> AutoencoderSmalti:
    torch.manual_seed(0)
    model = MODELS[name]().eval().requires_grad_(False)
    channels = len(model.config.levels) if name == "fsq" else 16 if name != "stacked" else 8
    statistics = Statistics((0.25,) * channels, (0.5,) * channels)
    return AutoencoderSmalti.around(model, statistics)


def picture_of(vae: AutoencoderSmalti, *, side: int = 64) -> torch.Tensor:
    """A crop of a photograph, `1 C side side+32` in [-1, 1]; alpha is a ramp."""
    x = to_tensor(BUNDLED_PICTURES / "cat.png")[:, :3, :side, : side + 32]
    if vae.config.in_channels == 4:
        x = torch.cat([x, torch.linspace(-1, 1, side + 32).expand(1, 1, side, -1)], 1)
    return x


def test_calls_are_those_of_autoencoder_tiny(vae):
    x = picture_of(vae)
    z = vae.encode(x).latents
    assert torch.equal(vae.encode(x, return_dict=False)[0], z)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)  # as pipelines compute it
    assert factor == vae.model.factor
    assert z.shape == (1, vae.config.latent_channels, 64 // factor, 96 // factor)
    x_hat = vae.decode(z).sample
    assert torch.equal(vae.decode(z, return_dict=False)[0], x_hat)
    assert torch.equal(vae(x).sample, x_hat)
    assert x_hat.shape == x.shape
    assert (vae.dtype, vae.device) == (torch.float32, torch.device("cpu"))
    assert (vae.config.scaling_factor, vae.config.shift_factor) == (1.0, 0.0)


def test_latents_are_the_models_own_standardised(vae):
    x = picture_of(vae)
    raw = encode(vae.model, x)
    z = vae.encode(x).latents
    assert torch.allclose(z, (raw - 0.25) / 0.5, atol=1e-6)
    expected = vae.model.decode(vae.model.encode(x))  # of a tokenizer: through its tokens
    assert torch.allclose(vae.decode(z).sample, expected, atol=1e-5)


def test_a_tokenizer_decodes_the_nearest_code():
    vae = adapter("fsq")
    z = vae.encode(picture_of(vae)).latents
    moved = z + 0.1 * (torch.rand(z.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert torch.equal(vae.decode(moved).sample, vae.decode(z).sample)
    assert vae.decode(100 * torch.ones_like(z)).sample.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_any_dtype_in_that_of_the_weights_out(vae, dtype):
    vae = vae.to(dtype)
    x = picture_of(vae)
    for given in (torch.float32, torch.bfloat16):
        z = vae.encode(x.to(given)).latents
        assert z.dtype == dtype
        assert vae.decode(z.to(given)).sample.dtype == dtype


def test_bfloat16_is_close():
    vae = adapter("patch")
    x = picture_of(vae)
    expected = vae(x).sample
    difference = (vae.to(torch.bfloat16)(x).sample.float() - expected).std()
    assert 0 < difference < 0.03 * expected.std()


def test_tiling_and_slicing_change_nothing(vae):
    x = torch.cat([picture_of(vae), picture_of(vae).flip(3)])
    z = vae.encode(x).latents
    x_hat = vae.decode(z).sample
    vae.enable_tiling(side=32)
    vae.enable_slicing()
    assert (vae.encode(x).latents - z).abs().max() < 1e-4
    tiled = vae.decode(z).sample
    assert tiled.shape == x_hat.shape
    assert (tiled - x_hat).abs().max() < 1e-4
    vae.disable_tiling()
    vae.disable_slicing()
    assert torch.equal(vae.decode(z).sample, x_hat)


def test_tiles_are_computed_one_at_a_time():
    vae = adapter("patch")
    seen = []
    vae.model.decoder[0].conv_in.register_forward_hook(lambda m, i, o: seen.append(o.shape[2:]))
    vae.enable_tiling(side=32)
    vae.decode(torch.zeros(1, 16, 20, 20))
    assert len(seen) == 25
    assert max(max(shape) for shape in seen) == 4 + 2 * 2


@pytest.mark.parametrize(
    "x",
    [
        torch.full((1, 3, 16, 16), 200.0),
        torch.full((1, 3, 16, 16), 200, dtype=torch.uint8),
        torch.zeros(1, 4, 16, 16),
        torch.zeros(3, 16, 16),
    ],
)
def test_what_is_no_picture_in_its_range_is_one_sentence(x):
    with pytest.raises(ImageError, match=r"^takes |^models take pictures in \[-1, 1\]"):
        adapter("patch").encode(x)


def test_statistics_of_other_lengths_are_refused():
    with pytest.raises(OptionError, match="16 numbers"):
        AutoencoderSmalti.around(PatchAutoencoder(PATCH), Statistics((0.0,), (1.0,)))


def test_saved_and_read(vae, tmp_path):
    vae.save_pretrained(tmp_path / "pipeline" / "vae")
    x = picture_of(vae)
    for read in (
        AutoencoderSmalti.from_pretrained(tmp_path / "pipeline" / "vae"),
        AutoencoderSmalti.from_pretrained(tmp_path / "pipeline", subfolder="vae"),
    ):
        assert torch.equal(read.encode(x).latents, vae.encode(x).latents)
        assert not read.training
    half = AutoencoderSmalti.from_pretrained(
        tmp_path / "pipeline" / "vae", torch_dtype=torch.bfloat16
    )
    assert half.encode(x).latents.dtype == torch.bfloat16


def test_measured_statistics():
    model = MODELS["patch"]()
    x = smalti.load(BUNDLED_PICTURES / "cat.png")
    z = model.encode(to_tensor(x)[:, :3])[0].flatten(1)
    found = measure(model, [x])
    assert torch.allclose(torch.tensor(found.mean), z.mean(1), atol=1e-3)
    assert torch.allclose(torch.tensor(found.std), z.std(1, correction=0), atol=1e-3)
    measured = {weights.sha256(path).hex()[:16] for path in weights.bundled().values()}
    assert set(MEASURED) <= measured, "weights have changed: benchmarks/latent_statistics.py"


def test_bundled_weights_reconstruct_a_photograph_and_latents_are_standard():
    """Pictures in [0, 1] or latents that are not scaled back would not come out like this."""
    vae = AutoencoderSmalti.from_pretrained("patch-f8c16", torch_dtype=torch.bfloat16)
    assert vae.dtype == torch.bfloat16
    x = picture_of(vae, side=192)
    z = vae.encode(x).latents
    assert 0.5 < z.float().std() < 1.6
    x_hat = vae.decode(z).sample.float()
    assert -10 * torch.log10(((x_hat - x) / 2).square().mean()) > 27


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_class_conditional_pipeline(dtype):
    """DiTPipeline: knows no shift_factor."""
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=16,
        out_channels=32,
        num_layers=1,
        sample_size=8,
        num_embeds_ada_norm=1000,
    )
    pipeline = diffusers.DiTPipeline(
        transformer=transformer.to(dtype),
        vae=adapter("patch").to(dtype),
        scheduler=diffusers.DDIMScheduler(),
    )
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(class_labels=[1, 2], num_inference_steps=2).images
    assert [(picture.size, picture.mode) for picture in drawn] == [((64, 64), "RGB")] * 2


def test_pictures_to_pictures_with_flow_matching():
    """Stable Diffusion 3's pipelines, 16 latent channels, without text encoders, in bfloat16."""
    pytest.importorskip("transformers")
    dtype = torch.bfloat16
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=1,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        caption_projection_dim=16,
        pooled_projection_dim=16,
        pos_embed_max_size=32,
    )
    absent = [f"{kind}{n}" for kind in ("text_encoder", "tokenizer") for n in ("", "_2", "_3")]
    parts = {
        "transformer": transformer.to(dtype),
        "vae": adapter("patch").to(dtype),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        **dict.fromkeys(absent),
    }
    prompt = {
        "prompt_embeds": torch.randn(1, 4, 16).to(dtype),
        "pooled_prompt_embeds": torch.randn(1, 16).to(dtype),
        "guidance_scale": 0,
        "num_inference_steps": 2,
        "height": 64,
        "width": 96,
    }
    pipeline = diffusers.StableDiffusion3Pipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(**prompt).images[0]
    assert drawn.size == (96, 64)
    again = diffusers.StableDiffusion3Img2ImgPipeline(**parts)
    again.set_progress_bar_config(disable=True)
    changed = again(image=drawn, strength=0.5, **prompt).images[0]
    assert changed.size == (96, 64)
    assert np.asarray(changed).std() > 0


def test_both_names_of_the_type_and_no_option_swallowed():
    for name in ("dtype", "torch_dtype"):
        adapter = AutoencoderSmalti.from_pretrained("rgba-boxes", **{name: torch.bfloat16})
        assert adapter.dtype == torch.bfloat16
    with pytest.raises(OptionError, match="which alone takes colour, revision"):
        AutoencoderSmalti.from_pretrained("rgba-boxes", colour=1, revision="x")

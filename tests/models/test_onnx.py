"""Exported halves against the models, in onnxruntime, at sizes and batches they were not traced at."""

import json
import logging
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import smalti
from smalti import weights
from smalti.cli.export import export
from smalti.errors import OptionError
from smalti.files import BUNDLED_PICTURES
from smalti.image import to_float
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.layers.pad import to_multiple
from smalti.models.patch.model import PatchAutoencoder, PatchConfig
from smalti.models.patch.stages import StackedConfig, StackedPatchAutoencoder
from smalti.models.pictures import to_picture, to_tensor

from conftest import make_picture

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

from smalti.export.int8 import quantised  # noqa: E402
from smalti.export.onnx import (  # noqa: E402
    EXAMPLE,
    HALVES,
    Half,
    metadata,
    to_onnx,
    write_onnx,
)

logging.getLogger("torch.__trace").setLevel(logging.WARNING)  # pytest would keep all of it

PATCH = PatchConfig(latent_channels=4, width=16, features=8, blocks=1)
SECOND = PatchConfig(latent_channels=8, patch=2, width=16, decoder="simple", channels=4)
MODELS = {
    "patch": lambda: PatchAutoencoder(PATCH),
    "fsq": lambda: FsqAutoencoder(FsqConfig(width=16, blocks=1, factor=4)),
}
NAMES = [*MODELS, "rgba-finetune"]
CELLS = [(1, 1, 1), (2, 3, 5), (1, 7, 2), (3, 4, 4)]  # batch, rows, columns


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Name -> (the model, its encoder and decoder, its weights), made once."""

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp(name)
        path = weights.bundled().get(name, folder / f"{name}.safetensors")
        if name in MODELS:
            torch.manual_seed(0)
            MODELS[name]().save_pretrained(path)
            *graphs, _ = write_onnx(path, folder)
        else:
            assert export(name, folder) == 0
            graphs = [folder / f"{name}-{half}.onnx" for half in HALVES]
        return smalti.load_model(str(path)).requires_grad_(False), graphs, path

    return make


def run(graph: bytes | Path, x: torch.Tensor) -> tuple[str, torch.Tensor, str]:
    """Name of the input, output and its name."""
    session = onnxruntime.InferenceSession(graph)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    return given.name, torch.from_numpy(session.run(None, {given.name: x.numpy()})[0]), made.name


@pytest.mark.parametrize("name", NAMES)
def test_both_halves_equal_the_model_at_every_size(name, exported):
    model, (encoder, decoder), _ = exported(name)
    low = 0 if model.channels == 4 else -1
    for batch, rows, columns in CELLS:
        shape = (batch, model.channels, rows * model.factor, columns * model.factor)
        x = low + (1 - low) * torch.rand(shape)
        given, z, made = run(encoder, x)
        code = "tokens" if name == "fsq" else "latents"
        assert (given, made) == ("pictures", code)
        expected = model.encode(x)
        assert z.dtype == expected.dtype
        assert z.shape == expected.shape
        if name == "fsq":  # a number between two levels may be rounded either way
            assert (z == expected).float().mean() > 0.97
        else:
            assert (z - expected).abs().max() < 1e-4
        given, x_hat, made = run(decoder, expected)
        assert (given, made) == (code, "pictures")
        assert x_hat.shape == x.shape
        assert (x_hat - model.decode(expected)).abs().max() < 1e-4


def test_the_simple_decoder():
    model = PatchAutoencoder(PatchConfig(4, 8, 16, 1, "simple", 8)).eval().requires_grad_(False)
    z = torch.randn(1, 4, 7, 2)
    x_hat = run(to_onnx(model, "decoder").SerializeToString(), z)[1]
    assert (x_hat - model.decode(z)).abs().max() < 1e-4


def test_what_is_traced_of_two_stages_is_the_model():
    model = StackedPatchAutoencoder(StackedConfig(PATCH, SECOND)).eval().requires_grad_(False)
    model.gains.copy_(torch.linspace(0.5, 2, 4).view(-1, 1, 1))
    x = 2 * torch.rand(2, 3, 32, 48) - 1
    z = Half(model, "encoder")(x)
    assert torch.equal(z, model.encode(x))
    assert torch.equal(Half(model, "decoder")(z), model.decode(z))


def test_every_token_decodes(exported):
    model, (_, decoder), _ = exported("fsq")
    tokens = torch.arange(model.codebook_size).view(1, 120, 128)
    assert (run(decoder, tokens)[1] - model.decode(tokens)).abs().max() < 1e-4


@pytest.mark.parametrize("half", HALVES)
def test_a_file_says_what_it_takes(half, exported):
    model, graphs, path = exported("rgba-finetune")
    session = onnxruntime.InferenceSession(graphs[HALVES.index(half)])
    facts = session.get_modelmeta().custom_metadata_map
    digest = weights.sha256(path).hex()
    assert facts == metadata(model, half, name="rgba-finetune", digest=digest)
    assert (facts["model"], facts["half"]) == ("RgbaAutoencoder", half)
    assert json.loads(facts["config"]) == {"latent_channels": 4, "width": 32}
    assert (facts["range"], facts["channels"], facts["factor"]) == ("-1 1", "RGBA", "16")
    assert facts["latents"] == "float32, B 4 H/16 W/16"
    assert session.get_inputs()[0].shape == ["batch", 4, "height", "width"]


def test_a_tokenizers_file_says_its_codebook():
    facts = metadata(MODELS["fsq"](), "decoder", name="", digest="")
    assert facts["tokens"] == "int64, B H/4 W/4, 0 .. 15359"
    assert (facts["range"], facts["channels"]) == ("-1 1", "RGB")


def test_files_are_not_replaced_unasked(exported):
    _, (encoder, _), path = exported("patch")
    before = encoder.read_bytes()
    with pytest.raises(OptionError, match=r"patch-encoder\.onnx exists; --force replaces it"):
        write_onnx(path, encoder.parent)
    assert encoder.read_bytes() == before


@pytest.mark.parametrize("name", ["fsq", "rgba-finetune"])
def test_the_example_draws_what_the_model_draws(name, exported, tmp_path):
    """At a size of no whole cells; and it imports nothing of ours."""
    model, graphs, _ = exported(name)
    smalti.save(make_picture(model.channels, 37, 50), tmp_path / "in.png")
    blocked = ["torch", "onnx", "onnxscript", "smalti"]
    code = f"import sys, runpy; sys.modules.update(dict.fromkeys({blocked}));"
    code += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    names = [graphs[0].with_name(EXAMPLE), *graphs, tmp_path / "in.png", tmp_path / "out.png"]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    x = to_multiple(to_tensor(tmp_path / "in.png")[0], model.factor)
    expected = to_picture(model.decode(model.encode(x[None]))[..., :37, :50])
    drawn = to_float(smalti.load(tmp_path / "out.png"))
    assert drawn.shape == (37, 50, model.channels)
    difference = np.abs(drawn - expected)
    assert difference.mean() < 0.5 / 255  # a token that is rounded the other way moves a few texels
    assert name == "fsq" or difference.max() < 1 / 255


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_int8_is_a_quarter_of_the_bytes_and_close(how, exported):
    model, paths, _ = exported("rgba-finetune")
    graphs = {half: onnx.load(path) for half, path in zip(HALVES, paths, strict=True)}
    small = quantised(model, graphs, how)
    x = to_tensor(BUNDLED_PICTURES / "cat.png")[:, :3]
    x = torch.cat([x, torch.linspace(-1, 1, x.shape[3]).expand(1, 1, *x.shape[2:])], 1)
    exact = coarse = x
    for half in HALVES:
        exact = run(graphs[half].SerializeToString(), exact)[1]
        coarse = run(small[half].SerializeToString(), coarse)[1]
        assert small[half].ByteSize() < 0.35 * graphs[half].ByteSize()
        facts = {entry.key: entry.value for entry in small[half].metadata_props}
        assert facts["precision"] == f"int8 {how}"
        assert facts["range"] == "-1 1"
    assert 30 < -10 * torch.log10((coarse - exact).square().mean() / 4) < 80


def test_int8_of_other_models_is_refused():
    with pytest.raises(OptionError, match="int8 is for RgbaAutoencoder, not PatchAutoencoder"):
        quantised(MODELS["patch"](), {}, "static")

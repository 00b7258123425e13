"""Models as researchers load and share them: names, files, folders, the hub's layout."""

import json

import huggingface_hub
import pytest
import torch

import smalti
from smalti import weights
from smalti.errors import WeightsError
from smalti.models import MODELS
from smalti.models.fsq import FsqAutoencoder
from smalti.models.patch.model import PatchAutoencoder, PatchConfig

TINY = PatchConfig(latent_channels=4, width=16, features=8, blocks=1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PatchAutoencoder(TINY).eval().requires_grad_(False)


@pytest.mark.parametrize("name", weights.bundled())
def test_every_bundled_set_loads_by_its_name(name):
    model = smalti.load_model(name)
    assert type(model).__name__ in MODELS
    assert not model.training
    assert model.dtype == torch.float32


def test_a_folder_is_written_and_read(model, tmp_path):
    model.save_pretrained(tmp_path / "mine", dtype=torch.float32)
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    x = torch.rand(1, 3, 16, 24)
    for loaded in (
        PatchAutoencoder.from_pretrained(tmp_path / "mine"),
        smalti.load_model(str(tmp_path / "mine")),
    ):
        assert loaded.config == TINY
        assert torch.allclose(loaded(x), model(x), atol=1e-5)
    with pytest.raises(WeightsError, match="weights of PatchAutoencoder, not of FsqAutoencoder"):
        FsqAutoencoder.from_pretrained(tmp_path / "mine")


def test_dtype(model, tmp_path):
    model.save_pretrained(tmp_path / "mine.safetensors")
    loaded = PatchAutoencoder.from_pretrained(tmp_path / "mine.safetensors", dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}


def test_a_folder_as_the_hubs_mixin_writes_it(model, tmp_path):
    """Only tensors in the safetensors file, and the config's fields in config.json."""
    from safetensors.torch import save_file

    save_file(model.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="does not say which model"):
        PatchAutoencoder.from_pretrained(tmp_path)
    fields = {"latent_channels": 4, "width": 16, "features": 8, "blocks": 1, "decoder": "full"}
    (tmp_path / "config.json").write_text(json.dumps(fields))
    x = torch.rand(1, 3, 16, 24)
    assert torch.allclose(PatchAutoencoder.from_pretrained(tmp_path)(x), model(x), atol=1e-5)


def test_the_hubs_mixin_reads_our_folder(model, tmp_path):
    model.save_pretrained(tmp_path / "mine", dtype=torch.float32)

    class Theirs(huggingface_hub.PyTorchModelHubMixin, PatchAutoencoder):
        def __init__(self, config: PatchConfig) -> None:
            super().__init__(config)

    loaded = Theirs.from_pretrained(str(tmp_path / "mine"))
    assert loaded.config == TINY
    x = torch.rand(1, 3, 16, 24)
    assert torch.allclose(loaded(x), model(x), atol=1e-5)


def test_a_repository_out_of_reach_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="no folder nobody/nothing, and the Hugging Face") as e:
        smalti.load_model("nobody/nothing")
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 400


def test_a_folder_without_weights_is_one_sentence(tmp_path):
    with pytest.raises(WeightsError, match=r"has no model\.safetensors"):
        smalti.load_model(str(tmp_path))


def test_a_config_that_cannot_be_is_one_sentence(model, tmp_path):
    model.save_pretrained(tmp_path)
    state = weights.read(tmp_path / "model.safetensors")[1]
    from safetensors.torch import save_file

    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"decoder": "odd"}))
    with pytest.raises(WeightsError, match="does not fit PatchAutoencoder: decoder 'odd'"):
        PatchAutoencoder.from_pretrained(tmp_path)

"""The originals' checkpoints: keys as they come, from files and from the hub, and hostile files."""

import json
import pickle
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

import smalti
from smalti import weights
from smalti.errors import WeightsError
from smalti.models import MODELS, class_of
from smalti.models.rgba import RgbaAutoencoder

# What the originals' authors publish: StupidAE's names and shapes, and those of Boxes-RGBA, from
# the layers of their model cards; not made from our models.
GEGLU = {
    "norm.weight": (512,),
    "mlp.conv_up.weight": (2048, 512, 1, 1),
    "mlp.conv_up.bias": (2048,),
    "mlp.conv_down.weight": (512, 1024, 1, 1),
    "mlp.conv_down.bias": (512,),
}
CONV = {
    "norm.weight": (512,),
    "mlp.0.weight": (512, 512, 1, 1),
    "mlp.0.bias": (512,),
    "mlp.2.weight": (512, 512, 3, 3),
    "mlp.2.bias": (512,),
}


def mlp(n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    return {
        "0.weight": (512, n_in, 1, 1),
        "0.bias": (512,),
        "2.weight": (n_out, 512, 1, 1),
        "2.bias": (n_out,),
    }


def under(prefix: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.{key}": shape for key, shape in shapes.items()}


STUPID_AE = {
    "encoder.0.initial.0.weight": (512, 3, 8, 8),
    "encoder.0.initial.0.bias": (512,),
    **under("encoder.0.blocks.0", GEGLU),
    **under("encoder.0.blocks.1", GEGLU),
    **under("encoder.0.out.model", mlp(512, 16)),
    **under("decoder.0.conv_in.model", mlp(16, 512)),
    **under("decoder.0.blocks.0", CONV),
    **under("decoder.0.blocks.1", GEGLU),
    **under("decoder.0.blocks.2", CONV),
    **under("decoder.0.blocks.3", GEGLU),
    "decoder.0.nerf.0.param_gen.weight": (2048, 512),
    "decoder.0.nerf.0.param_gen.bias": (2048,),
    "decoder.0.nerf.0.norm.weight": (32,),
    "decoder.0.positions": (1, 64, 32),
    "decoder.0.last.weight": (3, 32),
    "decoder.0.last.bias": (3,),
}
BOXES = {
    f"{half}.{layer}.{part}": (n_out, *((n_in, k, k) if part == "weight" else ()))
    for half, layers in {
        "encoder": [
            (0, 4, 32, 3),
            (2, 32, 64, 3),
            (4, 64, 128, 3),
            (6, 128, 256, 3),
            (8, 256, 4, 1),
        ],
        "decoder": [(0, 4, 256, 3), (3, 64, 128, 3), (6, 32, 64, 3), (9, 16, 16, 3)],
    }.items()
    for layer, n_in, n_out, k in layers
    for part in ("weight", "bias")
}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """The user's cache folder, on every system."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setenv("LOCALAPPDATA", str(folder))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub of files: (repository, file) -> path; everything else is not found."""
    files: dict[tuple[str, str], Path] = {}

    def download(repository: str, file: str) -> str:
        if (repository, file) in files:
            return str(files[repository, file])
        if any(known == repository for known, _ in files):
            response = huggingface_hub.utils.httpx.Response(404)
            raise huggingface_hub.errors.RemoteEntryNotFoundError("no such entry", response)
        raise OSError("We couldn't connect to the hub. Check your connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return files


def checkpoint(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {k: 0.02 * torch.randn(shape, generator=random) for k, shape in shapes.items()}


def test_stupid_ae_from_the_hub_in_half_precision(hub, tmp_path, cache):
    state = {key: value.half() for key, value in checkpoint(STUPID_AE).items()}
    torch.save(state, tmp_path / "smol_f8c16.pt")
    hub["Muinez/StupidAE", "smol_f8c16.pt"] = tmp_path / "smol_f8c16.pt"
    model = smalti.load_model("hf:Muinez/StupidAE/smol_f8c16.pt")
    assert type(model).__name__ == "PatchAutoencoder"
    assert sum(p.numel() for p in model.parameters()) == 13_243_539
    assert (model.dtype, model.training) == (torch.float32, False)
    loaded = model.state_dict()
    assert all(torch.equal(loaded[key], value.float()) for key, value in state.items())
    pins = json.loads(weights.pin_file().read_text())
    assert weights.pin_file().is_relative_to(tmp_path)
    assert pins == {
        "Muinez/StupidAE/smol_f8c16.pt": weights.sha256(tmp_path / "smol_f8c16.pt").hex()
    }


@pytest.mark.parametrize("file", ["model.pt", "pytorch_model.bin", "ae_model_720_rgba.pt"])
def test_boxes_rgba_as_its_author_names_it(hub, tmp_path, file):
    state = checkpoint(BOXES)
    assert sum(value.numel() for value in state.values()) == 493_876
    torch.save(state, tmp_path / file)
    hub["Parallax-labs-1/parallax_VISION-boxes-RGBA", file] = tmp_path / file
    model = smalti.load_model(f"hf:Parallax-labs-1/parallax_VISION-boxes-RGBA/{file}")
    assert isinstance(model, RgbaAutoencoder)
    x = torch.rand(1, 4, 32, 32)
    conv = torch.nn.functional.conv2d(x, state["encoder.0.weight"], state["encoder.0.bias"], 2, 1)
    assert torch.allclose(model.encoder[0](x), conv, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "wrapped"),
    [("FsqAutoencoder", "")]
    + [("RgbaAutoencoder", name) for name in ("module.", "_orig_mod.", "state_dict")],
)
def test_an_architecture_is_recognised_from_its_keys(kind, wrapped, tmp_path):
    torch.manual_seed(0)
    model = class_of(kind)().eval()
    state = model.state_dict()
    if wrapped == "state_dict":
        state = {"state_dict": state, "step": 3}
    else:
        state = {wrapped + key: value for key, value in state.items()}
    torch.save(state, tmp_path / "a.pt")
    loaded = smalti.load_model(str(tmp_path / "a.pt"))
    assert type(loaded) is type(model)
    x = torch.rand(1, model.channels, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(x), model(x))


def test_safetensors_with_a_config_of_its_author(hub, tmp_path):
    """QKVAE-1m's repository: model.safetensors and a config.json with fields of its own."""
    torch.manual_seed(0)
    model = class_of("FsqAutoencoder")()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model": "QKVAE", "psnr": 32.61}))
    for file in ("model.safetensors", "config.json"):
        hub["Glint-Research/QKVAE-1m", file] = tmp_path / file
    for name in ("Glint-Research/QKVAE-1m", "hf:Glint-Research/QKVAE-1m"):
        loaded = smalti.load_model(name)
        assert torch.equal(loaded.encoder[0].weight, model.encoder[0].weight)
    assert list(json.loads(weights.pin_file().read_text())) == [
        "Glint-Research/QKVAE-1m/model.safetensors"
    ]


def test_a_file_that_changes_is_refused(hub, tmp_path):
    path = tmp_path / "model.pt"
    hub["a/b", "model.pt"] = path
    torch.save(checkpoint(BOXES), path)
    smalti.load_model("hf:a/b/model.pt")
    before = weights.sha256(path).hex()
    path = hub["a/b", "model.pt"] = tmp_path / "other.pt"
    torch.save(checkpoint(BOXES, seed=1), path)
    with pytest.raises(WeightsError, match="is another file than at first") as e:
        smalti.load_model("hf:a/b/model.pt")
    for part in (before, weights.sha256(path).hex(), str(weights.pin_file())):
        assert part in str(e.value)
    weights.pin_file().unlink()  # the way out
    smalti.load_model("hf:a/b/model.pt")


def test_pins_that_cannot_be_read_are_one_sentence(hub, tmp_path):
    hub["a/b", "model.pt"] = tmp_path / "model.pt"
    torch.save(checkpoint(BOXES), tmp_path / "model.pt")
    weights.pin_file().parent.mkdir(parents=True)
    weights.pin_file().write_text("[")
    with pytest.raises(WeightsError, match=r"cannot be kept in .*pinned\.json"):
        smalti.load_model("hf:a/b/model.pt")
    assert weights.pin_file().read_text() == "["


class Payload:
    """A pickle that makes a file when it is loaded as one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
@pytest.mark.parametrize("suffix", weights.PICKLES)
def test_a_pickle_with_code_does_not_run(tmp_path, write, suffix):
    ran = tmp_path / "ran"
    write({**checkpoint(BOXES), "extra": Payload(ran)}, tmp_path / f"a{suffix}")
    with pytest.raises(WeightsError, match="holds more than tensors") as e:
        smalti.load_model(str(tmp_path / f"a{suffix}"))
    assert not ran.exists()
    assert "\n" not in str(e.value)
    pickle.loads(pickle.dumps(Payload(ran)))  # the payload does what it says
    assert ran.exists()


@pytest.mark.parametrize("damage", ["empty", "text", "half", "pickle", "numbers", "list"])
def test_files_that_are_no_weights_are_one_sentence(tmp_path, damage):
    path = tmp_path / "a.pt"
    if damage in ("numbers", "list"):
        torch.save({"a": 1} if damage == "numbers" else [torch.zeros(1)], path)
    else:
        torch.save(checkpoint(BOXES), path)
        data = path.read_bytes()
        content = {"empty": b"", "text": b"<html>404</html>", "half": data[: len(data) // 2]}
        path.write_bytes(content.get(damage, pickle.dumps(object())))
    with pytest.raises(WeightsError, match=r"^a\.pt ") as e:
        smalti.load_model(str(path))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("change", ["missing", "more", "shape", "names"])
def test_tensors_of_no_original_are_refused(tmp_path, change):
    state = checkpoint(BOXES)
    if change == "missing":
        del state["decoder.9.bias"]
    elif change == "more":
        state["decoder.12.bias"] = torch.zeros(4)
    elif change == "shape":
        state["encoder.0.weight"] = torch.zeros(32, 3, 3, 3)
    else:
        state = {f"net.{key}": value for key, value in state.items()}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=f"its {len(state)} tensors are not named and shaped"):
        smalti.load_model(str(tmp_path / "a.pt"))
    with pytest.raises(WeightsError, match="does not say which model"):
        RgbaAutoencoder.from_pretrained(tmp_path / "a.pt")


def test_a_hub_out_of_reach_is_one_sentence(hub):
    with pytest.raises(WeightsError, match=r"not give model\.pt of a/b: We couldn't") as e:
        smalti.load_model("hf:a/b/model.pt")
    assert "a copy from elsewhere can be named by its path" in str(e.value)
    assert not weights.pin_file().exists()


@pytest.mark.parametrize("name", ["hf:a", "hf:", "hf:a/b/c.txt", "hf:a b/c/d.pt", "hf:/b/c.pt"])
def test_names_that_are_no_file_of_the_hub(name):
    with pytest.raises(WeightsError, match="it is hf:owner/name/file"):
        smalti.load_model(name)


def test_every_model_has_an_original_or_a_config(hub):
    """No two architectures share keys and shapes, so a file is of one at most."""
    from smalti.models.originals import shapes

    found = [tuple(sorted(shapes(class_of(kind)).items())) for kind in MODELS]
    assert len(set(found)) == len(MODELS)
    assert shapes(class_of("PatchAutoencoder")) == STUPID_AE
    assert shapes(class_of("RgbaAutoencoder")) == BOXES

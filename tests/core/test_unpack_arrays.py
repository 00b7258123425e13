"""What files hold as arrays, and what their sections are called."""

from pathlib import Path

import numpy as np
import pytest

import smalti
from smalti import api, registry
from smalti.codec import TrainedCodec
from smalti.errors import FormatError

from conftest import GOLDEN, NEEDS_TORCH, make_picture, run

CODECS = [
    pytest.param(
        name, marks=NEEDS_TORCH if issubclass(registry.codec_class(name), TrainedCodec) else []
    )
    for name in registry.CODECS
]
NAMES = {
    "bc7": {"blocks"},
    "latent-texture": {"network", "coarse_grid", "fine_grid"},
    "rgba-ae": {"latents", "integers"},
    "fsq": {"tokens", "digits"},
    "patch-ae": {"latents"},
    "fitted": {"networks", *(f"grid_{n}" for n in range(8))},
    "hash-texture": {"network", "table_0"},
    "neural-texture": {"network", "level_0_fine", "level_0_coarse"},
    "resampler": {"latents", "integers"},
}


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_gives_what_its_files_hold(name, monkeypatch):
    monkeypatch.setenv("SMALTI_WEIGHTS", str(GOLDEN))
    data = (GOLDEN / f"{name}.smt").read_bytes()
    found = api.arrays(data)
    assert NAMES[name] <= set(found)
    assert all(isinstance(array, np.ndarray) and array.size for array in found.values())
    held = smalti.info(data)
    assert len(held.names) == len(set(held.names)) == len(held.sections)
    assert not any(text.startswith("section ") for text in held.names)
    with pytest.raises(FormatError):
        api.arrays(data[:-1])


def test_alpha_that_stands_apart_is_an_array_too():
    pytest.importorskip("torch")
    x = make_picture(4, 16, 16)
    data = smalti.encode(x, "resampler")
    assert smalti.info(data).names == ("latents", "alpha")
    np.testing.assert_array_equal(api.arrays(data)["alpha"], x[..., 3])


@NEEDS_TORCH
def test_latents_are_what_the_decoder_draws():
    import torch

    x = make_picture(4, 32, 48)
    data = smalti.encode(x, "rgba-ae:step=0.5,weights=rgba-boxes")
    found = api.arrays(data)
    model = smalti.load_model("rgba-boxes")
    with torch.inference_mode():
        drawn = model.decode(torch.from_numpy(found["latents"])[None])[0]
    assert smalti.metrics(smalti.decode(data), (drawn.clamp(-1, 1) + 1) / 2).largest <= 1
    np.testing.assert_array_equal(found["latents"], found["integers"] * np.float32(0.5))


def test_unpack_writes_them_for_numpy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = smalti.encode(make_picture(3, 20, 30), "latent-texture:steps=2")
    Path("a.smt").write_bytes(data)
    code, out, _ = run(monkeypatch, capsys, "unpack", "a.smt", "--arrays", "a.npz")
    assert code == 0
    assert "a.smt -> a.npz: " in out
    assert "\n  coarse_grid      float32, 3 x 4 x 16\n" in out
    with np.load("a.npz") as held:
        for name, array in api.arrays(data).items():
            np.testing.assert_array_equal(held[name], array)
    for arguments, sentence in (
        (("a.smt", "--arrays", "a.npz"), "a.npz exists; --force replaces it"),
        (("a.smt", "--arrays", "a.npy"), "a.npy is no file of arrays; its name ends in .npz"),
        (("a.smt",), "name the folder for the pictures, or --arrays latents.npz"),
    ):
        code, _, err = run(monkeypatch, capsys, "unpack", *arguments)
        assert (code, err) == (1, f"smalti: {sentence}\n")


def test_info_tells_the_sections_names_and_settings(tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.smt"
    path.write_bytes(smalti.encode(make_picture(3, 20, 30), "latent-texture:steps=2,bits=6"))
    _, out, _ = run(monkeypatch, capsys, "info", path)
    assert "\n  settings     bits=6\n" in out
    for name in ("network", "coarse grid", "fine grid", "envelope"):
        assert f"\n  {name} " in out

"""Strangers' files for trained models: little memory, one sentence, nothing that they choose."""

import json
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import smalti
from smalti import container, registry
from smalti.entropy import encode_planes
from smalti.entropy.varint import write_varint, zigzag
from smalti.errors import FormatError, ImageError, WeightsError
from smalti.models.fsq import FsqAutoencoder, FsqConfig
from smalti.models.resampler import Resampler, ResamplerConfig
from smalti.tokens import files

from conftest import make_picture, run


def flat(name: str, height: int, width: int) -> bytes:
    """A file of some dozen bytes that asks for a picture of any size."""
    held = container.read(smalti.encode(make_picture(3, 16, 16), name))
    channels = {"rgba-ae": 4, "resampler": 32, "patch-ae": 16}.get(name)
    if channels is None:
        cells = (5, -(-height // 2), -(-width // 2))
        section = encode_planes(np.zeros(cells, np.int32), (8, 8, 8, 6, 5))
    else:
        step = write_varint(0) if name == "patch-ae" else b""
        section = (step + write_varint(zigzag(1)) + write_varint(1)) * channels
    forged = container.Container(
        held.codec, 3, height, width, held.config, (section,), held.weights
    )
    return container.write(forged)


def resident() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's own count")
@pytest.mark.parametrize(
    ("name", "height", "width"),
    [("rgba-ae", 2048, 2048), ("patch-ae", 384, 640), ("resampler", 480, 640), ("fsq", 360, 400)],
)
def test_a_small_file_takes_little_memory_whatever_it_asks_for(name, height, width):
    data = flat(name, height, width)
    assert len(data) < 100
    smalti.decode(flat(name, 64, 64))  # weights and kernels are there
    before, most, done = resident(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], resident())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        picture = smalti.decode(data)
    finally:
        done.set()
        thread.join()
    assert picture.shape == (height, width, 3)
    assert most[0] - before - picture.nbytes / 1e6 < 256


def test_a_server_limits_each_codec_by_itself():
    limits = {"fsq": 2**20}
    with pytest.raises(FormatError, match="2048 x 2048 = 4,194,304 texels of fsq, over the limit"):
        smalti.decode(flat("fsq", 2048, 2048), max_pixels=limits)
    assert smalti.decode(flat("rgba-ae", 32, 32), max_pixels=limits).shape == (32, 32, 3)


def test_parts_are_the_whole(monkeypatch):
    """Tokens around some tiles at once, layers stored or computed again: the same picture."""
    torch.manual_seed(0)
    config = ResamplerConfig(
        channels=3, latent_channels=4, width=16, frame=8, cells=4, atoms=6, texel_width=8, places=0
    )
    model = Resampler(config).eval().requires_grad_(False)
    z = torch.randn(1, 4, 40, 56)
    whole = model.decode(z, (80, 112))
    monkeypatch.setattr("smalti.models.resampler.TOKENS", 1)
    monkeypatch.setattr("smalti.models.resampler.TOGETHER", 1)
    assert (model.decode(z, (80, 112), tile=24) - whole).abs().max() < 1e-5

    tokenizer = FsqAutoencoder(FsqConfig(width=16)).eval().requires_grad_(False)
    digits = torch.randint(0, 5, (1, 5, 24, 30))
    stored = tokenizer.from_digits(digits, tile=7)
    monkeypatch.setattr("smalti.models.fsq.HELD", 0)
    assert (tokenizer.from_digits(digits, tile=7) - stored).abs().max() < 1e-5
    assert (stored - tokenizer.from_digits(digits)).abs().max() < 1e-5


def weights_file(path: Path, metadata: object, tensors: dict[str, torch.Tensor]) -> Path:
    from safetensors.torch import save

    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    path.write_bytes(save(tensors, {"smalti": text}))
    return path


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        7,
        {"model": ["FsqAutoencoder"], "config": {}},
        {"model": "FsqAutoencoder", "config": [1]},
        {"model": "FsqAutoencoder", "config": {"width": 12}},  # 8 groups do not divide it
        {"model": "FsqAutoencoder", "config": {"width": "16"}},
        {"model": "FsqAutoencoder", "config": {"width": -16}},
        {"model": "FsqAutoencoder", "config": {"width": True}},
        {"model": "FsqAutoencoder", "config": {"blocks": 1_000_000_000}},
        {"model": "FsqAutoencoder", "config": {"width": 8_000_000}},
        {"model": "FsqAutoencoder", "config": {"levels": [0, 0]}},
        {"model": "FsqAutoencoder", "config": {"levels": 5}},
        {"model": "Resampler", "config": {"mixing_blocks": 10**12}},
        {"model": "Resampler", "config": {"radius": "x"}},
        {"model": "PatchAutoencoder", "config": {"blocks": 10**9}},
        {"model": "Diffuser", "config": {"blocks": 10**9}},
        "[" * 100_000,
        '{"model": ' * 50_000,
    ],
)
def test_a_hostile_weights_file_is_refused_at_once(tmp_path, metadata):
    path = weights_file(tmp_path / "a.safetensors", metadata, {"x": torch.zeros(3)})
    start = time.perf_counter()
    with pytest.raises(WeightsError) as refused:
        smalti.load_model(str(path))
    assert time.perf_counter() - start < 5
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    model = FsqAutoencoder(FsqConfig(width=16, blocks=1))
    with torch.no_grad():
        model.decoder[0].weight[0, 0, 0, 0] = value
    model.save_pretrained(tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"decoder\.0\.weight holds NaN or infinity"):
        smalti.load_model(str(tmp_path / "a.safetensors"))


def test_a_safetensors_header_that_lies_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    for header in (
        b'{"x":',
        b"[]",
        b'{"x":{"dtype":"F32","shape":[9999999999],"data_offsets":[0,4]}}',
    ):
        path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
        with pytest.raises(WeightsError):
            smalti.load_model(str(path))


def test_an_ids_file_does_not_choose_what_is_loaded(tmp_path, monkeypatch, capsys):
    held = files.TokenFile([0, 1, 2], weights="hf:someone/else/model.safetensors")
    (tmp_path / "a.json").write_bytes(files.to_bytes(held, ".json"))
    code, _, error = run(monkeypatch, capsys, "untokens", tmp_path / "a.json", tmp_path / "b.png")
    assert code
    assert "--weights" in error
    assert "hub" not in error


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (lambda: torch.zeros(3, 4, 4).to_sparse(), "to_dense"),
        (lambda: torch.zeros(3, 4, 4, device="meta"), "holds no numbers"),
        (lambda: torch.zeros(3, 4, 4, dtype=torch.complex64), "complex64"),
    ],
)
def test_tensors_that_are_no_pictures_are_told_apart(tensor, sentence):
    with pytest.raises(ImageError, match=sentence):
        smalti.encode(tensor())


def test_small_floats_are_a_picture():
    x = torch.rand(3, 8, 8).to(torch.float8_e4m3fn)
    assert smalti.decode(smalti.encode(x)).shape == (8, 8, 3)


def test_a_tensor_that_requires_grad_is_a_picture():
    x = torch.rand(3, 8, 8, requires_grad=True)
    for codec in ("bc7", "latent-texture:steps=3", "hash-texture:steps=3", "patch-ae"):
        assert smalti.decode(smalti.encode(x, codec)).shape == (8, 8, 3)


def codecs_of_models() -> list[str]:
    return [
        name for name in ("fsq", "rgba-ae", "patch-ae", "resampler") if registry.wire_number(name)
    ]


@pytest.mark.parametrize("name", codecs_of_models())
def test_the_callers_torch_state_changes_nothing(name):
    x = make_picture(3, 40, 48)
    data = smalti.encode(x, name)
    picture = smalti.decode(data, dtype=np.float32)
    try:
        torch.set_default_dtype(torch.float64)
        for state in (
            torch.device("meta"),
            torch.autocast("cpu", dtype=torch.bfloat16),
            torch.inference_mode(),
            torch.enable_grad(),
        ):
            with state:
                assert smalti.encode(x, name) == data
                again = smalti.decode(data, dtype=np.float32)
            assert again.dtype == np.float32
            assert np.array_equal(again, picture)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<i4', '"),
        (".npy", b"\x93NUMPY\x01\x00\x40\x00" + b"((" * 32),
        (".npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff"),
        (".npy", b"PK\x03\x04"),
        (".txt", b"1 2 99999999999999999999999"),
        (".txt", b"1 2 three"),
        (".txt", b"\xff\xfe1"),
        (".txt", b"9" * 5000),
        (".json", b"[" * 100_000),
        (".json", b"[1e400]"),
    ],
)
def test_a_damaged_file_of_ids_is_one_sentence(tmp_path, suffix, data):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="is no file of ids"):
        files.read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_ids_that_powershell_redirected_are_read(tmp_path, encoding):
    for suffix, text in ((".txt", "3 4 5\r\n"), (".json", "[3, 4, 5]")):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(text.encode(encoding))
        assert files.read(path).ids == [3, 4, 5]


def test_models_are_compiled_in_one_graph():
    """Checks of values would be breaks; compiled models do without."""
    model = FsqAutoencoder(FsqConfig(levels=(3, 3), width=8, blocks=1)).eval()
    x, tokens = torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 4, dtype=torch.int64)
    for function, argument in ((model.encode, x), (model.decode, tokens), (model, x)):
        compiled = torch.compile(function, fullgraph=True, backend="eager")
        assert torch.equal(compiled(argument), function(argument))

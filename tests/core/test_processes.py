"""Other people's processes: forks, threads, fresh ones that import nothing else first."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import smalti
from smalti import native, textures

from conftest import NEEDS_TORCH, make_picture

PICTURE = make_picture(3, 64, 64)
CODECS = (
    "bc7",
    "latent-texture:steps=3",
    "hash-texture:steps=3",
    "fitted:steps=3",
    "neural-texture:steps=2",
)


def encoded(codec: str) -> bytes:
    return smalti.encode(PICTURE, codec, effort="ultrafast")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_children_of_a_fork_encode_and_decode():
    """DataLoader's workers are forks of a process that has used the kernels already."""
    native.set_threads(2)
    try:
        files = [encoded(codec) for codec in CODECS]
        pictures = [smalti.decode(file) for file in files]
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map_async(encoded, CODECS).get(120) == files
            for drawn, picture in zip(
                pool.map_async(smalti.decode, files).get(120), pictures, strict=True
            ):
                assert np.array_equal(drawn, picture)
    finally:
        native.set_threads(None)


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_bytes_for_every_number_of_threads_of_every_kind(codec):
    files = set()
    for count in (1, 2, 5):
        native.set_threads(count)
        try:
            files.add(encoded(codec))
        finally:
            native.set_threads(None)
    with ThreadPoolExecutor(3) as pool:
        files |= set(pool.map(encoded, [codec] * 3))
    assert len(files) == 1


@NEEDS_TORCH
def test_a_repository_is_asked_for_in_a_fresh_process(tmp_path):
    """huggingface_hub makes its modules on first use, and nothing has used them here."""
    program = """
import smalti
try:
    smalti.load_model("nobody/nothing")
except smalti.errors.WeightsError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
    )
    assert "the Hugging Face hub does not give model.safetensors" in done.stdout
    assert "attribute" not in done.stdout


def test_floats_that_arithmetic_carried_beyond_one_are_a_picture():
    x = np.full((4, 4, 3), 1.000001, np.float32)
    assert smalti.decode(smalti.encode(x)).min() == 255
    with pytest.raises(smalti.errors.ImageError, match=r"not 1\.0001\d* \.\."):
        smalti.encode(x * np.float32(1.0001))


def test_mip_levels_count_without_the_flag_that_says_so():
    colours = (10, 50, 90, 130, 170, 210)
    faces = [np.full((8, 8, 3), level, np.uint8) for level in colours]
    data = bytearray(textures.write_texture(textures.encode_texture(faces, cube=True), ".dds"))
    data[10] &= ~0x02  # DDSD_MIPMAPCOUNT, 0x20000 of the flags at byte 8
    read = textures.read_texture(bytes(data))
    assert len(read.levels) == 4
    for face, level in enumerate(colours):
        assert abs(int(textures.decode_surface(read, face=face)[0, 0, 0]) - level) <= 1

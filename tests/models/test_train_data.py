"""Training data: every kind of source, and batches that follow from seed and step alone."""

import io
import tarfile

import numpy as np
import pytest
import torch

from smalti import image
from smalti.errors import ImageError, OptionError
from smalti.train.boxes import draw_boxes
from smalti.train.data import Batches, prefetched, shapes
from smalti.train.sources import Pictures


@pytest.fixture
def folder(tmp_path, picture):
    """Pictures of 1 to 4 channels, and what is no picture."""
    (tmp_path / "deep").mkdir()
    for channels, name in enumerate(("a.png", "b.tif", "deep/c.webp", "d.png"), start=1):
        image.save(picture(channels, 30, 40 + channels), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def shard(path, names_and_files):
    with tarfile.open(path, "w") as tar:
        for name, data in names_and_files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def batch_of(pictures, **settings):
    return Batches(pictures, **{"side": 16, **settings})


def test_folders_tars_and_arrays_are_the_same_pictures(folder, tmp_path, picture):
    images = np.stack([image.to_uint8(picture(3, 20, 24, seed)) for seed in range(3)])
    np.savez(tmp_path / "three.npz", images=images)
    np.savez(tmp_path / "planes.npz", images=images.transpose(0, 3, 1, 2))
    files = []
    for row in range(3):
        path = tmp_path / f"{row}.png"
        image.save(images[row], path)
        files += [(f"{row:04d}.png", path.read_bytes()), (f"{row:04d}.cls", b"7")]
        path.unlink()
    (tmp_path / "shards").mkdir()
    shard(tmp_path / "shards" / "train-000000.tar", files)

    of_array = Pictures([tmp_path / "three.npz"])
    of_tar = Pictures([tmp_path / "shards" / "train-000000.tar"])
    of_folder = Pictures([tmp_path / "shards"])
    of_planes = Pictures([tmp_path / "planes.npz"])
    for pictures in (of_array, of_planes, of_tar, of_folder):
        assert len(pictures) == 3
        for row in range(3):
            np.testing.assert_array_equal(pictures[row], images[row])
    mixed = Pictures([tmp_path / "shards", folder])
    assert len(mixed) == 3 + 4 + 3  # the shards once by name, once within `folder`


def test_channels(folder):
    for channels in (3, 4):
        pictures = Pictures([folder], channels=channels)
        assert {pictures[i].shape[2] for i in range(4)} == {channels}
    opaque = [bool((pictures[i][:, :, 3] == 255).all()) for i in range(4)]
    assert opaque == [True, False, False, True]  # a.png, b.tif (grey + alpha), d.png, deep/c.webp


def test_the_cache_keeps_within_its_memory_and_changes_nothing(folder, monkeypatch):
    reads = []
    read = image.as_picture
    monkeypatch.setattr(image, "as_picture", lambda source: reads.append(source) or read(source))
    none, all_ = Pictures([folder], cache_mb=0), Pictures([folder], cache_mb=1)
    for pictures, expected in ((none, 12), (all_, 4)):
        reads.clear()
        for _ in range(3):
            for i in range(4):
                assert pictures[i] is not None
        assert len(reads) == expected
    first, second = (batch_of(p)(3, 0, 6) for p in (none, all_))
    assert torch.equal(first, second)


def test_batches_follow_from_seed_and_step(folder):
    pictures = Pictures([folder])
    batches = batch_of(pictures, seed=1)
    assert torch.equal(batches(7, 0, 4), batch_of(pictures, seed=1)(7, 0, 4))
    assert not torch.equal(batches(7, 0, 4), batches(8, 0, 4))
    assert not torch.equal(batches(7, 0, 4), batch_of(pictures, seed=2)(7, 0, 4))
    halves = torch.cat([batches(7, 0, 2), batches(7, 2, 2)])
    assert torch.equal(halves, batches(7, 0, 4))
    ahead = list(prefetched(lambda step: batches(step, 0, 2), 5, 11, threads=3))
    assert all(torch.equal(ahead[i], batches(5 + i, 0, 2)) for i in range(6))


def test_crops_are_crops_of_the_pictures(folder):
    pictures = Pictures([folder])
    crops = batch_of(pictures, side=8)(0, 0, 5)
    assert crops.shape == (5, 3, 8, 8)
    for crop in crops:
        level = (crop * 255).round().byte().permute(1, 2, 0).numpy()
        windows = [
            np.lib.stride_tricks.sliding_window_view(picture, (8, 8, 3))[:, :, 0]
            for picture in map(pictures.__getitem__, range(4))
        ]
        assert any(
            (found == mirrored).all(axis=(2, 3, 4)).any()
            for found in windows
            for mirrored in (level, level[:, ::-1])
        )


def test_each_batch_has_one_shape_of_as_many_texels(folder):
    assert shapes(24, 2, 1) == [(24, 24)]
    assert shapes(24, 2, 2) == [(18, 32), (24, 24), (32, 18)]
    assert all(h * w == 64 * 64 and h % 8 == w % 8 == 0 for h, w in shapes(64, 8, 4))
    batches = batch_of(Pictures([folder]), side=12, factor=2, aspect=4)
    sizes = {tuple(batches(step, 0, 2).shape[2:]) for step in range(40)}
    assert sizes == {(6, 24), (8, 18), (12, 12), (18, 8), (24, 6)}
    with pytest.raises(OptionError, match="side=20; this model takes multiples of 16"):
        shapes(20, 16, 1)


def test_unreadable_and_small_pictures_are_left_out(folder):
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    image.save(np.zeros((4, 4, 3), np.uint8), folder / "small.png")
    pictures = Pictures([folder])
    assert len(pictures) == 6
    batches = batch_of(pictures, side=16)
    assert batches(0, 0, 40).shape == (40, 3, 16, 16)
    assert list(pictures.unreadable) == [str(folder / "broken.png")]


def test_wrong_sources_are_one_sentence(folder, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("wrong")
    np.savez(tmp_path / "other.npz", pictures=np.zeros(3))
    np.savez(tmp_path / "grey.npz", images=np.zeros((2, 8, 8), np.uint8))
    (tmp_path / "not.tar").write_bytes(b"no tar" * 200)
    (tmp_path / "void").mkdir()
    for name, sentence in (
        ("none", "is no folder of pictures, no .tar and no .npz file"),
        ("other.npz", "has no readable array `images`"),
        ("grey.npz", "not N H W 3 or N 3 H W of uint8"),
        ("not.tar", "is no uncompressed tar file"),
        ("void", "no picture in"),
    ):
        with pytest.raises(ImageError, match=sentence):
            Pictures([tmp_path / name])
    with pytest.raises(ImageError, match=r"of 4 pictures none .* at least 64 x 64"):
        batch_of(Pictures([folder]), side=64)


def test_boxes_are_pictures_with_every_kind_of_alpha():
    batches = Batches(None, side=32, channels=4, boxes=1.0, seed=1)
    x = batches(7, 0, 16)
    assert torch.equal(x, batches(7, 0, 16))
    assert x.shape == (16, 4, 32, 32)
    assert 0 <= x.min() <= x.max() <= 1
    alpha = x[:, 3]
    assert (alpha == 0).any()
    assert (alpha > 0.999).any()
    assert ((alpha > 0.1) & (alpha < 0.9)).any()
    wide = draw_boxes([np.random.default_rng(0)], 16, 64)
    assert wide.shape == (1, 4, 16, 64)


def test_a_share_of_boxes_among_pictures(folder):
    pictures = Pictures([folder], channels=4)
    half = Batches(pictures, side=16, channels=4, boxes=0.5, seed=0)
    assert half(0, 0, 64).shape == (64, 4, 16, 16)
    drawn = sum(np.random.default_rng((0, 0, 1 + i)).random() < 0.5 for i in range(64))
    assert 20 < drawn < 44


def test_patches_of_a_model_that_begins_linear(folder):
    patches = batch_of(Pictures([folder])).patches(8, black=-1.0, count=100)
    assert patches.shape == (100, 3, 8, 8)
    assert -1 <= patches.min() < -0.5 < 0.5 < patches.max() <= 1

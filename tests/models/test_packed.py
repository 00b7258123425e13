"""Packed batches of pictures of any sizes against each picture by itself."""

from functools import partial

import pytest
import torch
from torch.utils.data import DataLoader

from smalti.errors import ImageError, OptionError
from smalti.models.packed import (
    Packed,
    PackedPatchAutoencoder,
    batches_of_cells,
    cells_of,
    collate_packed,
    pack_patches,
    unpack_patches,
)
from smalti.models.patch.model import DECODERS, PatchAutoencoder, PatchConfig

from conftest import make_tensor

SIZES = ((5, 3), (24, 40), (8, 8), (61, 17), (24, 40), (1, 90))  # one cell, repeats, a strip


def shaken(decoder: str, dtype: torch.dtype = torch.float32) -> PatchAutoencoder:
    """A model all of whose weights matter: no gain is 1, no bias 0."""
    torch.manual_seed(0)
    config = PatchConfig(decoder=decoder, latent_channels=4, width=32, features=8)
    model = PatchAutoencoder(config).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return model


def pictures(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    return [2 * make_tensor(3, *size, seed=i).to(dtype) - 1 for i, size in enumerate(SIZES)]


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_packed_batch_is_each_picture_by_itself(decoder):
    model = shaken(decoder).requires_grad_(False)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    packed = PackedPatchAutoencoder(model)
    z = packed.encode(pictures())
    assert z.sizes == ((1, 1), (3, 5), (1, 1), (8, 3), (3, 5), (1, 12))
    x_hats = packed.decode(z, SIZES)
    for x, latent, x_hat in zip(pictures(), z.unpack(), x_hats, strict=True):
        alone = model.encode(x[None])
        assert (latent - alone[0]).abs().max() < 1e-5
        assert (x_hat - model.decode(alone, x.shape[1:])[0]).abs().max() < 2e-5
        assert x_hat.shape == x.shape
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("decoder", DECODERS)
def test_gradients_are_those_of_each_picture_by_itself(decoder):
    model = shaken(decoder, torch.float64)
    packed = PackedPatchAutoencoder(model)
    patches = pack_patches(pictures(torch.float64), 8)
    error = packed.decode_patches(packed.encode(patches)).values - patches.values
    error.square().sum().backward()
    got = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    for part in patches.unpack():
        x = unpack_patches(Packed.of([part]), 8)[0][None]
        (model(x) - x).square().sum().backward()
    for name, parameter in model.named_parameters():
        largest = parameter.grad.abs().max()
        assert largest > 0, name
        assert (got[name] - parameter.grad).abs().max() < 1e-9 * largest, name


def test_a_picture_does_not_see_its_neighbours():
    model = shaken("full").requires_grad_(False)
    packed = PackedPatchAutoencoder(model)
    z = packed.encode(pictures())
    other = z.values.clone()
    other[z.offsets[1] : z.offsets[2]] += 1
    changed = [
        not torch.equal(x, y)
        for x, y in zip(packed.decode(z), packed.decode(z.like(other)), strict=True)
    ]
    assert changed == [False, True, False, False, False, False]


def test_bfloat16_on_the_way_is_close():
    model = shaken("full").requires_grad_(False)
    packed = PackedPatchAutoencoder(model)
    z = packed.encode(pictures())
    with torch.autocast("cpu", torch.bfloat16):
        close = packed.decode_patches(packed.encode(pictures())).values.float()
    exact = packed.decode_patches(z).values
    assert (exact - close).square().mean() < 1e-3 * exact.square().mean()


def test_packing_keeps_grids_and_patches():
    grids = [torch.randn(4, *size) for size in ((1, 1), (3, 5), (2, 7))]
    packed = Packed.of(grids)
    assert packed.offsets == (0, 1, 16, 30)
    assert len(packed) == 3
    pairs = zip(grids, packed.unpack(), strict=True)
    assert all(torch.equal(grid, again) for grid, again in pairs)
    assert packed.owners().tolist() == [0] + 15 * [1] + 14 * [2]
    row, column = packed.positions()[1 + 2 * 5 + 3].tolist()
    assert (row, column) == (2.5, 3.5)
    assert packed.to(torch.float64).values.dtype == torch.float64

    originals = pictures()
    patches = pack_patches(originals, 8)
    assert patches.values.shape == (1 + 15 + 1 + 24 + 15 + 12, 192)
    pairs = zip(originals, unpack_patches(patches, 8, SIZES), strict=True)
    assert all(torch.equal(picture, again) for picture, again in pairs)
    whole = unpack_patches(patches, 8)[0]
    assert torch.equal(whole[:, 5:], whole[:, 4:5].expand(3, 3, 8))  # the border repeated


def test_a_loader_gives_packed_batches_within_the_budget():
    labels = list(range(len(SIZES)))
    sizes = [cells_of(size, 8) for size in SIZES]
    batches = batches_of_cells(sizes, 40, seed=1)
    assert batches == batches_of_cells(sizes, 40, seed=1)
    assert sorted(i for batch in batches for i in batch) == labels
    assert max(sum(sizes[i][0] * sizes[i][1] for i in batch) for batch in batches) <= 40
    assert batches_of_cells(sizes, 40) == [[0, 1, 2], [3, 4], [5]]
    collate = partial(collate_packed, patch=8)
    samples = list(zip(pictures(), labels, strict=True))
    loader = DataLoader(samples, batch_sampler=batches, collate_fn=collate)
    for (patches, label), batch in zip(loader, batches, strict=True):
        assert label.tolist() == batch
        assert patches.sizes == tuple(sizes[i] for i in batch)
    only = next(iter(DataLoader(pictures(), batch_size=2, collate_fn=collate)))
    assert only.sizes == ((1, 1), (3, 5))


def test_what_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="picture 1 has 15 cells, above the budget of 14"):
        batches_of_cells([(1, 1), (3, 5)], 14)
    with pytest.raises(ImageError, match="at least one picture"):
        pack_patches([], 8)
    with pytest.raises(ImageError, match="all C H W with one C"):
        Packed.of([torch.zeros(3, 2, 2), torch.zeros(4, 2, 2)])
    with pytest.raises(ImageError, match="for grids of 6 cells"):
        Packed(torch.zeros(5, 2), ((2, 3),))
    packed = PackedPatchAutoencoder(shaken("simple"))
    with pytest.raises(ImageError, match="patches of 256 values; this model's have 192"):
        packed.encode([torch.zeros(4, 8, 8)])
    with pytest.raises(ImageError, match="latents of 3 channels; this model's have 4"):
        packed.decode(Packed(torch.zeros(1, 3), ((1, 1),)))

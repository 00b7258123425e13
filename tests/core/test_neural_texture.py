"""Neural textures: kernels against their twin, fit, files, random access, the shaders' output."""

import dataclasses

import numpy as np
import pytest

import smalti
from smalti import container
from smalti.codecs.neural_texture import NeuralTextureCodec
from smalti.errors import FormatError, ImageError, OptionError, SmaltiError
from smalti.fits.material import kernels, reference
from smalti.fits.material.fit import blocks_of, first_network
from smalti.fits.material.layout import BUDGETS, Grid, Layout
from smalti.fits.material.maps import Map, kind_of, mip_levels
from smalti.fits.material.texture import NeuralTexture
from smalti.image import as_picture, save, to_uint8
from smalti.material import codec_for, fit_material, open_material, write_material
from smalti.smt import open_file

from conftest import make_picture, run
from native_builds import on_every_build
from neural_maps import ODD, make_maps


@pytest.fixture(scope="module")
def maps():
    return make_maps()


@pytest.fixture(scope="module")
def material(maps):
    return fit_material(maps, bpp=16, rounds=60)


@pytest.fixture(scope="module")
def data(material):
    return write_material(material)


def random_parameters(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    nodes = random.uniform(0, 1, layout.value_count).astype(np.float32)
    network = first_network(layout, np.full(layout.channels, 0.5), random)
    return nodes, network + random.normal(0, 0.1, network.shape).astype(np.float32)


def loss_and_slope(layout, nodes, network, mip, target, weights, alpha):
    """Half the weighted square error of one mip level, its slope by the texels, and plain errors."""
    t = target.transpose(2, 0, 1) / 255
    miss = reference.mip_level(layout, nodes, network, mip).clip(0, 1) - t
    seen = np.ones_like(miss)
    if alpha is not None:
        seen[:alpha] = t[alpha]
    slope = miss * seen * weights[:, None, None]  # passes through the clipping
    return (miss * slope).sum() / 2, slope, (miss**2).sum((1, 2))


@pytest.mark.parametrize("mode", [kernels.LEVELS, kernels.NOISY, kernels.ROUNDED])
@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("alpha", [None, 4])
def test_gradients_are_those_of_the_twin(mode, repeat, alpha):
    layout = dataclasses.replace(ODD, repeat=repeat)
    nodes, network = random_parameters(layout)
    random = np.random.default_rng(1)
    targets = [
        random.integers(0, 256, (*layout.size(m), 5), dtype=np.uint8)
        for m in range(layout.mip_count)
    ]
    weights = np.array([1, 2, 0.5, 0, 1], np.float32)
    key = 4_000_000_000
    noise = reference.noise(len(nodes), key)

    given, seen = nodes.copy(), nodes.astype(np.float64)
    for values, _, grid in layout.grid_slices():
        if mode == kernels.LEVELS:  # takes levels, and is smooth in them
            given[values] *= grid.steps
        elif mode == kernels.NOISY:
            seen[values] += noise[values] / np.float64(grid.steps)
        else:
            seen[values] = np.floor(nodes[values] * np.float32(grid.steps) + 0.5) / grid.steps

    texels = np.concatenate([t.transpose(2, 0, 1).ravel() for t in targets])
    blocks = blocks_of(layout)

    def run(threads=1):
        found = np.zeros_like(nodes), np.zeros_like(network), np.zeros((2, 5))
        gradient = kernels.Gradient(
            layout, texels, weights, -1 if alpha is None else alpha, len(blocks), threads=threads
        )
        gradient(blocks, mode, key, given, network, *found)
        return found

    got = on_every_build(run)
    assert [a.tobytes() for a in run(threads=3)] == [a.tobytes() for a in got]

    wide = network.astype(np.float64)
    expected = [np.zeros_like(seen), np.zeros_like(wide), np.zeros((2, 5))]
    for mip, target in enumerate(targets):
        _, slope, errors = loss_and_slope(layout, seen, wide, mip, target, weights, alpha)
        for total, part in zip(
            expected, reference.gradients(layout, seen, wide, mip, slope), strict=False
        ):
            total += part
        expected[2][mip % 2] += errors
    np.testing.assert_allclose(got[2], expected[2], rtol=1e-5)
    for ours, twins in zip(got[:2], expected[:2], strict=True):
        assert np.abs(ours - twins).max() < 1e-4 * np.abs(twins).max()


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("mip", [0, 1])
def test_the_twins_gradient_is_the_slope(repeat, mip):
    layout = dataclasses.replace(ODD, repeat=repeat)
    nodes, network = (a.astype(np.float64) for a in random_parameters(layout))
    random = np.random.default_rng(1)
    wanted = random.normal(0, 1, (5, *layout.size(mip)))

    def loss(nodes, network):
        return (reference.mip_level(layout, nodes, network, mip) * wanted).sum()

    slopes = reference.gradients(layout, nodes, network, mip, wanted)
    for which, slope in enumerate(slopes):
        way = random.normal(0, 1, slope.shape)
        ends = []
        for step in (-1e-6, 1e-6):
            moved = [nodes, network]
            moved[which] = moved[which] + step * way
            ends.append(loss(*moved))
        assert (ends[1] - ends[0]) / 2e-6 == pytest.approx(slope.ravel() @ way, rel=1e-6)


@pytest.mark.parametrize("repeat", [False, True])
def test_decoding_is_the_twins_on_every_build(repeat):
    layout = dataclasses.replace(ODD, repeat=repeat)
    nodes, network = random_parameters(layout)
    codes = np.empty(len(nodes), np.uint8)
    for values, _, grid in layout.grid_slices():
        codes[values] = np.rint(nodes[values] * grid.steps)
        nodes[values] = codes[values] / grid.steps
    texture = NeuralTexture(layout, codes, network.astype(np.float16))
    for mip in range(layout.mip_count):
        (drawn,) = on_every_build(lambda mip=mip: (texture.mip(mip),))
        expected = reference.mip_level(
            layout, nodes.astype(np.float64), texture.network.astype(np.float64), mip
        )
        assert np.abs(drawn - expected.transpose(1, 2, 0).clip(0, 1)).max() < 1e-5


def test_noise_is_of_one_step():
    noise = reference.noise(4000, 7)
    assert np.abs(noise).max() <= 0.5
    assert noise.std() == pytest.approx(12**-0.5, rel=0.03)
    assert abs(noise.mean()) < 0.02


def test_adam_moves_the_blocks_nodes_and_no_others():
    layout = ODD
    nodes, _ = random_parameters(layout)
    random = np.random.default_rng(2)
    texels = np.zeros(
        sum(5 * h * w for h, w in map(layout.size, range(layout.mip_count))), np.uint8
    )
    gradient = kernels.Gradient(layout, texels, np.ones(5, np.float32), -1, 1)
    blocks = np.array([[0, 1, 1]])  # the last of the first level: rows and columns are cut off
    d = random.normal(0, 1, nodes.shape).astype(np.float32)

    def run():
        moved, d_nodes = nodes.copy(), d.copy()
        mean, spread = np.full((2, len(nodes)), 0.5, np.float32)
        gradient.adam_nodes(blocks, 0.05, 3, moved, d_nodes, mean, spread)
        return moved, d_nodes, mean, spread

    moved, d_nodes, mean, spread = on_every_build(run)
    inside = np.zeros(len(nodes), bool)
    for values, shape, grid in layout.grid_slices()[:2]:
        block = inside[values].reshape(shape)
        block[:, 16 // grid.scale : 32 // grid.scale, 64 // grid.scale :] = True
    m = 0.9 * 0.5 + 0.1 * d
    v = 0.99 * 0.5 + 0.01 * d.astype(np.float64) ** 2
    step = 0.05 * m / (1 - 0.9**3) / (np.sqrt(v / (1 - 0.99**3)) + 1e-8)
    np.testing.assert_allclose(moved[inside], (nodes - step)[inside].clip(0, 1), atol=1e-6)
    np.testing.assert_array_equal(moved[~inside], nodes[~inside])
    np.testing.assert_array_equal(d_nodes, np.where(inside, 0, d))
    np.testing.assert_allclose(mean[inside], m[inside], rtol=1e-5)
    np.testing.assert_allclose(spread[inside], v[inside], rtol=1e-5)


@pytest.mark.parametrize("field", ["fine", "coarse", "hidden"])
def test_a_layout_of_too_many_numbers_is_refused(field):
    with pytest.raises(OptionError, match=f"{field} is . numbers, not 4"):
        NeuralTextureCodec(**{field: (2, 2, 2, 2)})


def test_a_file_of_another_first_map_is_refused(data):
    codec, size, sections, _ = open_file(data)
    with pytest.raises(FormatError, match="the first map has 3 channels, and the picture 4"):
        codec.unpack(sections, size._replace(channels=4))
    with pytest.raises(FormatError, match="no sections"):
        codec.unpack([], size)


def test_memory_is_counted_to_the_bit():
    layout = Layout(512, 512, 8)
    nodes = sum((256 >> 2 * j) ** 2 * 12 + max(1, 128 >> 2 * j) ** 2 * 24 for j in range(5))
    assert layout.memory_bits == nodes + 16 * (32 * 13 + 32 * 33 + 8 * 33)
    assert layout.bpp == layout.memory_bits / 512**2
    assert layout.bpp_chain == layout.memory_bits / sum(4**k for k in range(10))
    assert layout.bpp <= 5


@pytest.mark.parametrize("bpp", [2.5, 5, 10, 20])
def test_a_budget_is_kept_and_used(bpp):
    layout = codec_for(bpp, 1024, 1024, 9).layout(1024, 1024, 9)
    assert 0.85 * bpp < layout.bpp <= bpp
    assert layout.bpp in {
        Layout(1024, 1024, 9, Grid(*fine), Grid(*coarse)).bpp for fine, coarse in BUDGETS
    }


def test_a_fit_comes_near(maps, material):
    """Far above what the mean colour, 12 dB, or an untrained network would give."""
    texture = material.texture
    pictures = [to_uint8(as_picture(x)) for x in maps.values()]
    sizes = zip(maps, pictures, strict=True)
    kinds = [Map(name, x.shape[2], kind_of(name)) for name, x in sizes]
    levels = mip_levels(kinds, pictures, texture.layout.mip_count, repeat=False)
    for mip in (0, 1, 2):
        mse = np.square(texture.mip(mip) - levels[mip] / 255).mean()
        assert -10 * np.log10(mse) > 26, mip


def test_weights_move_the_error_where_it_costs_least():
    noise = np.random.default_rng(0).uniform(0, 1, (32, 32, 4)).astype(np.float32)
    maps = {"albedo": noise[..., :3], "height": noise[..., 3:]}  # too much for the grids

    def error(**weights):
        fitted = fit_material(maps, bpp=36, rounds=5, weights=weights)
        return float(np.square(fitted.mip("height") - maps["height"]).mean())

    assert error(height=20) < 0.7 * error(albedo=20)


def test_colour_under_alpha_0_costs_nothing():
    x = make_picture(4, 40, 64)
    x[:, :9, :3] = np.random.default_rng(0).integers(0, 256, (40, 9, 3))  # invisible
    noisy, plain = (
        smalti.decode(smalti.encode(each, "neural-texture:steps=40"))
        for each in (x, make_picture(4, 40, 64))
    )
    visible = x[..., 3] > 51
    misses = [np.square(d.astype(float) - x)[visible][:, :3].mean() for d in (noisy, plain)]
    assert misses[0] < 1.5 * misses[1]


def test_a_stopped_fit_is_a_fit(maps):
    done = []
    fitted = fit_material(
        maps,
        bpp=16,
        effort="best",
        on_step=lambda n, *_: done.append(n),
        stopped=lambda: len(done) == 5,
    )
    assert done == [1, 2, 3, 4, 5]
    assert open_material(write_material(fitted)).maps == fitted.maps
    assert np.square(fitted.mip("ao")[..., 0] - maps["ao"]).mean() < 0.05


def test_a_file_gives_the_material_back(material, data):
    opened = open_material(data)
    assert opened.maps == material.maps
    assert opened.texture.layout == material.texture.layout
    np.testing.assert_array_equal(opened.texture.codes, material.texture.codes)
    np.testing.assert_array_equal(opened.texture.network, material.texture.network)
    first = smalti.decode(data)
    assert np.array_equal(first, to_uint8(opened.mip("albedo")))
    assert smalti.info(data).size == (3, 48, 64)


def test_a_picture_is_a_material_of_one_map():
    picture = make_picture(2, 20, 30)
    encoded = smalti.encode(picture, "neural-texture:steps=5")
    opened = open_material(encoded)
    assert opened.maps == (Map("picture", 2, "colour"),)
    assert np.array_equal(to_uint8(opened.mip("picture")), smalti.decode(encoded))


def test_any_texel_window_mip_and_size(material):
    for mip in range(material.texture.layout.mip_count):
        whole = material.mip("normal", mip)
        height, width = material.texture.layout.size(mip)
        assert whole.shape == (height, width, 3)
        y, x = height // 2, width - 1
        assert np.array_equal(material.texel("normal", y, x, mip=mip), whole[y, x])
        top, left = height // 3, width // 3
        part = material.window("normal", top, left, height - top, width - left, mip=mip)
        assert np.array_equal(part, whole[top:, left:])
    assert np.array_equal(material.at_size("ao", 24, 32), material.mip("ao", 1))
    assert material.at_size("ao", 31, 200).shape == (31, 200, 1)
    with pytest.raises(OptionError, match="no map 'height' here; the maps are albedo, normal"):
        material.mip("height")
    with pytest.raises(OptionError, match="mip level 7; this texture's go from 0 to 6"):
        material.mip("ao", 7)
    with pytest.raises(OptionError, match="24 rows and 32 columns of mip level 1"):
        material.window("ao", 0, 30, 4, 4, mip=1)


def test_maps_that_no_material_has(maps):
    with pytest.raises(OptionError, match="what is the map 'thing'"):
        fit_material({"thing": maps["ao"]})
    with pytest.raises(ImageError, match="these differ: albedo 64 x 48, ao 8 x 8"):
        fit_material({"albedo": maps["albedo"], "ao": np.zeros((8, 8), np.uint8)}, bpp=20, rounds=1)
    many = {f"part{k}_albedo": maps["albedo"] for k in range(6)}
    with pytest.raises(OptionError, match="maps of 18 channels together"):
        fit_material(many)
    with pytest.raises(OptionError, match=r"1 bits a texel; the smallest layout takes"):
        fit_material(maps, bpp=1)
    with pytest.raises(OptionError, match="a weight for 'gloss'; the maps are albedo, ao"):
        fit_material(maps, bpp=20, weights={"gloss": 2})


def test_forged_materials_are_refused_or_decode(data):
    held = container.read(data)
    random = np.random.default_rng(0)
    for _ in range(20):
        sections = [bytearray(s) for s in held.sections]
        for _ in range(random.integers(1, 4)):
            section = sections[random.integers(len(sections)) if random.random() < 0.5 else 0]
            if section:
                section[random.integers(len(section))] = random.integers(256)
        forged = dataclasses.replace(held, sections=tuple(map(bytes, sections)))
        try:
            texture = open_material(container.write(forged)).texture
            assert np.isfinite(texture.mip(0)).all()
        except SmaltiError:
            continue
    many = dataclasses.replace(held, sections=held.sections[:-1])
    with pytest.raises(FormatError, match="sections of network and grids; this layout has"):
        open_material(container.write(many))
    with pytest.raises(FormatError, match="over the limit of 100"):
        open_material(data, max_pixels=100)
    with pytest.raises(FormatError, match="this file's codec is bc7, not neural-texture"):
        open_material(smalti.encode(make_picture(3, 8, 8), effort="ultrafast"))


def test_the_commands(maps, tmp_path, monkeypatch, capsys):
    source, file = tmp_path / "maps", tmp_path / "m.smt"
    source.mkdir()
    for name, x in maps.items():
        save(x, source / f"{name}.png")
    code, out, _ = run(
        monkeypatch,
        capsys,
        "material",
        "fit",
        source,
        file,
        "--rounds",
        2,
        "--bpp",
        16,
        "--weights",
        "normal=2",
    )
    assert (code, "4 maps, 8 channels" in out) == (0, True)
    assert open_material(file.read_bytes()).maps[0].name == "albedo"
    code, out, _ = run(monkeypatch, capsys, "material", "info", file)
    assert "in memory" in out
    assert "on disk" in out
    arguments = ["--map", "ao", "--mip", 1, "--window", "5x6+7+8"]
    code, _, _ = run(
        monkeypatch, capsys, "material", "decode", file, tmp_path / "drawn", *arguments
    )
    assert smalti.load(tmp_path / "drawn" / "ao.png").shape == (6, 5)
    code, _, err = run(monkeypatch, capsys, "material", "decode", file, tmp_path / "drawn")
    assert (code, "ao.png exists" in err) == (1, True)
    code, _, _ = run(
        monkeypatch, capsys, "material", "decode", file, tmp_path / "small", "--size", "20x30"
    )
    assert smalti.load(tmp_path / "small" / "albedo.png").shape == (30, 20, 3)
    code, out, _ = run(
        monkeypatch, capsys, "material", "export", file, tmp_path / "wgsl", "--shader", "wgsl"
    )
    assert {p.name for p in (tmp_path / "wgsl").iterdir()} == {
        "grids.bin", "weights.bin", "decode.wgsl", "material.json"
    }  # fmt: skip
    for wrong, sentence in (
        (("fit", source, tmp_path / "m.png"), "last the .smt file"),
        (("fit", tmp_path / "none", file), "no such file or folder"),
        (("fit", source, file, "--force", "--weights", "normal=much"), "normal=much; it must be"),
        (("decode", file, tmp_path, "--map", "height"), "no map 'height'"),
        (("export", file, tmp_path), "name either --shader"),
        (("info", source / "ao.png"), "no .smt file"),
    ):
        code, _, err = run(monkeypatch, capsys, "material", *wrong)
        assert (code, sentence in err) == (1, True), err

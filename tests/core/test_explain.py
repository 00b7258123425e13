"""The figures of `smalti explain`: what is taken from a block, and files that look like something."""

import io
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import smalti
from smalti.bc7.decode import decode_blocks, decode_image
from smalti.bc7.encode import encode_image
from smalti.bc7.layout import MODES
from smalti.cli import main
from smalti.errors import FormatError, OptionError
from smalti.eval import metrics
from smalti.explain import bc7, block, colour_line, drawing, error_map
from smalti.explain.anatomy import dissect

from conftest import make_picture

FIGURES = {"line", "simplex", "block", "pipeline", "errors"}


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return bc7.as_rgba(make_picture(channels, height, width))


def block_of_mode(number: int, seed: int = 1) -> bytes:
    data = np.random.default_rng((number, seed)).bytes(16)
    head = data[0] >> (number + 1) << (number + 1) | 1 << number
    return bytes([head & 255]) + data[1:]


def drawn(figure: Figure) -> np.ndarray:
    """The pixels at a third of the usual resolution, RGB."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=drawing.DOTS_PER_INCH / 3)
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("number", range(8))
def test_anatomy_of_every_mode(number):
    blocks = [block_of_mode(number, seed) for seed in range(40)]
    decoded = decode_blocks(np.frombuffer(b"".join(blocks), np.uint8).reshape(-1, 16))
    for data, texels in zip(blocks, decoded, strict=True):
        anatomy = dissect(data)
        assert anatomy.number == number
        np.testing.assert_array_equal(anatomy.texels, texels)
        # The fields are the block's bits, all of them, each once.
        value = sum(field.value << field.start for field in anatomy.fields)
        assert value == int.from_bytes(data, "little")
        stops = [field.start + field.width for field in anatomy.fields]
        assert stops == [field.start for field in anatomy.fields[1:]] + [128]
        # Each texel is an entry of its subset's palette, and the ends are the palette's corners.
        assert len(anatomy.ends) == len(anatomy.palettes) == MODES[number].subsets
        for subset, texel in zip(anatomy.subsets, texels, strict=True):
            assert (anatomy.palettes[subset] == texel).all(axis=2).any()
        for ends, entries in zip(anatomy.ends, anatomy.palettes, strict=True):
            np.testing.assert_array_equal(ends, [entries[0, 0], entries[-1, -1]])


def test_what_has_no_anatomy():
    with pytest.raises(FormatError, match="takes 16 bytes, here are 15"):
        dissect(bytes(15))
    with pytest.raises(FormatError, match="reserved mode"):
        dissect(bytes(16))


@pytest.mark.parametrize("number", range(8))
def test_figures_of_every_mode(number):
    data = block_of_mode(number)
    anatomy = dissect(data)
    texels = (anatomy.texels.astype(np.int64) + 16 * np.eye(16, 4, dtype=np.int64)).clip(0, 255)
    texels = texels.astype(np.uint8)
    for figure in (
        block.figure(texels, anatomy, data, "block 1,2 of a.png"),
        colour_line.figure(texels, anatomy, "block 1,2 of a.png"),
    ):
        pixels = drawn(figure)
        assert pixels.shape[1] > pixels.shape[0] > 200
        assert len(set(map(bytes, pixels.reshape(-1, 3)))) > 60
    figure = block.figure(texels, anatomy, data, "block 1,2 of a.png")
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sum(word in ("0", "1") for word in words) >= 128


def test_error_map_is_that_of_the_metrics():
    for channels in (3, 4):
        x = picture(21, 30, channels)
        y = decode_image(encode_image(x), 21, 30)
        rms = error_map.errors(x, y)
        assert rms.shape == (21, 30)
        assert error_map.psnr(rms) == pytest.approx(metrics.psnr(x, y), abs=1e-9)
    assert error_map.psnr(error_map.errors(x, x)) == float("inf")


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (5, 9)])
def test_any_size(size):
    found = dict(bc7.figures(picture(*size), effort="fast", name="a.png"))
    assert set(found) == FIGURES
    assert drawn(found["errors"]).min() < 128


def test_every_figure_says_what_it_shows():
    image = picture(24, 40)
    figures = dict(bc7.figures(image, block=(3, 2), effort="fast", name="a.png"))
    texts = {
        name: " ".join(text.get_text() for text in figure.findobj(Text))
        for name, figure in figures.items()
    }
    for name in ("line", "simplex", "block"):
        assert "lock 3,2 of a.png" in texts[name], name
    for name in ("pipeline", "errors"):
        assert "a.png" in texts[name], name
        assert "fast" in texts[name], name
    y = decode_image(encode_image(image, effort="fast"), 24, 40)
    assert f"fast: {metrics.psnr(image, y):.2f} dB" in texts["errors"]
    assert "pca: " in texts["errors"]
    assert "nelder-mead: " in texts["errors"]


def test_blocks_with_nothing_to_search():
    image = np.zeros((4, 8, 4), dtype=np.uint8)
    image[:, 4:] = 255
    for column, reason in ((0, "is transparent"), (1, "is exact from the first guess")):
        figures = dict(bc7.figures(image, block=(column, 0), effort="fast", name="a.png"))
        assert set(figures) == FIGURES
        assert reason in figures["simplex"]
        assert isinstance(figures["block"], Figure)


def test_block_beyond_the_picture():
    with pytest.raises(OptionError, match="block 10,2 is beyond the picture of 10 x 6 blocks"):
        list(bc7.figures(picture(24, 40), block=(10, 2), effort="fast", name="a.png"))


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    smalti.save(make_picture(4, 20, 30), "a.png")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["smalti", "explain", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return run


def test_command(command):
    code, out, err = command("bc7", "a.png", "--block", "4,2", "--out", "figures")
    assert (code, err) == (0, "")
    assert {path.name for path in Path("figures").iterdir()} == {f"{f}.png" for f in FIGURES}
    assert str(Path("figures/line.png")) in out
    code, _, _ = command("bc7", "a.png", "--svg", "--effort", "fast")
    assert code == 0
    for path in Path("smalti-explain/bc7").iterdir():
        assert path.suffix == ".svg"
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("fsq", "a.png"), "unknown subject 'fsq'; known: bc7"),
        (("bc7", "b.png"), "b.png"),
        (("bc7", "a.png", "--block", "4"), "block '4'; write COLUMN,ROW, counted from 0"),
        (("bc7", "a.png", "--block", "1,-2"), "block '1,-2'; write COLUMN,ROW"),
        (("bc7", "a.png", "--block", "8,0"), "block 8,0 is beyond the picture of 8 x 5 blocks"),
        (("bc7", "a.png", "--effort", "slow"), "unknown effort 'slow'; known: "),
        (("bc7", "a.png", "--out", "a.png"), "a.png"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals_are_one_sentence(command, arguments, sentence):
    code, _, err = command(*arguments)
    assert code == 1
    assert err.startswith("smalti: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert not Path("smalti-explain").exists()

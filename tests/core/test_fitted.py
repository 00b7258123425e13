"""Fitted pictures: exact coding, windows, targets, going on. The kernels: test_fitted_kernels.py."""

import numpy as np
import pytest

import smalti
from smalti import native
from smalti.codec import Window
from smalti.codecs.fitted import Fitted, FittedOptions
from smalti.errors import FormatError, OptionError
from smalti.files import BUNDLED_PICTURES
from smalti.fits.picture import coder, file, reference_coder
from smalti.fits.picture.canvas import Canvas
from smalti.fits.picture.fit import Fit
from smalti.fits.picture.layout import Layout
from smalti.fits.picture.network import Network
from smalti.fits.picture.session import Session

from conftest import make_picture
from native_builds import on_every_build

LEVELS = (5, 4, 3, 2, 1, 1, 0)


def planes(picture: np.ndarray) -> np.ndarray:
    """uint8 `H W C` or `H W` -> float32 `C H W` in [0, 1]."""
    picture = picture.reshape(*picture.shape[:2], -1).transpose(2, 0, 1)
    return np.ascontiguousarray(picture / 255, np.float32)


def psnr_of(x_hat: np.ndarray, x: np.ndarray) -> float:
    return -10 * np.log10(np.square((x_hat.astype(np.float64) - x) / 255).mean())


def small_fit(height=70, width=45, channels=3, steps=6, threads=1, tile=32, **options):
    image = planes(make_picture(channels, height, width))
    layout = Layout(height, width, LEVELS, tile)
    network = Network.of(len(LEVELS), channels, 10, max(LEVELS))
    return Fit(image, layout, network, steps=steps, threads=threads, lmbda=1e-3, **options)


@pytest.fixture(scope="module")
def fitted():
    fit = small_fit(steps=12)
    while fit.done < fit.steps:
        fit.step()
    return fit


def test_context_model_in_integers_is_that_in_floats():
    random = np.random.default_rng(0)
    network = small_fit().network
    table = network.rounded((8, 8, 6)).context_table(6).astype(np.int64)
    w1, b1, w2, b2, w3, b3 = (a.astype(np.float64) for a in network.rounded((8, 8, 6)).context)
    for _ in range(50):
        x = random.integers(-9, 10, w1.shape[1])
        mean, log_inverse = reference_coder.distribution(table, 6, x)
        h = np.maximum(w2 @ np.maximum(w1 @ x + b1, 0) + b2, 0)
        np.testing.assert_allclose([mean / 256, log_inverse / 256], w3 @ h + b3, atol=0.05)


def test_probabilities_that_streams_start_with():
    first = native.kernel("fits_first_probabilities", probabilities="out i32")
    expected = [table.ravel() for table in reference_coder.first_probabilities()]
    got = np.empty(sum(table.size for table in expected), np.int32)
    first(probabilities=got)
    np.testing.assert_array_equal(got, np.concatenate(expected))


@pytest.mark.parametrize("k", [3, 8])
@pytest.mark.parametrize(
    ("shape", "levels"),
    [((70, 45), LEVELS), ((33, 32), (0,)), ((1, 67), (1, 1, 0)), ((40, 1), (2, 2, 1, 0, 0))],
)
def test_streams_are_those_of_the_plain_python_twin(shape, levels, k):
    """On every build; with values and weights beyond what is kept of neighbours and activations."""
    random = np.random.default_rng(k)
    layout = Layout(*shape, levels, 32)
    table = random.integers(-300, 301, (38, 16)).astype(np.int32)
    table[[18, 35]] *= 256
    table[36:] //= 40  # means not too far from the values
    spread = np.repeat([0.3, 2, 40, 9000], 1 + layout.count // 4)[: layout.count]
    whole = np.clip(np.rint(random.normal(0, spread)), -32768, 32767).astype(np.int32)
    twin = [
        reference_coder.encode_stream(stream, layout, table, k, whole) for stream in layout.streams
    ]

    def coded():
        sections = coder.encode_streams(layout.streams, layout, table, k, whole, 1)
        assert sections == coder.encode_streams(layout.streams, layout, table, k, whole, 3)
        assert sections == twin
        back = np.full_like(whole, 77)
        for part in (slice(1), slice(1, None)):
            coder.decode_streams(sections[part], layout.streams[part], layout, table, k, back, 2)
        return (back,)

    np.testing.assert_array_equal(on_every_build(coded)[0], whole)
    again = np.zeros_like(whole)
    for data, stream in zip(twin, layout.streams, strict=True):
        reference_coder.decode_stream(data, stream, layout, table, k, again)
    np.testing.assert_array_equal(again, whole)


def test_damaged_streams_are_refused_or_give_values_in_range(fitted):
    sections, layout = file.write(fitted), fitted.layout
    network = Network.of(len(LEVELS), 3, 10, max(LEVELS))
    random, refused, trials = np.random.default_rng(3), 0, 120
    for _ in range(trials):
        which = int(random.integers(1, len(sections)))
        damaged = bytearray(sections[which])
        damaged[random.integers(len(damaged))] ^= 1 << int(random.integers(8))
        cut = random.integers(len(damaged) + 1) if random.random() < 0.2 else len(damaged)
        broken = [*sections[:which], bytes(damaged[:cut]), *sections[which + 1 :]]
        try:
            read = file.read(broken, layout, network)
        except FormatError:
            refused += 1
        else:
            assert np.abs(read + 0.5).max() < 32768
    assert refused > 0.95 * trials
    with pytest.raises(FormatError, match="9 bytes"):
        file.read([*sections[:-1], b"\xff" * 9], layout, network)


def test_the_coder_learns_beyond_the_estimate(fitted):
    """A context model that is hardly trained is far off; the tables behind it adapt."""
    sections = file.write(fitted)
    estimate = fitted.rate(np.rint(fitted.values), fitted.network) / 8
    ends = 4 * len(fitted.layout.streams)
    assert sum(len(s) for s in sections[1:]) < estimate + ends


def test_decoder_draws_what_the_encoder_saw(fitted):
    sections = file.write(fitted)
    layout = fitted.layout
    network = Network.of(len(LEVELS), 3, 10, max(LEVELS))
    read = file.read(sections, layout, network, threads=2).astype(np.float32)
    assert np.array_equal(read, np.rint(fitted.values))
    drawn = Canvas(layout, network, 2).render(read, network)
    steps = network.read(sections[0])
    seen = fitted.canvas.render(np.rint(fitted.values), fitted.network.rounded(steps))
    assert np.array_equal(drawn, seen)


def test_large_values_survive(fitted):
    fit = small_fit()
    fit.values[:] = np.random.default_rng(0).integers(-40000, 40000, fit.values.size)
    network = Network.of(len(LEVELS), 3, 10, max(LEVELS))
    read = file.read(file.write(fit), fit.layout, network).astype(np.float32)
    assert np.array_equal(read, np.clip(fit.values, -32768, 32767))


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_nothing(threads):
    states = []
    for count in (1, threads):
        fit = small_fit(threads=count)
        for _ in range(3):
            fit.step()
        states.append(fit.state)
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])


def test_windows_are_parts_of_the_whole():
    x = make_picture(3, 150, 130)
    for texture in (False, True):
        codec = Fitted(tile=32, levels=(2, 1, 0) if not texture else (), texture=texture)
        options = FittedOptions(steps=8)
        sections = codec.encode(x, options)
        size = smalti.codec.Size(3, 150, 130)
        whole = codec.decode(sections, size)
        for box in ((0, 0, 1, 1), (149, 129, 1, 1), (30, 33, 40, 5), (0, 64, 150, 2)):
            window = codec.decode_window(sections, size, Window(*box))
            top, left, height, width = box
            assert np.array_equal(window, whole[top : top + height, left : left + width])


def test_a_window_reads_only_its_tiles():
    x = make_picture(3, 150, 130)
    codec = Fitted(tile=32, levels=(2, 1, 0))
    sections = codec.encode(x, FittedOptions(steps=8))
    size = smalti.codec.Size(3, 150, 130)
    damaged = [*sections[:-1], b"\xff" * 9]
    assert np.array_equal(
        codec.decode_window(damaged, size, Window(0, 0, 8, 8)),
        codec.decode_window(sections, size, Window(0, 0, 8, 8)),
    )
    with pytest.raises(FormatError):
        codec.decode(damaged, size)


def test_more_steps_less_loss():
    x = make_picture(3, 96, 96)
    losses = []
    for steps in (30, 150):
        data = smalti.encode(x, f"fitted:steps={steps}")
        error = 10 ** (-psnr_of(smalti.decode(data), x) / 10)
        losses.append(error + 2e-4 * 8 * len(data) / (96 * 96))
    assert losses[1] < 0.8 * losses[0]


def test_targets_are_met():
    x = smalti.load(BUNDLED_PICTURES / "cat.png")[40:168, 40:200, :3]
    data = smalti.encode(x, "fitted:steps=250,target_bpp=1.5")
    assert 8 * len(data) / (128 * 160) == pytest.approx(1.5, rel=0.03)
    data = smalti.encode(x, "fitted:steps=250,target_psnr=35")
    assert psnr_of(smalti.decode(data), x) == pytest.approx(35, abs=0.1)


def test_invisible_colours_cost_nothing():
    x = make_picture(4, 64, 64)
    x[..., 3] = 0
    hidden = smalti.encode(x, "fitted:steps=60")
    x[..., 3] = 255
    assert len(hidden) < len(smalti.encode(x, "fitted:steps=60"))


def test_going_on_from_a_state_gives_the_same_file(tmp_path):
    x = make_picture(3, 40, 50)
    codec, options = Fitted(), FittedOptions(steps=10, target_bpp=1.0)
    whole = codec.session(x, options)
    for _ in whole:
        pass
    begun = codec.session(x, options)
    for progress in begun:
        if progress.step == 4:
            break
    begun.save(tmp_path / "state")
    resumed = codec.session(x, options)
    resumed.load(tmp_path / "state")
    for progress in resumed:
        assert progress.step > 4
    assert resumed.sections() == whole.sections()


def test_a_state_of_another_picture_is_refused(tmp_path):
    codec, options = Fitted(), FittedOptions(steps=10)
    codec.session(make_picture(3, 40, 50), options).save(tmp_path / "state")
    with pytest.raises(OptionError, match="not the state of a fit"):
        codec.session(make_picture(3, 41, 50), options).load(tmp_path / "state")


def test_hurrying_ends_soon_with_whole_values():
    session = Fitted().session(make_picture(3, 40, 50), FittedOptions(steps=1000))
    for progress in session:
        if progress.step == 5:
            session.hurry()
    assert progress.step == progress.steps < 60
    assert np.array_equal(session.fit.values, np.rint(session.fit.values))


def test_bad_options():
    x = make_picture(3, 16, 16)
    for settings, sentence in (
        ("levels=0x1", r"levels \(0, 1\)"),
        ("levels=9x8", "levels"),
        ("hidden=0", "hidden 0"),
        ("tile=33", "tile 33"),
        ("steps=0", "steps 0"),
        ("lmbda=0", "lmbda 0"),
        ("target_bpp=1,target_psnr=30", "not both"),
        ("target_bpp=-1", "target_bpp -1"),
    ):
        with pytest.raises(OptionError, match=sentence):
            smalti.encode(x, f"fitted:{settings}")


def test_session_takes_one_target():
    with pytest.raises(OptionError, match="not both"):
        Session(
            planes(make_picture(3, 8, 8)), Layout(8, 8, (0,), 32),
            hidden=4, steps=1, lmbda=1e-3, target_bpp=1.0, target_psnr=30.0,
        )  # fmt: skip

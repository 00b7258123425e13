"""Settings as people write them."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

import smalti
from smalti import registry, settings
from smalti.codec import settings_of
from smalti.errors import OptionError
from smalti.settings import setting


def test_names_and_fields():
    assert settings.split("fsq") == ("fsq", {})
    assert settings.split("bc7:rdo=2,effort=fast") == ("bc7", {"rdo": "2", "effort": "fast"})
    assert settings.fields("fast,,rdo=1=2") == {"fast": "", "rdo": "1=2"}


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("1e-3", float, 0.001),
        ("fast", str, "fast"),
        ("True", bool, True),
        ("0", bool, False),
        ("4x5", tuple[int, ...], (4, 5)),
        ("8,5,5", tuple[int, ...], (8, 5, 5)),
        ("7", int | None, 7),
    ],
)
def test_values_have_the_declared_type(text, kind, value):
    found = settings.value("field", text, kind)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("x", int | None, "field=x; it must be a whole number"),
        ("1.5", int, "field=1.5; it must be a whole number"),
        ("much", float, "field=much; it must be a number"),
        ("maybe", bool, "field=maybe; it must be true or false"),
        ("4x", tuple[int, ...], "field=4x; it must be whole numbers with x or commas"),
    ],
)
def test_other_values_are_refused(text, kind, expected):
    with pytest.raises(OptionError, match=expected):
        settings.value("field", text, kind)


def test_options_of_a_codec_beside_its_name():
    x = np.random.default_rng(0).integers(100, 120, (32, 32, 3), np.uint8)
    written = smalti.encode(x, "bc7:rdo=50", effort="ultrafast")
    assert smalti.encode(x, effort="ultrafast", options={"rdo": 50.0}) == written
    assert smalti.encode(x, "bc7:rdo=1", effort="ultrafast", options={"rdo": 50.0}) == written
    assert smalti.encode(x, effort="ultrafast") != written
    with pytest.raises(
        OptionError, match="unknown setting of fitted 'rdo'; smalti help fitted shows all"
    ):
        smalti.encode(x, "fitted", options={"rdo": 1.0})


def test_a_mistyped_setting_gets_the_nearest_one():
    with pytest.raises(OptionError, match="unknown setting of fitted 'lmda'; is lmbda meant"):
        smalti.encode(np.zeros((4, 4, 3), np.uint8), "fitted:lmda=1")


def test_names_stand_for_numbers():
    codec, _ = smalti.api.resolve("latent-texture:activation=gelu")
    assert codec.activation == 1
    assert repr(codec) == "LatentTexture(activation=1)"
    assert settings.changed(codec) == {"activation": "gelu"}
    assert smalti.api.resolve("latent-texture:activation=1")[0] == codec
    assert type(codec)(activation="gelu") == codec
    with pytest.raises(
        OptionError, match="latent-texture: unknown activation 'tanh'; known: siren"
    ):
        smalti.api.resolve("latent-texture:activation=tanh")


@pytest.mark.parametrize("name", list(registry.CODECS))
def test_every_setting_says_what_it_is_for(name):
    cls = registry.codec_class(name)
    told = {each.name: each for each in settings_of(cls)}
    fields = {f.name for of in (cls, cls.Options) for f in dataclasses.fields(of)}
    assert set(told) == fields - {"on_step"}
    for each in told.values():
        assert each.about[0].isupper()
        assert each.about.endswith(".")
        assert each.default or each.name == "weights"
    assert told["effort"].values == ", ".join(cls.efforts)


@dataclass(frozen=True)
class Held:
    count: int = setting(3, "How many.", least=1, most=9)
    share: float = setting(0.5, "Of all.", least=0)
    way: str = setting("short", "Where to.", choices=("short", "long"))
    pair: tuple[int, ...] = setting((1, 2), "Two.")
    many: int | None = setting(None, "Or none.", shown="by count")
    silent: bool = False


def test_settings_are_described_from_their_fields():
    shown = [(each.name, each.default, each.values) for each in settings.described(Held)]
    assert shown == [
        ("count", "3", "1 .. 9"),
        ("share", "0.5", "0 or more"),
        ("way", "short", "short, long"),
        ("pair", "1x2", ""),
        ("many", "by count", ""),
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"count": 10}, "held: count 10; it must lie in 1 .. 9"),
        ({"share": -1.0}, "held: share -1; it must be 0 or more"),
        ({"way": "lon"}, "held: unknown way 'lon'; is long meant?"),
    ],
)
def test_values_are_held_against_their_limits(given, sentence):
    settings.check(Held())
    with pytest.raises(OptionError) as refused:
        settings.check(Held(**given), "held: ")
    assert str(refused.value) == sentence

"""Settings as people write them."""

import numpy as np
import pytest

import smalti
from smalti import settings
from smalti.errors import OptionError


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
    with pytest.raises(OptionError, match="fitted has no setting 'rdo'; it has "):
        smalti.encode(x, "fitted", options={"rdo": 1.0})

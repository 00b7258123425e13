"""`smalti profile`: operations are counted, time and memory are measured."""

import sys

import pytest

from smalti.cli import main
from smalti.errors import OptionError
from smalti.eval.profile import profile


def test_costs_of_a_model_with_a_fast_form():
    costs = profile("patch-f8c16", size=128, runs=1)
    assert [(c.model, c.half) for c in costs] == [
        (name, half)
        for name in ("patch-f8c16", "patch-f8c16, fast")
        for half in ("encode", "decode")
    ]
    plain, fast = costs[:2], costs[2:]
    assert plain[0].parameters == 3_521_552
    assert plain[1].parameters == 9_721_987
    # 115.16 and 322.59 at 1024 x 1024, in proportion
    assert plain[0].gflop == pytest.approx(115.16 / 64, rel=0.001)
    assert plain[1].gflop == pytest.approx(322.59 / 64, rel=0.001)
    assert fast[0].gflop == pytest.approx(plain[0].gflop)
    assert fast[1].gflop < plain[1].gflop
    for cost in costs:
        assert cost.seconds > 0
        assert cost.peak_mb is None or 0 <= cost.peak_mb < 1000


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="size 100; rgba-boxes takes multiples of 16"):
        profile("rgba-boxes", size=100)


def test_the_command_prints_a_line_for_each_half(monkeypatch, capsys):
    arguments = ["profile", "rgba-boxes", "fsq-1m", "--size", "32", "--runs", "1"]
    monkeypatch.setattr(sys, "argv", ["smalti", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert "one picture of 32 x 32 texels, float32 on cpu" in out
    for half in ("rgba-boxes, encode", "rgba-boxes, decode", "fsq-1m, encode", "fsq-1m, decode"):
        assert half in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["profile", "rgba-boxes", "--runs", "0"], "runs 0; it must be at least 1"),
        (["profile", "no-such"], "no weights 'no-such'"),
    ],
)
def test_wrong_use_is_one_sentence(monkeypatch, capsys, arguments, sentence):
    monkeypatch.setattr(sys, "argv", ["smalti", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert sentence in capsys.readouterr().err

"""`smalti help`: what a command, a codec or a model takes and does."""

import sys
import textwrap
from typing import TYPE_CHECKING

from smalti.cli import arguments, commands
from smalti.errors import OptionError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smalti.about import ModelInfo
    from smalti.codec import Codec
    from smalti.settings import Setting


def help_(topic: tuple[str, ...] = (), /) -> int:
    """What a command, a codec or a model takes and does.

    Args:
        topic: A command, or a name of `smalti list` (default: an overview of the commands).

    Examples:
        smalti help encode
        smalti help material fit
        smalti help bc7
        smalti help fsq-1m
    """
    sys.stdout.write(_text(topic))
    return 0


def page(name: str) -> str:
    """What is to know of a codec, a baseline or a model.

    Raises:
        OptionError: there is none of this name.
    """
    from smalti import about, registry

    if name in registry.CODECS:
        return _codec(registry.codec_class(name), "encode a.png a.smt --codec")
    models = {model.name: model for model in about.list_models()}
    if name in models:
        return _model(models[name])
    from smalti.eval.baselines import BASELINES

    if name in BASELINES:
        return _codec(BASELINES[name], "compare a.png --codecs", registered=False)
    raise OptionError(unknown("topic", name, [*commands.COMMANDS, *registry.CODECS, *models]))


def _text(topic: tuple[str, ...]) -> str:
    if topic and topic[0] not in commands.COMMANDS:
        return page(topic[0])
    found, name = commands.COMMANDS, "smalti"
    about = sys.modules["smalti"].__doc__
    for word in topic:
        if word not in found:
            raise OptionError(unknown(f"command of {name}", word, found))
        name, function = f"{name} {word}", commands.load(found[word])
        if callable(function):
            return arguments.help_text(function, name)
        found, about = function.COMMANDS, function.__doc__
    from smalti.cli.overview import overview

    return overview(found, name, about or "")


def _codec(cls: "type[Codec]", example: str, *, registered: bool = True) -> str:
    from smalti.codec import Resizes, Samples, TrainedCodec, settings_of

    told = [each for each in settings_of(cls) if registered or each.wire]
    can = ["a window"] * issubclass(cls, Samples) + ["any size"] * issubclass(cls, Resizes)
    facts = [f"decodes {' or '.join(can)}"] * bool(can)
    facts += [f"also writes {' and '.join(cls.foreign)}"] * bool(cls.foreign)
    facts += ["needs pip install 'smalti[models]'"] * issubclass(cls, TrainedCodec)
    lines = _wrapped(f"{cls.name}: {cls.summary}", "  ")
    lines += _wrapped("; ".join(facts), "") if facts else []
    names = max((len(each.name) for each in told), default=0) + 2
    defaults = max((len(each.default) for each in told), default=0) + 2
    for heading, wire in (("in the file:", True), ("of the encoder:", False)):
        chosen = [each for each in told if each.wire == wire]
        lines += ["", heading] if chosen else []
        for each in chosen:
            efforts = cls.efforts if each.name == "effort" else {}
            start = f"  {each.name:<{names}}{each.default:<{defaults}}"
            lines += _setting(start, each, efforts)
    lines += _qualities(cls)
    lines += ["", "examples:", *[f"  smalti {example} {text}" for text in cls.settings[:3]]]
    return "\n".join(lines) + "\n"


def _qualities(cls: "type[Codec]") -> list[str]:
    """What --quality sets, at its ends and in the middle."""
    from smalti.settings import written

    rows = []
    for quality in (0, 50, 100):
        try:
            chosen = cls.of_quality(quality)
        except OptionError:  # it has nothing to turn
            return []
        owner = {key: cls if key in cls.__dataclass_fields__ else cls.Options for key in chosen}
        texts = (f"{key}={written(owner[key], key, value)}" for key, value in chosen.items())
        rows.append(f"  {quality:>3}  {', '.join(texts)}")
    return ["", "--quality (-q) sets, where you do not:", *rows]


def _setting(start: str, each: "Setting", efforts: "Mapping[str, str]") -> list[str]:
    """Name, default and meaning; below it what each effort means, where that differs."""
    text, indent = each.about, " " * len(start)
    differ = len(set(efforts.values())) > 1
    if each.values and not differ:
        text = f"{text.removesuffix('.')} ({each.values})."
    lines = _wrapped(start + text, indent)
    if differ:
        longest = max(map(len, efforts)) + 2
        for name, meaning in efforts.items():
            row = f"{indent}{name:<{longest}}{meaning}"
            lines += _wrapped(row, indent + " " * longest)
    return lines


def _model(model: "ModelInfo") -> str:
    lines = _wrapped(f"{model.name}: {model.summary}", "  ")
    lines += _wrapped(f"quality: {model.quality}", "  ")
    lines.append(f"licence: {model.licence}; {model.bytes / 1e6:.1f} MB")
    lines.append(f"card:    {model.card}")
    lines += ["", "examples:", f"  {model.use}"]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        arguments.columns(),
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )

"""`smalti list`: what there is, and what is not installed."""

import sys
import textwrap

from smalti.cli import machine, tables


def list_(name: str | None = None, /) -> int:
    """The codecs, baselines and trained models of this release.

    Args:
        name: One of them: all that `smalti help` says of it.

    Examples:
        smalti list
        smalti list bc7
    """
    if name is not None:
        from smalti.cli.help import page

        sys.stdout.write(page(name))
        return 0
    from smalti import about
    from smalti.eval.baselines import BASELINES

    codecs = [
        (codec.name, _can(codec.random_access, codec.any_size), codec.extra, codec.summary)
        for codec in about.list_codecs()
    ]
    baselines = [(name, cls.extra, cls.summary) for name, cls in BASELINES.items()]
    models = [
        (model.name, f"{model.bytes / 1e6:.1f}", model.licence, f"{model.summary}: {model.quality}")
        for model in about.list_models()
    ]
    written = [
        tables.plain(("codec", "decodes", "needs", "what"), codecs),
        tables.plain(("baseline", "needs", "what"), baselines),
        tables.plain(
            ("model", "MB", "licence", "what it does, and how well"), models, numbers=("MB",)
        ),
        "smalti help NAME shows what can be set of a codec, and where a model's card is.\n",
    ]
    if missing := machine.extras()[1]:
        written.append(f"{textwrap.fill(machine.not_installed(missing), 80)}\n")
    sys.stdout.write("\n".join(written))
    return 0


def _can(window: bool, any_size: bool) -> str:
    """What a codec decodes besides whole pictures."""
    return ", ".join(["window"] * window + ["any size"] * any_size)

"""`smalti list`: what there is, and what is not installed."""

from smalti.cli import machine, show


def list_() -> int:
    """The codecs, baselines and trained weights of this release."""
    from smalti import about, weights
    from smalti.cli import tables
    from smalti.eval.baselines import BASELINES

    tables.codecs(about.list_codecs(), BASELINES)
    for name, path in weights.bundled().items():
        show.note(f"weights {name}: {path.stat().st_size / 1e6:.1f} MB")
    if missing := machine.extras()[1]:
        show.note(machine.not_installed(missing))
    return 0

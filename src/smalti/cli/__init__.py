"""The `smalti` command: thin, and with nothing imported that the command at hand does not need."""

import os
import signal
import sys
from importlib import import_module
from types import FrameType, ModuleType
from typing import NoReturn

from smalti.cli.terminal import make_forgiving, printable
from smalti.errors import SmaltiError


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 something failed, 2 wrong usage, 130 interrupted."""
    # The threads that NumPy's BLAS starts on import are half of what importing it takes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    make_forgiving()
    for name in ("SIGTERM", "SIGHUP"):  # from a cluster, or a terminal that is closed
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
            signal.signal(getattr(signal, name), _end)
    try:
        sys.exit(_run(sys.argv[1:]))
    except SmaltiError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        resumes = sys.argv[1:2] in (["compare"], ["train"]) or "--shards" in sys.argv
        goes_on = "; the same command goes on from here" if resumes else ""
        fail(f"interrupted, no half-written file is left{goes_on}", 130)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, MemoryError) as error:
        reason = "not enough memory" if isinstance(error, MemoryError) else str(error)
        fail(reason, 1)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End as Ctrl-C does: temporary files are removed on the way."""
    raise KeyboardInterrupt


def fail(sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"smalti: {printable(sentence, sys.stderr)}\n")
    sys.exit(code)


def _run(words: list[str]) -> int:
    """Run the command that the words name; its exit code."""
    from smalti.cli.commands import COMMANDS

    if words[:1] == ["--version"]:
        from smalti.cli import machine

        return machine.version()
    return _choose(COMMANDS, words, "smalti", import_module("smalti").__doc__ or "")


def _choose(commands: dict[str, str], words: list[str], name: str, about: str) -> int:
    """Run one of `commands`, or say which there are."""
    chosen, *rest = words or ["--help"]
    if chosen in ("-h", "--help"):
        from smalti.cli.overview import overview

        sys.stdout.write(overview(commands, name, about))
        return 0 if words else 2
    if chosen not in commands:
        from smalti.errors import unknown

        fail(unknown("command", chosen, commands, listing=f"{name} --help shows all"), 2)
    from smalti.cli.commands import load

    found = load(commands[chosen])
    if isinstance(found, ModuleType):
        return _choose(found.COMMANDS, rest, f"{name} {chosen}", found.__doc__ or "")
    from smalti.cli import arguments

    return arguments.run(found, rest, f"{name} {chosen}")

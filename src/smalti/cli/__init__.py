"""The `smalti` command: thin, and without torch until a command needs it."""

import os
import sys

import smalti
from smalti.errors import SmaltiError


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 something failed, 2 wrong usage, 130 interrupted."""
    try:
        if sys.argv[1:] == ["--version"]:
            sys.stdout.write(f"smalti {smalti.__version__}\n")
            return
        import tyro

        from smalti.cli.commands import COMMANDS

        command = tyro.extras.subcommand_cli_from_dict(
            COMMANDS, prog="smalti", description=smalti.__doc__.splitlines()[0]
        )
        sys.exit(command)
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


def fail(sentence: str, code: int) -> None:
    sys.stderr.write(f"smalti: {sentence}\n")
    sys.exit(code)

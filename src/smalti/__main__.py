"""`python -m smalti`: the command; without arguments, what is installed here."""

import sys

from smalti.cli import main

if len(sys.argv) == 1:
    sys.argv.append("--version")
main()

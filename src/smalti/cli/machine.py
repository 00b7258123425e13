"""What this installation is and runs on: version, instruction set, threads, extras."""

import sys

import smalti
from smalti.errors import SmaltiError

FOR_DEVELOPERS = ("test", "test-core", "bench", "all")  # extras that no command needs


def use_threads(count: int | None) -> None:
    """Let kernels use so many threads; None for SMALTI_NUM_THREADS, or every core.

    Raises:
        OptionError: fewer than 1.
    """
    if count is not None:
        from smalti import native

        native.set_threads(count)


def version() -> int:
    """Print version, instruction set, threads and extras."""
    import platform

    import numpy as np

    from smalti import native

    try:
        kernels = f"{native.instruction_set()}, threads {native.threads()}"
    except SmaltiError as error:
        kernels = str(error)
    found, missing = extras()
    system = f"{platform.system()} {platform.machine()}"
    lines = [
        f"smalti {smalti.__version__}",
        f"kernels   {kernels}",
        f"python    {platform.python_version()}, numpy {np.__version__}, {system}",
        f"extras    {', '.join(found) or 'none'}",
    ]
    if missing:
        lines.append(f"          {not_installed(missing)}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def extras() -> tuple[list[str], list[str]]:
    """Names of the extras whose packages are all here, and of the others."""
    import re
    from importlib import metadata

    try:
        needed = metadata.requires("smalti") or []
    except metadata.PackageNotFoundError:  # runs from its source, which was never installed
        return [], []
    packages: dict[str, list[str]] = {}
    for line in needed:
        requirement, _, marker = line.partition(";")
        if extra := re.search(r"extra == ['\"]([\w-]+)['\"]", marker):
            packages.setdefault(extra[1], []).append(requirement.strip())

    def is_here(requirement: str) -> bool:
        name = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement)
        assert name, requirement
        package, others = name.groups()
        if package == "smalti":
            return all(is_here(each) for extra in others.split(",") for each in packages[extra])
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            return False
        return True

    shown = [extra for extra in packages if extra not in FOR_DEVELOPERS]
    found = [extra for extra in shown if all(map(is_here, packages[extra]))]
    return found, [extra for extra in shown if extra not in found]


def not_installed(missing: list[str]) -> str:
    """One sentence on extras that are not here."""
    return f"not installed: {', '.join(missing)}; pip install 'smalti[{missing[0]}]' and the like"

"""The file from which an interrupted fit goes on, and what it is a fit of."""

import hashlib
import json
import os
import time
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import smalti
from smalti.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

    from smalti.codec import Codec, EncodeOptions
    from smalti.fits.picture.session import Session

ABOUT = "about.json"  # a member of the file beside what the session wrote
NO_MATTER = ("on_step", "threads", "device", "effort", "steps")  # effort is a number of steps
SECONDS_BETWEEN = 15
SHARE = 0.05  # of the time, at most, for saving


def about(
    image: "np.ndarray", codec: "Codec", options: "EncodeOptions", steps: int
) -> dict[str, str]:
    """What two fits must have in common for one to go on where the other stopped."""
    settings = {**asdict(codec), **asdict(options)}
    pixels = hashlib.sha256(image.tobytes()).hexdigest()
    return {
        "picture": f"{image.shape} {image.dtype} {pixels}",
        "release": smalti.__version__,
        "steps": str(steps),
        **{key: str(value) for key, value in settings.items() if key not in NO_MATTER},
    }


class StateFile:
    """OUTPUT.fit: a session's own archive with one member more, what it is a fit of.

    Without a path, as of a fit to standard output, nothing is kept.
    """

    def __init__(self, path: Path | None, about: dict[str, str]) -> None:
        self.path, self.about = path, about
        self._due = time.monotonic() + SECONDS_BETWEEN

    def exists(self) -> bool:
        return self.path is not None and self.path.exists()

    def load(self, session: "Session") -> float:
        """Let a session go on from the file; the seconds that were spent on the fit.

        Raises:
            OptionError: it is of another picture, other settings or another release, or damaged.
        """
        assert self.path is not None  # `exists` said so
        try:
            with zipfile.ZipFile(self.path) as archive:
                damaged = archive.testzip()
                held = json.loads(archive.read(ABOUT))
            seconds = float(held.pop("seconds"))
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as cause:
            raise OptionError(f"{self.path} is damaged; remove it to begin anew") from cause
        if damaged:
            raise OptionError(f"{self.path} is damaged; remove it to begin anew")
        if held.get("picture") != self.about["picture"]:
            raise OptionError(
                f"{self.path} is of a fit of another picture; name another output, or remove it to "
                "begin anew"
            )
        others = [
            f"{key}={held.get(key)} and not {value}"
            for key, value in self.about.items()
            if held.get(key) != value
        ]
        if others:
            raise OptionError(
                f"{self.path} is of a fit with {', '.join(others)}; give the same settings to go on, "
                "or remove it to begin anew"
            )
        session.load(self.path)
        return seconds

    def save_if_due(self, session: "Session", seconds: float) -> None:
        if time.monotonic() >= self._due:
            self.save(session, seconds)

    def save(self, session: "Session", seconds: float) -> None:
        """Whole or not at all, like every file that smalti writes."""
        if self.path is None:
            return
        started = time.monotonic()
        temporary = self.path.with_name(f".{os.urandom(8).hex()}.tmp")
        try:
            session.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(ABOUT, json.dumps({**self.about, "seconds": seconds}))
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        now = time.monotonic()
        self._due = now + max(SECONDS_BETWEEN, (now - started) / SHARE)

    def remove(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)

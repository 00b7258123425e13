"""Watching a fit: a window, or where there is none a line in the terminal, and the keys of both."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from smalti.cli import show

if TYPE_CHECKING:
    from smalti.fits.picture.watch import Frame

HELP = "Space pauses, S saves pictures, Q ends with the best so far"
PAUSE = 0.05  # seconds between two looks at the keys
PICTURES, GRIDS = (3, 480), (6, 230)  # of the window: panels in a row, largest side in pixels


class View(Protocol):
    """Something that shows frames and knows which keys were pressed."""

    def show(self, frame: "Frame") -> None: ...

    def say(self, text: str) -> None: ...

    def pressed(self) -> list[str]:
        """Keys since the last call, in lower case."""

    def close(self) -> None: ...


def attend(
    frames: Iterable["Frame"],
    view: View,
    on_frame: Callable[["Frame"], None],
    on_snapshot: Callable[["Frame"], list[Path]],
    stopped: Callable[[], bool],
) -> str:
    """Show frames and obey keys until there are no more frames, or someone has had enough.

    Returns:
        "done"; "quit" after Q; "stopped" once `stopped()` says so.
    """
    for frame in frames:
        view.show(frame)
        on_frame(frame)
        paused = False
        while True:
            for key in view.pressed():
                if key == "q":
                    return "quit"
                if key == "s":
                    view.say("saved " + ", ".join(map(str, on_snapshot(frame))))
                if key == " ":
                    paused = not paused
                    view.say("paused; Space goes on" if paused else "going on")
            if stopped():
                return "stopped"
            if not paused:
                break
            time.sleep(PAUSE)
    return "done"


def view_of(title: str, *, live: bool) -> View:
    """A window if wanted and possible, or else a line; the line takes keys only if `live`."""
    if not live:
        return Line()
    try:
        return Window(title)
    except ImportError as cause:
        reason = f"{cause.name or 'tkinter'} is not installed"
    except RuntimeError as cause:
        reason = str(cause)
    line = Line(Keys())
    line.say(f"no window here ({reason}): numbers only" + (f". {HELP}" if line.takes_keys else ""))
    return line


class Line:
    """One line of standard error, written over again; where that is no terminal, one now and then."""

    def __init__(self, keys: "Keys | None" = None) -> None:
        self._keys = keys
        self._again = sys.stderr.isatty()
        self._said: float = -show.SECONDS_BETWEEN_LINES
        self._open = False

    @property
    def takes_keys(self) -> bool:
        return self._keys is not None and self._keys.any

    def show(self, frame: "Frame") -> None:
        from smalti.fits.picture.watch import line

        if self._again:
            sys.stderr.write(f"\r{line(frame)}\x1b[K")
            self._open = True
        elif time.monotonic() - self._said >= show.SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            sys.stderr.write(f"{line(frame)}\n")
        sys.stderr.flush()

    def say(self, text: str) -> None:
        self._end_line()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def pressed(self) -> list[str]:
        return self._keys.pressed() if self._keys else []

    def close(self) -> None:
        self._end_line()
        if self._keys:
            self._keys.close()

    def _end_line(self) -> None:
        if self._open:
            sys.stderr.write("\n")
            self._open = False


class Keys:
    """Single keys from standard input where it is a terminal of Unix; none elsewhere."""

    def __init__(self) -> None:
        self._before = None
        with contextlib.suppress(ImportError, ValueError):  # Windows; input that is closed
            import termios
            import tty

            if sys.stdin is not None and sys.stdin.isatty():
                self._before = termios.tcgetattr(sys.stdin)
                tty.setcbreak(sys.stdin)  # Ctrl-C stays a signal

    @property
    def any(self) -> bool:
        return self._before is not None

    def pressed(self) -> list[str]:
        import os
        import select

        found = b""
        while self.any and select.select([sys.stdin], [], [], 0)[0]:
            read = os.read(sys.stdin.fileno(), 64)
            if not read:
                break
            found += read
        return list(found.decode(errors="ignore").lower())

    def close(self) -> None:
        if self._before is not None:
            import termios

            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
            self._before = None


class Window:
    """Original, reconstruction, error and the first grids, and a status line, by tkinter.

    Raises:
        ImportError: Python comes without tkinter here, or Pillow without its part of it.
        RuntimeError: there is no display.
    """

    def __init__(self, title: str) -> None:
        import tkinter

        from PIL import ImageTk

        self._tkinter, self._photo = tkinter, ImageTk.PhotoImage
        try:
            self._root = tkinter.Tk(className="smalti")
        except tkinter.TclError as cause:
            raise RuntimeError(str(cause)) from cause
        self._root.title(title)
        self._root.protocol("WM_DELETE_WINDOW", lambda: self._keys.append("q"))
        self._root.bind("<Key>", lambda event: self._keys.append(event.char.lower()))
        self._keys: list[str] = []
        self._panels: list[tkinter.Label] = []
        self._held: list[ImageTk.PhotoImage] = []  # tkinter itself keeps no reference to them
        self._status = tkinter.Label(self._root, text="the first step takes longest", anchor="w")
        self._help = tkinter.Label(self._root, text=HELP, anchor="w")
        for row, label in ((2, self._status), (3, self._help)):
            label.grid(row=row, column=0, columnspan=GRIDS[0], sticky="w", padx=8, pady=2)
        self._root.update()

    def show(self, frame: "Frame") -> None:
        from smalti.fits.picture.watch import line, panels

        held = []
        for number, (caption, picture) in enumerate(panels(frame).items()):
            if number == len(self._panels):
                label = self._tkinter.Label(self._root, compound="top")
                if number < PICTURES[0]:
                    label.grid(row=0, column=2 * number, columnspan=2, padx=4, pady=4)
                else:
                    label.grid(row=1, column=number - PICTURES[0], padx=4, pady=4)
                self._panels.append(label)
            shown = self._photo(_fitting(picture, self._side(number)), master=self._root)
            self._panels[number].configure(image=shown, text=caption)
            held.append(shown)
        self._held = held
        self._status.configure(text=line(frame))
        self._root.update()

    def _side(self, number: int) -> int:
        in_a_row, largest = PICTURES if number < PICTURES[0] else GRIDS
        across = self._root.winfo_screenwidth() // in_a_row - 16
        return max(min(largest, across, self._root.winfo_screenheight() // 2 - 80), 64)

    def say(self, text: str) -> None:
        self._help.configure(text=f"{text}. {HELP}")
        self._root.update()

    def pressed(self) -> list[str]:
        self._root.update()
        keys, self._keys = self._keys, []
        return keys

    def close(self) -> None:
        self._root.destroy()


def _fitting(picture, side: int):
    """H W 3 uint8 -> a Pillow picture, its longer side at most `side`; enlarged without blurring."""
    from PIL import Image

    image = Image.fromarray(picture)
    longest = max(image.size)
    if longest > side:
        image.thumbnail((side, side), Image.Resampling.BOX)
        return image
    factor = side // longest if side < 4 * longest else side / longest
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.NEAREST)

"""Ctrl-C and SIGTERM as a flag that a loop looks at, so that no step is cut in half."""

import signal
import threading
from types import FrameType


class StopSignals:
    """Within it, the first signal only sets `arrived`; a second one interrupts at once.

    SIGTERM is what clusters and `accelerate launch` send. Does nothing outside the main thread,
    where Python cannot set signal handlers.
    """

    def __init__(self) -> None:
        self.arrived = False

    def __enter__(self) -> "StopSignals":
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.arrived:
            raise KeyboardInterrupt
        self.arrived = True

"""What the node tells about itself: a status once a second, and each kind of trouble without flooding the log."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

TROUBLE_LASTS = 5.0  # seconds for which the last trouble keeps the status at WARN


class Health:
    """Counters, timings and the last trouble of a node. The callbacks and the worker may both write."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._facts: dict[str, str] = {}
        self._timings: dict[str, float] = {}
        self._trouble = ""
        self._trouble_at = float("-inf")
        self._fatal = False

    def count(self, what: str) -> None:
        """One more of ``what``, for example "received" or "skipped: busy"."""
        with self._lock:
            self._counts[what] += 1

    def note(self, **facts: object) -> None:
        """Facts shown as they are, for example the standing instruction."""
        with self._lock:
            self._facts.update({name: str(value) for name, value in facts.items()})

    def time(self, timings: dict[str, float]) -> None:
        """Seconds per stage of the last answer."""
        with self._lock:
            self._timings = dict(timings)

    def trouble(self, message: str, fatal: bool = False) -> None:
        """What went wrong last. A fatal one (the node cannot work) stays until `recovered`."""
        with self._lock:
            self._trouble, self._trouble_at, self._fatal = message, self._clock(), fatal

    def recovered(self) -> None:
        """The node can work again."""
        with self._lock:
            self._fatal = False
            self._trouble_at = float("-inf")

    def status(self, name: str, state: str, summary: str) -> DiagnosticStatus:
        """ERROR while the node cannot work, WARN for some seconds after trouble, else OK with ``summary``."""
        with self._lock:
            level, message = DiagnosticStatus.OK, summary
            if self._fatal or self._clock() - self._trouble_at < TROUBLE_LASTS:
                level, message = DiagnosticStatus.ERROR if self._fatal else DiagnosticStatus.WARN, self._trouble
            values = {"state": state, **self._facts}
            values |= {f"clouds {what}": str(count) for what, count in sorted(self._counts.items())}
            values |= {f"{stage} (ms)": f"{1000 * seconds:.1f}" for stage, seconds in self._timings.items()}
            values["last error"] = self._trouble
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        return DiagnosticStatus(level=level, name=name, message=message, hardware_id=name, values=pairs)


class Complaints:
    """Lets a kind of trouble through once, and again at most every ``every`` seconds with how often it came."""

    def __init__(self, every: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._lock = threading.Lock()
        self._said: dict[str, float] = {}
        self._held_back: Counter[str] = Counter()

    def let_through(self, kind: str, message: str) -> str | None:
        """What to log now, or None."""
        with self._lock:
            now = self._clock()
            if now - self._said.get(kind, float("-inf")) < self._every:
                self._held_back[kind] += 1
                return None
            self._said[kind] = now
            times = self._held_back.pop(kind, 0)
        return f"{message} (and {times} more like it)" if times else message


def kind_of(error: BaseException) -> str:
    """Where an exception was raised: two of the same place are of one kind, whatever numbers their messages hold."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__


def diagnostic_array(stamp: Time, status: DiagnosticStatus) -> DiagnosticArray:
    """The message for ``/diagnostics``."""
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message

"""What the node tells about itself: a status once a second, and each kind of trouble without flooding the log."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from segpoint_ros.settings import Diagnostics, Latency, Silence

TROUBLE_LASTS = 5.0  # seconds for which the last trouble keeps the status at WARN
WINDOW = 10  # seconds that a rate is taken over
LONGEST = 500  # characters of a value: nobody reads more, and whoever gives instructions must not flood the topic
LIMITS = Diagnostics()  # the parameters' defaults

Finding = tuple[bytes, str]  # a level of DiagnosticStatus, and why


class Rate:
    """How often something happens, over the last seconds; of any number of events it keeps a few counts."""

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque(maxlen=WINDOW + 1)  # [whole second, events in it]

    def count(self, now: float) -> None:
        """It happened, at this time in seconds of a clock that never goes back."""
        second = math.floor(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
        else:
            self._seconds.append([second, 1])

    def hertz(self, now: float) -> float:
        """Events a second since WINDOW ago, or since the first one if that is later."""
        recent = [(second, events) for second, events in self._seconds if second >= math.floor(now) - WINDOW]
        if not recent:
            return 0.0
        return sum(events for _, events in recent) / max(now - recent[0][0], 1.0)


class Health:
    """Counters, timings and the last trouble of a node. The callbacks and the worker may both write."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._rates = {"received": Rate(), "answered": Rate()}
        self._facts: dict[str, str] = {}
        self._timings: dict[str, float] = {}
        self._latency: float | None = None
        self._answered_at: float | None = None
        self._trouble = ""
        self._trouble_at: float | None = None
        self._warns_until = float("-inf")
        self._fatal = ""

    def count(self, what: str) -> None:
        """One more cloud that was ``what``: "received" and "answered", which have rates, "skipped: busy", …"""
        with self._lock:
            self._counts[what] += 1
            if what in self._rates:
                self._rates[what].count(self._clock())

    def note(self, **facts: object) -> None:
        """Facts shown as they are, for example the standing instruction."""
        with self._lock:
            self._facts.update({name: _shortened(str(value)) for name, value in facts.items()})

    def time(self, timings: Mapping[str, float], latency: float | None = None) -> None:
        """A result was published: seconds per stage, and seconds since its cloud's stamp, None without a stamp."""
        with self._lock:
            self._timings, self._latency, self._answered_at = dict(timings), latency, self._clock()

    def forget(self) -> None:
        """The last result says nothing about the present: another model, another question, or none."""
        with self._lock:
            self._timings, self._latency, self._answered_at = {}, None, None

    def trouble(self, message: str, fatal: bool = False) -> None:
        """What went wrong last. A fatal one (the node cannot work) stays until `recovered`."""
        with self._lock:
            self._trouble, self._trouble_at = _shortened(message), self._clock()
            self._fatal = self._trouble if fatal else self._fatal
            self._warns_until = float("-inf") if fatal else self._trouble_at + TROUBLE_LASTS

    def recovered(self) -> None:
        """The node can work again. What the trouble was stays readable."""
        with self._lock:
            self._fatal = ""
            self._warns_until = float("-inf")

    def status(
        self,
        name: str,
        state: str,
        summary: str,
        silence: float | None = None,
        limits: Diagnostics = LIMITS,
    ) -> DiagnosticStatus:
        """ERROR while the node cannot work, WARN for some seconds after trouble, either where a limit is exceeded.

        The message is why, the worst first; ``summary`` where all is well.
        silence: seconds without a cloud, None while none is listened for: then no limit is judged.
        """
        with self._lock:
            now = self._clock()
            findings = self._troubles(now)
            if silence is not None:
                findings += _over("latency", self._latency, limits.latency, "the last result was {:.2f} s old")
                findings += _over("silence", silence, limits.silence, "no cloud for {:.2f} s")
            values = self._values(now, state, silence)
        findings.sort(key=lambda finding: finding[0], reverse=True)
        level = findings[0][0] if findings else DiagnosticStatus.OK
        message = "; ".join(why for _, why in findings) or summary
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        return DiagnosticStatus(level=level, name=name, message=message, hardware_id=name, values=pairs)

    def _troubles(self, now: float) -> list[Finding]:
        fatal = [(DiagnosticStatus.ERROR, self._fatal)] if self._fatal else []
        return fatal + ([(DiagnosticStatus.WARN, self._trouble)] if now < self._warns_until else [])

    def _values(self, now: float, state: str, silence: float | None) -> dict[str, str]:
        values = {"state": state, **self._facts}
        values |= {f"clouds {what}": str(count) for what, count in sorted(self._counts.items())}
        values |= {f"rate of clouds {what} (Hz)": f"{rate.hertz(now):.2f}" for what, rate in self._rates.items()}
        values |= {f"{stage} (ms)": f"{1000 * seconds:.1f}" for stage, seconds in self._timings.items()}
        values["latency (s)"] = _seconds(self._latency)
        values["last result (s ago)"] = _since(self._answered_at, now)
        values["last cloud (s ago)"] = _seconds(silence)
        values["last error"] = self._trouble
        values["last error (s ago)"] = _since(self._trouble_at, now)
        return values


def _over(what: str, value: float | None, limits: Latency | Silence, sentence: str) -> list[Finding]:
    """That a limit is exceeded, which and by how much: the higher one, where both are."""
    for level, name in ((DiagnosticStatus.ERROR, "error"), (DiagnosticStatus.WARN, "warn")):
        limit = getattr(limits, name)
        if value is not None and limit and value > limit:
            by = f"{value - limit:.2f} s more than diagnostics.{what}.{name} ({limit:g} s)"
            return [(level, f"{sentence.format(value)}, {by}")]
    return []


def _since(then: float | None, now: float) -> str:
    return _seconds(None if then is None else now - then)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


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

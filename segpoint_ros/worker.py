"""One thread between the callbacks and the model, so that neither ever waits for the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

CloudT = TypeVar("CloudT")
RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class Worker(Generic[CloudT, RequestT, AnswerT]):
    """Answers the newest request about the newest cloud, and never works on an older one.

    ``offer``, ``ask`` and ``forget`` only store and return at once. The last cloud stays, so that a request that comes
    later is answered about it. While nobody listens nothing is computed; what is due then stays due.

    answer: (cloud, request) → answer, the long work, done in this thread.
    deliver: publishes an answer; never called once `stop` has returned.
    clear: (last cloud or None) is called once for each request that asks nothing (one that is false).
    wanted: whether anybody listens.   pause: seconds that lie at least between the beginnings of two clouds' answers.
    failed: is told every exception; the thread goes on.
    skipped: is told why a cloud got no answer: it was replaced while the thread was "busy", or "idle" (nothing was
    asked or wanted) or waiting for its next turn ("rate"), or what was found is "outdated" because another request came
    meanwhile.
    """

    def __init__(
        self,
        answer: Callable[[CloudT, RequestT], AnswerT],
        deliver: Callable[[AnswerT], None],
        clear: Callable[[CloudT | None], None],
        wanted: Callable[[], bool],
        pause: Callable[[], float],
        failed: Callable[[Exception], None],
        skipped: Callable[[str], None],
    ) -> None:
        self._answer, self._deliver, self._clear = answer, deliver, clear
        self._wanted, self._pause = wanted, pause
        self._failed, self._skipped = failed, skipped
        self._changed = threading.Condition()
        self._delivering = threading.Lock()
        self._cloud: CloudT | None = None
        self._request: RequestT | None = None
        self._unseen = False  # the stored cloud has not been taken yet
        self._due = False  # the stored cloud and request have not been answered together yet
        self._clearing = False  # nothing is asked any more, and nobody has been told yet
        self._busy = False
        self._began = float("-inf")  # the last answer, time.monotonic()
        self._stopped = False
        # A daemon: a computation cannot be interrupted, and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="segpoint worker", daemon=True)
        self._thread.start()

    def offer(self, cloud: CloudT) -> None:
        """Store a new cloud; one that was still waiting is dropped."""
        with self._changed:
            if self._unseen:
                self._skipped("busy" if self._busy else "rate" if self._asked() else "idle")
            self._cloud, self._unseen, self._due = cloud, True, True
            self._changed.notify()

    def ask(self, request: RequestT) -> None:
        """Store a new request, to be answered about the last cloud and all that come; a false one asks nothing."""
        with self._changed:
            self._request, self._due, self._clearing = request, True, not request
            self._began = float("-inf")  # who asks need not wait for the next turn
            self._changed.notify()

    def forget(self) -> None:
        """Let go of the last cloud, which has nothing to do any more with those that come."""
        with self._changed:
            self._cloud, self._unseen = None, False

    def look_again(self) -> None:
        """Tell the thread that somebody may be listening now."""
        with self._changed:
            self._changed.notify()

    def stop(self, timeout: float) -> bool:
        """Deliver nothing more and end the thread. False where a computation outlasted ``timeout`` seconds."""
        with self._changed:
            self._stopped = True
            self._cloud = None
            self._changed.notify()
        with self._delivering:  # wait for what is being published at this moment
            pass
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _asked(self) -> bool:
        return self._cloud is not None and bool(self._request) and self._wanted()

    def _wait(self) -> None:
        """Until there is something to do; the lock is held."""
        self._busy = False
        while not (self._stopped or self._clearing):
            left = None
            if self._due and self._asked():
                left = self._began + self._pause() - time.monotonic()
                if left <= 0:
                    break
            self._changed.wait(None if left is None else min(left, 60.0))  # a lock cannot wait for centuries
        self._busy = True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._wait()
                if self._stopped:
                    return
                cloud, request = self._cloud, self._request
                clearing, self._clearing = self._clearing, False
                self._unseen = self._unseen and clearing
                self._due = False
                if not clearing:
                    self._began = time.monotonic()
            try:
                if clearing:
                    with self._delivering:
                        if not self._stopped:
                            self._clear(cloud)
                else:
                    assert cloud is not None and request is not None  # _asked saw to it
                    self._work(cloud, request)
            except Exception as error:  # noqa: BLE001  whatever went wrong with this cloud, the next one may be good
                if not self._stopped:
                    self._failed(error)
            del cloud  # while it waits, the thread holds on to nothing large

    def _work(self, cloud: CloudT, request: RequestT) -> None:
        answer = self._answer(cloud, request)
        del cloud
        with self._delivering:
            if self._stopped:
                return
            if request == self._request:
                self._deliver(answer)
            else:
                self._skipped("outdated")  # something else was asked meanwhile: this is no answer to it

"""One thread between the callbacks and the model, so that neither ever waits for the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

CloudT = TypeVar("CloudT")
AnswerT = TypeVar("AnswerT")


class Worker(Generic[CloudT, AnswerT]):
    """Answers the newest instruction about the newest cloud, and never works on an older one.

    ``offer`` and ``instruct`` only store and return at once. The last cloud stays, so that an instruction that comes
    later is answered about it. While nobody listens nothing is computed; what is due then stays due.

    answer: (cloud, instruction) → answer, the long work, done in this thread.
    deliver: publishes an answer; never called once `stop` has returned.
    wanted: whether anybody listens.   failed: is told every exception; the thread goes on.
    skipped: is told why a cloud got no answer: it was replaced while the thread was "busy" or "idle" (nothing was
    asked or wanted), or what was found is "outdated" because another instruction came meanwhile.
    """

    def __init__(
        self,
        answer: Callable[[CloudT, str], AnswerT],
        deliver: Callable[[AnswerT], None],
        wanted: Callable[[], bool],
        failed: Callable[[Exception], None],
        skipped: Callable[[str], None],
    ) -> None:
        self._answer, self._deliver, self._wanted = answer, deliver, wanted
        self._failed, self._skipped = failed, skipped
        self._changed = threading.Condition()
        self._delivering = threading.Lock()
        self._cloud: CloudT | None = None
        self._instruction = ""
        self._unseen = False  # the stored cloud has not been taken yet
        self._due = False  # the stored cloud and instruction have not been answered together yet
        self._busy = False
        self._stopped = False
        # A daemon: a computation cannot be interrupted, and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="segpoint worker", daemon=True)
        self._thread.start()

    def offer(self, cloud: CloudT) -> None:
        """Store a new cloud; one that was still waiting is dropped."""
        with self._changed:
            if self._unseen:
                self._skipped("busy" if self._busy else "idle")
            self._cloud, self._unseen, self._due = cloud, True, True
            self._changed.notify()

    def instruct(self, instruction: str) -> None:
        """Store a new instruction, to be answered about the last cloud and all that come; "" asks nothing."""
        with self._changed:
            self._instruction, self._due = instruction, True
            self._changed.notify()

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

    def _ready(self) -> bool:
        return self._stopped or (self._due and bool(self._instruction) and self._cloud is not None and self._wanted())

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.wait_for(self._ready)
                if self._stopped:
                    return
                cloud, instruction = self._cloud, self._instruction
                self._unseen = self._due = False
                self._busy = True
            try:
                assert cloud is not None  # _ready saw to it
                answer = self._answer(cloud, instruction)
                del cloud
                with self._delivering:
                    if self._stopped:
                        return
                    if instruction == self._instruction:
                        self._deliver(answer)
                    else:
                        self._skipped("outdated")  # another instruction came meanwhile: this is no answer to it
                del answer  # while it waits, the thread holds on to nothing large
            except Exception as error:  # noqa: BLE001  whatever went wrong with this cloud, the next one may be good
                if not self._stopped:
                    self._failed(error)

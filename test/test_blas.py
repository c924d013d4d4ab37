"""BLAS on one thread, also where two threads of ours overlap."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: once its main thread has set it, OpenBLAS takes the number from no other thread.
OVERLAP = """
import threading
from threadpoolctl import threadpool_info
from segpoint.blas import _libraries, one_blas_thread

def threads():
    return sorted({library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"})

@one_blas_thread
def run(entered, leave):
    entered.set()
    leave.wait(20)

def start():
    entered, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(entered, leave))
    thread.start()
    entered.wait(20)
    return thread, leave

def stop(thread, leave):
    leave.set()
    thread.join()

_libraries()
said = [threads()]
first, second = start(), start()
said.append(threads())
stop(*first)
said.append(threads())
stop(*second)
said.append(threads())
print(said)
"""


def test_the_limit_lasts_until_the_last_has_left(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    done = subprocess.run([sys.executable, "-c", OVERLAP], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[[2], [1], [1], [2]]"

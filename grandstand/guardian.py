"""Leaves nothing behind: runs work in a child, and ends whatever that leaves when it ends.

Ray ends its own processes when it is stopped, but some of them outlive a Ray that was killed. The
guardian is the process that orphans below it are given to (a "subreaper"), so it finds them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 5.0
"""How long those left behind may take to end by themselves."""
AGAIN = os.EX_TEMPFAIL
"""The exit status of work that asks for another attempt."""
ATTEMPTS = 3

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def guarded(work: Callable[[], int]) -> int:
    """Run `work` in a child; its exit status, or 128 and the number of the signal that ended it.

    SIGINT and SIGTERM are handed on to it. If the guardian itself is killed, the child is told to
    end with SIGTERM. Work that ends with `AGAIN` is begun again, some times, in a new child and
    with nothing left of the former. To be called before any thread is started.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    told: list[int] = []
    status, attempts = AGAIN, 0
    while status == AGAIN and attempts < ATTEMPTS and not told:
        status, attempts = _attempt(work, told), attempts + 1
    return status


def _attempt(work: Callable[[], int], told: list[int]) -> int:
    """`told` gets the signals that arrive."""
    child = os.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)  # not those of the guardian
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        status = 1
        try:
            status = work()
        except BaseException:
            traceback.print_exc()  # a fault of ours: nothing else would ever show it
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def hand_on(number: int, _: object) -> None:
        told.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, hand_on)
    if told:  # since the fork, when the signal went to the child before this one
        hand_on(told[-1], None)
    status = os.waitstatus_to_exitcode(_wait_for(child))
    _end_all_below()
    return status if status >= 0 else 128 - status


def _wait_for(child: int) -> int:
    """Wait for one child, reaping the orphans that end meanwhile."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return status


def _end_all_below() -> None:
    deadline = time.monotonic() + GRACE_S
    while left := _children():
        for pid in left:
            late = time.monotonic() > deadline
            os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.1)
        while _reap():
            pass


def _reap() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _children() -> list[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in listed]

"""SIGTERM in a process whose main thread does not run Python, as in a Ray worker."""

from __future__ import annotations

import asyncio
import signal
import sys

from tests.patience import PATIENCE_S

PROGRAM = """
import asyncio, ctypes, os, signal, threading
from grandstand.hosts import on_sigterm

def loop():
    async def main():
        on_sigterm(lambda: (print("told", flush=True), told.set()))
        print("ready", flush=True)
        await told.wait()
        await asyncio.sleep(0.1)
        print("drained", flush=True)
        os._exit(7)
    told = asyncio.Event()
    asyncio.run(main())

signal.signal(signal.SIGTERM, lambda *_: os._exit(1))
threading.Thread(target=loop).start()
ctypes.CDLL(None).sleep(300)
"""


async def test_the_loop_hears_of_it_and_has_time_to_drain() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGTERM)
            assert await process.stdout.readline() == b"told\n"
            process.send_signal(signal.SIGTERM)  # once more does not cut it short
            assert b"drained\n" in await process.stdout.read()
            assert await process.wait() == 7
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

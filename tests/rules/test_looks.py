"""One look at a time serves a whole crowd, and nobody is told what was seen before they asked."""

from __future__ import annotations

import asyncio

import pytest

from gateway.looks import Look


async def test_a_crowd_looks_once_at_a_time_and_never_before_it_asked() -> None:
    began, seen = asyncio.Queue[None](), asyncio.Queue[bool]()

    async def look() -> bool:
        began.put_nowait(None)
        return await seen.get()

    new = Look(look)
    first = [asyncio.ensure_future(new()) for _ in range(100)]
    await began.get()
    later = [asyncio.ensure_future(new()) for _ in range(100)]
    # Whoever goes away takes nobody along.
    first.pop().cancel()
    seen.put_nowait(False)
    assert not any(await asyncio.gather(*first))
    assert not any(one.done() for one in later)
    seen.put_nowait(True)
    assert all(await asyncio.gather(*later))
    await began.get()
    assert began.empty()


async def test_what_went_wrong_is_said_to_all_who_asked_and_to_nobody_else() -> None:
    answers = iter([OSError("gone"), True])

    async def look() -> bool:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    new = Look(look)
    for error in await asyncio.gather(new(), new(), return_exceptions=True):
        assert isinstance(error, OSError)
    assert await new()
    with pytest.raises(StopIteration):
        next(answers)

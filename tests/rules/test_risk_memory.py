"""A bounded memory against a naive one that knows everything and when it was last asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.risk.memory import Memory

MOST = 6


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=80))
def test_the_last_half_is_always_there(script: list[tuple[bool, int]]) -> None:
    memory: Memory[int, int] = Memory(MOST)
    lately: list[int] = []
    values: dict[int, int] = {}
    for moment, (keeps, key) in enumerate(script):
        if keeps:
            memory.keep(key, moment)
            values[key] = moment
        found = memory.get(key)
        assert found in (None, values.get(key))
        if found is None:
            assert key not in lately[-MOST // 2 :]
            assert key not in memory
        else:
            if key in lately:
                lately.remove(key)
            lately.append(key)
        assert len(memory) <= MOST
        assert len(list(memory.values())) == len(memory)

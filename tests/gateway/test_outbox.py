"""What waits for one socket: order, conflation, and the bound."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.frames import Prices
from gateway.outbox import Change, Outbox


def change(seq: int, market: str = "m", fixture: str = "f", **odds: int) -> Change:
    prices = Prices(fixture, seq, f"{fixture}:{market}", seq, odds or {"home": 20_000 + seq})
    return Change(fixture, seq, msgspec.json.encode(prices), prices)


def other(seq: int, fixture: str = "f") -> Change:
    frame = {"type": "phase", "fixture_id": fixture, "seq": seq, "phase": "in_play", "score": ""}
    return Change(fixture, seq, json.dumps(frame).encode(), None)


def all_of(outbox: Outbox) -> list[dict[str, Any]]:
    frames = []
    while waiting := outbox.take():
        frames += [json.loads(frame) for frame in waiting]
    return frames


def test_while_few_wait_each_change_goes_as_it_is() -> None:
    outbox = Outbox(conflate_above=10)
    for seq in range(1, 6):
        outbox.put_change(change(seq))
    frames = all_of(outbox)
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4, 5]
    assert all("from_seq" not in frame for frame in frames)


def test_a_slow_reader_gets_the_latest_price_of_each_selection() -> None:
    outbox = Outbox(conflate_above=0)
    outbox.put_change(change(1, home=20_000, away=30_000))
    outbox.put_change(change(2, home=21_000))
    outbox.put_change(change(3, home=22_000))
    assert len(outbox) == 1
    (frame,) = all_of(outbox)
    assert frame["odds"] == {"home": 22_000, "away": 30_000}
    assert (frame["from_seq"], frame["seq"], frame["odds_version"]) == (1, 3, 3)


def test_what_is_no_price_ends_a_run() -> None:
    outbox = Outbox(conflate_above=0)
    for one in (change(1), change(2), other(3), change(4), change(5)):
        outbox.put_change(one)
    stretches = [(frame.get("from_seq"), frame["seq"]) for frame in all_of(outbox)]
    assert stretches == [(1, 2), (None, 3), (4, 5)]


def test_a_snapshot_ends_a_run() -> None:
    outbox = Outbox(conflate_above=0)
    outbox.put_change(change(1))
    outbox.put_snapshot("f", b'{"type": "snapshot"}')
    outbox.put_change(change(8))
    assert [frame["type"] for frame in all_of(outbox)] == ["prices", "snapshot", "prices"]


def test_a_balance_makes_the_one_before_it_worthless() -> None:
    outbox = Outbox()
    for cash in range(100):
        outbox.put_latest("balance", json.dumps({"cash": cash}).encode())
    assert all_of(outbox) == [{"cash": 99}]
    outbox.put_latest("balance", b'{"cash": 100}')
    assert all_of(outbox) == [{"cash": 100}]


def test_both_bounds() -> None:
    outbox = Outbox(max_frames=10, max_bytes=1_000)
    for _ in range(10):
        outbox.put(b"x")
    assert not outbox.too_full
    outbox.put(b"x")
    assert outbox.too_full
    outbox = Outbox(max_frames=10, max_bytes=1_000)
    outbox.put(b"x" * 1_001)
    assert outbox.too_full
    outbox.take()
    assert not outbox.too_full


@given(
    kinds=st.lists(
        st.tuples(
            st.sampled_from(["f", "g"]), st.sampled_from(["m", "n", None]), st.integers(0, 2)
        ),
        max_size=40,
    ),
    conflate_above=st.integers(0, 4),
    reads=st.lists(st.booleans(), max_size=40),
)
def test_whatever_the_reader_does_it_ends_up_with_the_last_prices(
    kinds: list[tuple[str, str | None, int]], conflate_above: int, reads: list[bool]
) -> None:
    """Stretches go on from each other without a gap, and the prices are those of all changes."""
    outbox = Outbox(conflate_above=conflate_above)
    seqs = {"f": 0, "g": 0}
    truth: dict[tuple[str, str], int] = {}
    frames: list[dict[str, Any]] = []
    for at, (fixture, market, selection) in enumerate(kinds):
        seqs[fixture] += 1
        seq = seqs[fixture]
        if market is None:
            outbox.put_change(other(seq, fixture))
        else:
            outbox.put_change(change(seq, market, fixture, **{f"s{selection}": 20_000 + seq}))
            truth[f"{fixture}:{market}", f"s{selection}"] = 20_000 + seq
        if at < len(reads) and reads[at]:
            frames += [json.loads(frame) for frame in outbox.take()]
    frames += all_of(outbox)
    known = {"f": 0, "g": 0}
    prices: dict[tuple[str, str], int] = {}
    for frame in frames:
        fixture = frame["fixture_id"]
        assert frame.get("from_seq", frame["seq"]) == known[fixture] + 1
        known[fixture] = frame["seq"]
        if frame["type"] == "prices":
            for selection_id, odds in frame["odds"].items():
                prices[frame["market_id"], selection_id] = odds
    assert known == seqs
    assert prices == truth

"""Where an actor lives. The division must never change: journals are written by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.addresses import (
    fixture_of,
    partition_name,
    partition_of,
    partitions_of,
    scope_of,
)


@pytest.mark.parametrize(
    ("scope", "routing_id", "count", "partition"),
    [
        ("gb", "", 16, "gb-00"),
        ("gb", "player-1", 16, "gb-03"),
        ("gb", "ann@example.org", 16, "gb-08"),
        ("book", "match-1", 16, "book-11"),
        ("book", "match-1", 4, "book-03"),
        ("book", "match-1", 1, "book-00"),
    ],
)
def test_a_routing_id_has_its_partition_for_ever(
    scope: str, routing_id: str, count: int, partition: str
) -> None:
    assert partition_of(scope, routing_id, count) == partition


@given(st.text(), st.integers(1, 200))
def test_every_routing_id_falls_into_one_of_the_partitions(routing_id: str, count: int) -> None:
    assert partition_of("gb", routing_id, count) in partitions_of("gb", count)


@given(st.from_regex(r"[a-z]+(-[a-z]+)?", fullmatch=True), st.integers(0, 999))
def test_a_partition_names_its_scope(scope: str, number: int) -> None:
    assert scope_of(partition_name(scope, number)) == scope


def test_partitions_are_numbered_from_zero() -> None:
    assert partitions_of("gb", 3) == ("gb-00", "gb-01", "gb-02")


@pytest.mark.parametrize(
    ("market_id", "fixture_id"),
    [("match-1:winner", "match-1"), ("a.b_c:over-2.5", "a.b_c")],
)
def test_a_market_id_starts_with_its_fixture(market_id: str, fixture_id: str) -> None:
    assert fixture_of(market_id) == fixture_id


def test_a_market_lives_beside_its_fixture() -> None:
    fixture = partition_of("book", fixture_of("match-1:winner"), 16)
    assert fixture == partition_of("book", "match-1", 16)

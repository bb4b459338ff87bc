"""The directory, and what a shard makes of its words."""

from __future__ import annotations

import pytest

from actors.runtime.directory import Directory, Held, Holdings, Scope, UnknownShard


def directory() -> Directory:
    return Directory(
        [
            Scope("book", 2, ("shard-book-0",)),
            Scope("gb", 4, ("shard-gb-0", "shard-gb-1")),
        ]
    )


def test_every_change_raises_the_version() -> None:
    there = directory()
    versions = [there.version]
    for change in (
        lambda: there.move("gb-00", "shard-gb-1"),
        lambda: there.begin("gb-01", "shard-gb-0"),
        lambda: there.end("gb-01", "shard-gb-0"),
    ):
        change()
        versions.append(there.version)
    assert versions == [1, 2, 3, 4]
    there.move("gb-01", "shard-gb-0")
    assert there.version == 4, "nothing has changed"


def test_what_moves_is_nobodys() -> None:
    there = directory()
    there.begin("gb-00", "shard-gb-1")
    assert there.view().shards["gb-00"] == "shard-gb-0"
    for shard in ("shard-gb-0", "shard-gb-1"):
        holdings = there.holdings(shard)
        assert "gb-00" not in holdings.partitions
        assert holdings.moving == ("gb-00",)
    with pytest.raises(UnknownShard):
        there.begin("gb-00", "shard-gb-1")
    there.end("gb-00", "shard-gb-1")
    assert "gb-00" in there.holdings("shard-gb-1").partitions


@pytest.mark.parametrize(
    ("partition", "shard"),
    [("gb-09", "shard-gb-1"), ("gb-00", "shard-book-0"), ("book-00", "shard-gb-0")],
)
def test_nobody_gets_what_is_of_another_scope(partition: str, shard: str) -> None:
    there = directory()
    with pytest.raises(UnknownShard):
        there.move(partition, shard)
    with pytest.raises(UnknownShard):
        there.begin(partition, shard)


def test_a_spare_stands_in_for_one_scope_at_a_time() -> None:
    there = directory()
    there.move("book-00", "spare-0")
    there.move("book-01", "spare-0")
    with pytest.raises(UnknownShard):
        there.move("gb-00", "spare-0")
    there.move("book-00", "shard-book-0")
    there.move("book-01", "shard-book-0")
    there.begin("book-00", "spare-0")
    with pytest.raises(UnknownShard, match="another scope"):
        there.begin("gb-00", "spare-0")
    there.end("book-00", "shard-book-0")
    there.move("gb-00", "spare-0")
    assert there.partitions_of("spare-0") == ["gb-00"]


def test_after_a_restart_what_the_shards_have_counts() -> None:
    there = directory()
    there.learn({"shard-gb-0": ["gb-01", "gb-02"], "spare-0": ["gb-00"], "shard-book-0": []})
    assert there.shards == {
        "book-00": "shard-book-0",
        "book-01": "shard-book-0",
        "gb-00": "spare-0",
        "gb-01": "shard-gb-0",
        "gb-02": "shard-gb-0",
        # Nobody has it, and the one that it was given at first does not answer.
        "gb-03": "shard-gb-0",
    }
    before = dict(there.shards)
    there.learn({})
    assert there.shards == before


def test_the_newest_word_counts() -> None:
    held = Held()
    assert held.hear(Holdings(5, ("gb-00", "gb-01")))
    assert not held.hear(Holdings(4, ()))
    assert held.partitions == {"gb-00", "gb-01"}
    assert not held.lose("gb-00", 4)
    assert held.lose("gb-00", 6)
    assert not held.gain("gb-02", 5)
    assert held.gain("gb-02", 7)
    assert held.partitions == {"gb-01", "gb-02"}
    # On its way: what is here stays, and what is not does not come.
    assert held.hear(Holdings(8, ("gb-01",), ("gb-00", "gb-02")))
    assert held.partitions == {"gb-01", "gb-02"}
    assert held.hear(Holdings(9, ("gb-01",)))
    assert held.partitions == {"gb-01"}

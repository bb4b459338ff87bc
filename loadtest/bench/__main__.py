"""`make bench`: what a bet costs, beside others that place the same bet.

    python -m loadtest.bench                       everything, in some twelve minutes
    python -m loadtest.bench --quick               the same in three: shorter, fewer, one round
    python -m loadtest.bench --only http,ws,limit --connections 256 --seconds 5
                                                   a contest of these alone, printed

Leaves results/bench.html, bench.md and bench.json. Ends with an error when a bet that was
acknowledged is not in the ledger, or the ledger is not clean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

import uvloop

from loadtest.bench import push, settling, stopping
from loadtest.bench.contest import Contestant, Field, Seed, group_of, sow
from loadtest.bench.page import report, title_of
from loadtest.bench.processes import Strangers, memory_for
from loadtest.bench.targets import CONNECTIONS, saturated
from loadtest.house import House
from loadtest.report import RESULTS, markdown_table, shown

POOLS = (8, 16, 32)
PROCESSES = (1, 2)
DEFAULT_POOL = (16, 1)
GATEWAYS = 1
"""On two cores that is what is fastest, as it is tried out which pool is for the peers."""
WALLET_ACTORS = 50
SHARES = (0.25, 0.5, 0.75)
"""Of the saturated rate, for the open loop."""
FOLLOWED = 20
"""Markets that each socket follows when everything is suspended."""


class Size(NamedTuple):
    """How long, and how much of everything."""

    players: int = 10_000
    markets: int = 200
    seconds: float = 3.0
    rounds: int = 3
    other_connections: tuple[int, ...] = (16, 64, 512)
    open_seconds: float = 6.0
    try_pools: bool = True
    actors: bool = True
    sockets: int = 1_000
    changes_per_s: float = 1_000.0
    push_seconds: float = 10.0
    board: int = 1_000
    """Markets more, when everything is suspended."""
    settled_bets: int = 100_000
    wallets: int = 1_000_000
    inside_bets: int = 200_000


FULL = Size()
QUICK = Size(
    seconds=2.0,
    rounds=1,
    other_connections=(64,),
    open_seconds=3.0,
    try_pools=False,
    actors=False,
    push_seconds=4.0,
    settled_bets=20_000,
    wallets=50_000,
    inside_bets=50_000,
)


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


# Everything


def bench(size: Size) -> dict[str, Any]:
    """Run all stories; what they measured."""
    data: dict[str, Any] = {"size": size._asdict()}
    say(f"One shard from inside, {size.wallets:,} wallets")
    data["inside"] = inside(size)
    say("The platform comes up")
    with House(gateways=GATEWAYS) as house:
        seed = sow(house, size.players, size.markets)
        with Field(house, seed) as field:
            data["facts"] = {"platform": hosts(house), **uvloop.run(contest(field, size))}
            data["contest"] = field.medians()
            data["half"] = half_rates(data)
            acknowledged = ours(field)
        say(f"Price push: {size.changes_per_s:,.0f} changes/s, {size.sockets:,} sockets")
        wide = sow(house, 0, 100, 10, "prices")
        data["push"] = uvloop.run(
            push.measure(
                house,
                wide,
                sockets=size.sockets,
                selections=20,
                rate=size.changes_per_s,
                seconds=size.push_seconds,
            )
        )
        say(f"Everything is suspended, {size.board:,} markets and more, {size.sockets:,} sockets")
        board = sow(house, 0, size.board, 2, "board")
        data["stop"] = uvloop.run(
            stopping.measure(house, board, sockets=size.sockets, fixtures=FOLLOWED)
        )
        say(f"Settlement of {size.settled_bets:,} bets")
        final = sow(house, 0, 1, 2, "final")
        data["settlement"] = uvloop.run(settling.measure(house, seed, final, size.settled_bets))
        acknowledged += data["settlement"]["acknowledged"]
        data["facts"] |= check(house, Field(house, seed), acknowledged)
    return data


def inside(size: Size) -> dict[str, Any]:
    """In processes of their own, one after the other. Raises CalledProcessError."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "loadtest.bench.inside_commands"),
            *("--wallets", str(size.wallets), "--bets", str(size.inside_bets)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


async def contest(field: Field, size: Size) -> dict[str, Any]:
    """All rounds of all contestants; facts about the run."""
    strangers = Strangers()
    facts: dict[str, Any] = {"idle platform": await idle_share(field)}
    dsn = await field.peer_database()
    pools = {}
    for style in ("rows", "function"):
        pools[style] = await best_pool(field, style, dsn) if size.try_pools else DEFAULT_POOL
        pool, processes = pools[style]
        facts[title_of(style)] = f"{processes} process(es), {pool} connections to Postgres each"
    servers = {style: field.peer_server(style, dsn, *pools[style]) for style in pools}
    limit, http, ws = field.limit(), field.grandstand("http"), field.grandstand("websocket")
    peers = [field.peer(style, servers[style]) for style in pools]
    hot = [field.peer(style, servers[style], hot=True) for style in pools]
    hot += [field.grandstand("http", hot=True), field.grandstand("websocket", hot=True)]
    say(f"Closed loop, {CONNECTIONS} connections, {size.rounds} round(s)")
    await field.play([limit, *peers, http, ws, *hot], CONNECTIONS, size.seconds, size.rounds)
    for connections in size.other_connections:
        say(f"Closed loop, {connections} connections")
        await field.play([limit, *peers, http, ws], connections, size.seconds)
    say("Open loop")
    medians = {"contest": field.medians()}
    for contestant in (*peers, http, ws):
        for share in SHARES if contestant is http else (0.5,):
            rate = share * saturated(medians, contestant.name)
            await field.play([contestant], CONNECTIONS, size.open_seconds, rate=rate)
    if size.actors:
        facts[title_of("actors")] = await play_actors(field, dsn, size)
    lost = await field.bets_of_peers(dsn) - sum(
        placed
        for name, placed in field.placed.items()
        if name.startswith(("rows", "function", "actors"))
    )
    if lost:
        raise RuntimeError(f"the peers' tables have {lost:+,} bets beside what they acknowledged")
    facts["other programs meanwhile"] = f"{strangers.cores():.2f} cores"
    return facts


async def play_actors(field: Field, dsn: str, size: Size) -> str:
    """What there is to say about the actor-per-wallet peer."""
    if not memory_for(WALLET_ACTORS):
        return f"not measured: there is no memory for {WALLET_ACTORS} processes more"
    say(f"{WALLET_ACTORS} Ray actors come up")
    began = time.monotonic()
    try:
        with field.wallet_actors(dsn, WALLET_ACTORS) as contestant:
            seconds = time.monotonic() - began
            await field.play([contestant], CONNECTIONS, size.seconds, min(2, size.rounds))
    except (TimeoutError, RuntimeError) as failure:
        # Nothing of ours depends on it: the run goes on, and says so.
        return f"not measured: {failure}"
    return f"{WALLET_ACTORS} wallets, {WALLET_ACTORS} processes, up in {seconds:.0f} s"


def hosts(house: House) -> str:
    """The processes that are of the platform's own making, such as `2 gateway, 1 shard-gb`."""
    names = Counter(
        name.rstrip("0123456789").rstrip("-")
        for name in house.processes()
        if group_of(name) not in ("Ray", "others")
    )
    return ", ".join(f"{count} {name}" for name, count in sorted(names.items()))


async def best_pool(field: Field, style: str, dsn: str) -> tuple[int, int]:
    """Connections to Postgres and processes with which a peer is fastest."""
    rates = {}
    for processes in PROCESSES:
        for pool in POOLS:
            with field.peer_for_a_while(style, dsn, pool, processes) as contestant:
                sample = await field.try_out(contestant, CONNECTIONS, 1.5)
            rates[pool, processes] = sample.per_second
    say(f"{title_of(style)}: " + ", ".join(f"{p[1]}x{p[0]} {r:,.0f}/s" for p, r in rates.items()))
    return max(rates, key=lambda tried: rates[tried])


async def idle_share(field: Field, seconds: float = 3.0) -> str:
    """What the platform takes when nobody asks it for anything: the others pay for that too."""
    before = await asyncio.to_thread(field.house_cpu)
    await asyncio.sleep(seconds)
    after = await asyncio.to_thread(field.house_cpu)
    used = sum(after.values()) - sum(before.values())
    return f"{used / seconds:.0%} of a core"


def half_rates(data: dict[str, Any]) -> dict[str, Any]:
    """The open-loop line of each contestant at half of what it reached."""
    found: dict[str, Any] = {}
    for line in data["contest"]:
        if line["rate"] is not None:
            best = saturated(data, line["contestant"])
            if abs(line["rate"] - best / 2) < 1:
                found[line["contestant"]] = line
    return found


def ours(field: Field) -> int:
    """Bets that Grandstand acknowledged."""
    return sum(placed for name, placed in field.placed.items() if name.startswith(("http", "ws")))


def check(house: House, field: Field, acknowledged: int) -> dict[str, Any]:
    """Count and verify. Raises RuntimeError, and `HouseError` where the ledger is not clean."""
    say("Counting and verifying")
    asyncio.run(field.caught_up())
    ledger = asyncio.run(field.bets_in_ledger())
    if ledger != acknowledged:
        raise RuntimeError(f"{acknowledged:,} bets were acknowledged, {ledger:,} are in the ledger")
    began = time.monotonic()
    house.verify()
    seconds = time.monotonic() - began
    return {
        "acknowledged and in the ledger": f"{ledger:,} bets, none missing and none more",
        "ledger verify": f"clean, in {seconds:.0f} s",
    }


# Only some


async def some(field: Field, chosen: argparse.Namespace) -> None:
    names: list[str] = chosen.only.split(",")
    peers = [name for name in names if name.startswith(("rows", "function"))]
    dsn = await field.peer_database() if peers else ""
    servers: dict[str, Any] = {}
    contestants: list[Contestant] = []
    for name in names:
        hot, style = name.endswith("-hot"), name.removesuffix("-hot")
        if style == "limit":
            contestants.append(field.limit())
        elif style in ("http", "ws"):
            contestants.append(field.grandstand("http" if style == "http" else "websocket", hot))
        elif style in ("rows", "function"):
            if style not in servers:
                servers[style] = field.peer_server(style, dsn, *DEFAULT_POOL)
            contestants.append(field.peer(style, servers[style], hot=hot))
        elif style == "actors":
            await play_actors(field, dsn or await field.peer_database(), QUICK)
        else:
            raise SystemExit(f"there is no contestant {name!r}")
    for connections in map(int, chosen.connections.split(",")):
        await field.play(contestants, connections, chosen.seconds, chosen.rounds)
        for rate in map(float, filter(None, chosen.rates.split(","))):
            open_loop = [one for one in contestants if one.name != "limit"]
            await field.play(open_loop, connections, chosen.seconds, chosen.rounds, rate)


def print_contest(lines: list[dict[str, Any]]) -> None:
    limits = {
        line["connections"]: line["bets_per_s"] for line in lines if line["contestant"] == "limit"
    }
    columns = ("what", "conn", "due/s", "bets/s", "of limit", "p50", "p99", "p99.9", "us/bet", "of")
    rows = []
    for line in lines:
        limit = limits.get(line["connections"])
        figures: tuple[Any, ...] = (
            line["contestant"],
            line["connections"],
            line["rate"],
            round(line["bets_per_s"]),
            line["bets_per_s"] / limit if limit else None,
            *(line[name] for name in ("p50_ms", "p99_ms", "p999_ms")),
            round(sum(line["cpu_us"].values())),
            ", ".join(f"{group} {us:.0f}" for group, us in line["cpu_us"].items() if us >= 1),
        )
        rows.append([shown(figure) for figure in figures])
    print(markdown_table(columns, rows, [False, *[True] * 8, False]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes instead of twelve")
    parser.add_argument("--only", default="", help="only these contestants, printed")
    parser.add_argument("--connections", default=str(CONNECTIONS))
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rates", default="", help="open loop at these rates as well")
    parser.add_argument("--players", type=int, default=FULL.players)
    parser.add_argument("--markets", type=int, default=FULL.markets)
    chosen = parser.parse_args()
    if not chosen.only:
        page = report(bench(QUICK if chosen.quick else FULL)).write(RESULTS, "bench")
        say(f"The report is in {page}")
        return
    with House(gateways=GATEWAYS) as house:
        seed: Seed = sow(house, chosen.players, chosen.markets)
        with Field(house, seed) as field:
            strangers = Strangers()
            uvloop.run(some(field, chosen))
            print_contest(field.medians())
            print(f"other programs took {strangers.cores():.2f} cores meanwhile")
            print(check(house, field, ours(field)))


if __name__ == "__main__":
    main()

"""The report of an evening: what was played, how it went, and whether the books are right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import plotly.graph_objects as go

from loadtest.report import Report, machine
from loadtest.spike import pictures
from loadtest.spike.evening import Played
from loadtest.spike.plan import Phase, PhaseName

SUMMARY = (
    "A Super Bowl, played on one machine that the platform shares with everything that loads it: "
    "a quiet evening, a steep rise in which half of all bets go to one market, a match in play "
    "whose prices never stand still, the final whistle, and everybody's payout at once."
)


BESIDE_S = 5
"""Seconds before the opening of the large market that are compared with it."""


class Audit(msgspec.Struct):
    """What clients were told, beside what the ledger says."""

    acknowledged: int
    in_ledger: int
    missing: int
    """Acknowledged, and not in the ledger."""
    told_twice: int
    """Two bets that were acknowledged as one."""
    unheard: int
    """In the ledger, and never acknowledged: the answer did not arrive."""
    unanswered: int
    """Asked for, without any answer."""
    hot_open: int
    """Bets on the settled market that are still open."""


def audit(played: Played) -> Audit:
    told = played.evening.bets
    acknowledged = set(told)
    unanswered = played.evening.total("unanswered") + played.early.refused["unanswered"]
    return Audit(
        len(told),
        len(played.books.ids),
        len(acknowledged - played.books.ids),
        len(told) - len(acknowledged),
        len(played.books.ids - acknowledged),
        unanswered,
        played.hot_open,
    )


def is_whole(played: Played) -> bool:
    """Whether nothing is missing, doubled or left unsettled. A bet that nobody was told of is
    right only where somebody got no answer."""
    found = audit(played)
    nothing_wrong = not (found.missing or found.told_twice or found.hot_open)
    return nothing_wrong and found.unheard <= found.unanswered


def summary(played: Played) -> list[str]:
    """The evening in a few lines, for a terminal."""
    found = audit(played)
    peak = _row(played, played.plan.phase(PhaseName.IN_PLAY))
    push = played.evening.delay(["push"], 0, played.plan.end_s)
    without, beside = pictures.large_compared(played)
    verdict = "clean" if is_whole(played) else "NOT CLEAN"
    return [
        f"in play: {peak.rate:,.0f} bets/s (wanted {played.plan.peak_rate:,.0f}), "
        f"p50 {_ms(peak.p50)}, p99 {_ms(peak.p99)}",
        f"prices: {played.evening.total('push/frames'):,} frames to {played.plan.sockets:,} "
        f"sockets, p50 {_ms(push.percentile_ms(0.5))}, p99 {_ms(push.percentile_ms(0.99))}",
        f"payouts: {played.hot_bets:,} bets in {_settled_in_s(played):.1f} s, "
        f"{_settled_rate(played):,.0f}/s",
        f"large market of {played.plan.large_selections:,}: other bets' p99 "
        f"{_ms(without.percentile_ms(0.99))} without, {_ms(beside.percentile_ms(0.99))} with it",
        f"books: {found.acknowledged:,} acknowledged, {found.in_ledger:,} in the ledger, "
        f"{found.missing} missing, {found.told_twice} doubled, {found.hot_open} unsettled: "
        f"{verdict}",
    ]


def tell(played: Played, took_s: float) -> Report:
    plan = played.plan
    report = Report("The spike: a Super Bowl night", SUMMARY)
    report.facts(machine())
    report.facts(
        {
            "evening": f"{plan.end_s:.0f} s, in a run of {took_s:.0f} s",
            "peak wanted": f"{plan.peak_rate:,.0f} bets/s, {plan.rise_factor:g} times the quiet "
            f"evening's {plan.quiet_rate:g}, within {plan.rise_s:.0f} s",
            "players": f"{plan.players_over('http')} over HTTP and "
            f"{plan.players_over('websocket')} over WebSocket at the peak, "
            f"with {plan.players:,} wallets",
        }
    )
    _at_a_glance(report, played)
    _phases(report, played)
    _plots(report, played)
    _large_market(report, played)
    _opening(report, played)
    _crowd(report, played)
    _payouts(report, played)
    _refused(report, played)
    _processors(report, played)
    _books(report, played)
    _how(report, played)
    report.data.update(_data(played))
    return report


def _at_a_glance(report: Report, played: Played) -> None:
    lines = (line.partition(": ") for line in summary(played))
    report.text("\n".join(f"- **{head[:1].upper()}{head[1:]}**: {rest}" for head, _, rest in lines))


class Row(msgspec.Struct):
    """One phase in figures."""

    phase: Phase
    wanted: float
    rate: float
    p50: float | None
    p99: float | None
    p999: float | None
    refused: int
    again: int


def _row(played: Played, phase: Phase) -> Row:
    tally = played.evening
    length_s = max(0.001, phase.to_s - phase.from_s)
    delays = tally.delay(tally.names("bet/"), phase.from_s, phase.to_s)
    middle_s = (phase.from_s + phase.to_s) / 2
    return Row(
        phase,
        played.plan.rate_at(middle_s),
        _between(played, "placed/", phase) / length_s,
        delays.percentile_ms(0.5),
        delays.percentile_ms(0.99),
        delays.percentile_ms(0.999),
        _between(played, "refused/", phase),
        _between(played, "again/", phase),
    )


def _between(played: Played, prefix: str, phase: Phase) -> int:
    tally = played.evening
    return sum(
        number
        for name in tally.names(prefix)
        for second, number in tally.counts.get(name, Counter()).items()
        if phase.from_s <= second < phase.to_s
    )


def _phases(report: Report, played: Played) -> None:
    rows = []
    for phase in played.plan.phases:
        row = _row(played, phase)
        rows.append(
            [
                phase.title,
                f"{_clock(phase.from_s)} to {_clock(phase.to_s)}",
                *(round(row.wanted), round(row.rate)),
                *(row.p50, row.p99, row.p999),
                *(row.refused, row.again),
            ]
        )
    report.table(
        "The phases",
        [
            *("phase", "when", "wanted/s", "bets/s", "p50 ms", "p99 ms", "p99.9 ms"),
            *("refused", "asked again"),
        ],
        rows,
        "Wanted: the rate in the middle of the phase. Latency is what a player waits from the "
        "first try to the yes, retries and their pauses included. Players bet at a pace of their "
        "own and wait for their answers: where the platform is slower than that, they bet less.",
    )


def _plots(report: Report, played: Played) -> None:
    def plot(heading: str, draw: Callable[[Played], go.Figure], note: str) -> None:
        figure = draw(played)
        if figure.data:
            report.plot(heading, figure, note)
        else:
            report.text(f"## {heading}\n\nThis platform does not tell.")

    plot("Bets a second", pictures.rate, "Acknowledged, so durable.")
    plot(
        "Latency of a bet, ms",
        pictures.latency,
        "From the first try to the yes, on a logarithmic axis.",
    )
    plot(
        "Queues: items waiting",
        pictures.queues,
        "Read once a second from every gateway's /metrics: what waits for a shard, and what waits "
        "to be read by a socket.",
    )
    plot("Shards", pictures.shards, "Shards that have partitions, as the gateways' view has it.")
    plot("Partitions of each shard", pictures.partitions, "Live moves, as they happened.")
    plot("Projector lag, ms", pictures.lag, "How old the oldest block is that the ledger lacks.")
    plot(
        "Price-push delay, ms",
        pictures.push,
        "From the trader's request being sent to the frame arriving at each socket: the way in, "
        "the decision, the commit, and the way out.",
    )
    plot(
        "Payouts",
        pictures.payouts,
        f"The {played.hot_bets:,} bets on the match of the night, by the time of settlement that "
        f"each of them has.",
    )
    plot(
        "Refusals by code, a second",
        pictures.refusals,
        "Dotted: turned away for now, and asked again.",
    )


def _large_market(report: Report, played: Played) -> None:
    plan = played.plan
    without, beside = pictures.large_compared(played)
    opened = played.evening.delay(["large/opened"], 0, plan.end_s)
    priced = played.evening.delay(["large/price"], 0, plan.end_s)
    report.plot(
        f"A market of {plan.large_selections:,} selections, and everybody else's latency, ms",
        pictures.large(played),
        f"Latency of the bets on all other markets, at the same rate, in {plan.windows} stretches "
        f"of the match by turns: the large market left alone ({without.count:,} bets), and in use "
        f"({beside.count:,} bets): {plan.large_share:.0%} of all bets go to it, and "
        f"{1_000 / 0.5:,.0f} of its prices change each second. It was opened in the rise "
        f"(in {_ms(opened.percentile_ms(1.0))}), priced {priced.count} times "
        f"(median {_ms(priced.percentile_ms(0.5))}) and took {_large_bets(played):,} bets.",
    )


def _opening(report: Report, played: Played) -> None:
    """What the others noticed while the large market was being opened."""
    opened_s = played.cues.get("large_market")
    if opened_s is None:
        return
    took_ms = played.evening.delay(["large/opened"], 0, played.plan.end_s).percentile_ms(1.0) or 0
    from_s, to_s = int(opened_s - took_ms / 1000), int(opened_s) + 1
    rows: list[list[Any]] = []
    for name, names in (
        ("bets on other markets", pictures.other_bets(played)),
        ("price pushes", ["push"]),
    ):
        before = played.evening.delay(names, from_s - BESIDE_S, from_s)
        then = played.evening.delay(names, from_s, to_s)
        rows.append(
            [
                name,
                *(before.percentile_ms(share) for share in (0.5, 0.99)),
                *(then.percentile_ms(share) for share in (0.5, 0.99)),
            ]
        )
    report.table(
        "",
        ["while it was opened, ms", "before: p50", "p99", "then: p50", "p99"],
        rows,
        f"Then: {to_s - from_s} s around its opening; before: the {BESIDE_S} s before that.",
    )


def _large_bets(played: Played) -> int:
    return sum(played.evening.total(f"placed/{way}/large") for way in ("http", "websocket"))


def _crowd(report: Report, played: Played) -> None:
    tally, plan = played.evening, played.plan
    match_s = max(0.001, plan.whistle_s - plan.kick_off_s)
    rows: list[list[Any]] = []
    for name, phase in (
        ("in the rise", plan.phase(PhaseName.RISE)),
        ("in play", plan.phase(PhaseName.IN_PLAY)),
    ):
        delay = tally.delay(["push"], phase.from_s, phase.to_s)
        rows.append(
            [name, delay.count, *(delay.percentile_ms(share) for share in (0.5, 0.9, 0.99))]
        )
    report.table(
        "The crowd",
        ["when", "frames measured", "p50 ms", "p90 ms", "p99 ms"],
        rows,
        f"{plan.sockets:,} sockets, each following {plan.selections} of "
        f"{plan.fixtures * plan.selections:,} selections. Prices changed: "
        f"{tally.total('prices') / match_s:,.0f} a second, not sent in time: "
        f"{tally.total('prices_not_sent'):,}. Shown on sockets: "
        f"{tally.total('push/prices') / match_s:,.0f} a second in "
        f"{tally.total('push/frames') / match_s:,.0f} frames, of them conflated: "
        f"{tally.total('push/conflated'):,}. Gaps: {tally.total('push/gap')}, sockets lost: "
        f"{tally.total('push/lost_sockets')}, read anew: {tally.total('push/again')}.",
    )


def _payouts(report: Report, played: Played) -> None:
    books = played.books
    won = books.states["won"]
    report.table(
        "The payout wave",
        ["what", "figure"],
        [
            ["bets settled by the whistle", played.hot_bets],
            ["of them placed before the evening", played.evening.total("placed/websocket/early")],
            ["winners", won],
            ["paid out, minor units", books.payouts_minor],
            ["first bet settled after the result, s", _first_settled_s(played)],
            ["last bet settled after the result, s", _settled_in_s(played)],
            ["bets settled a second, first to last", _settled_rate(played)],
            ["bets placed meanwhile, a second", _placed_meanwhile(played)],
            ["withdrawals afterwards", played.evening.total("withdrawn")],
            ["withdrawn, minor units", played.evening.total("withdrawn_minor")],
        ],
    )


def _refused(report: Report, played: Played) -> None:
    tally = played.evening
    rows = [
        [
            name.partition("/")[2],
            "no" if name.startswith("refused/") else "not now",
            tally.total(name),
        ]
        for prefix in ("refused/", "again/")
        for name in tally.names(prefix)
    ]
    rows += [
        ["(staff) " + name.partition("/")[2], "", tally.total(name)]
        for name in tally.names("staff/")
        if tally.total(name)
    ]
    report.table(
        "Refusals",
        ["code", "kind", "answers"],
        rows,
        "`price_changed` and `market_closed` belong to a match: some players take no worse price, "
        "some still try after the whistle. Who is told `not now` asks again under the same key.",
    )


def _processors(report: Report, played: Played) -> None:
    match = played.plan.phase(PhaseName.IN_PLAY)
    late = played.evening.delay(["locust/late"], match.from_s, match.to_s)
    median, p99 = _ms(late.percentile_ms(0.5)), _ms(late.percentile_ms(0.99))
    report.plot(
        "Who uses the cores",
        pictures.processors(played),
        "Cores in use by phase: the load (grey) runs on the same machine. Locust itself was late "
        f"by {median} in the median and by {p99} at p99 during the match: a part of every latency "
        "here is its own.",
    )


def _books(report: Report, played: Played) -> None:
    found = audit(played)
    report.table(
        "The books",
        ["what", "bets"],
        [
            ["acknowledged to clients", found.acknowledged],
            ["in the ledger", found.in_ledger],
            ["acknowledged and not in the ledger", found.missing],
            ["acknowledged twice as one", found.told_twice],
            ["in the ledger, answer not received", found.unheard],
            ["asked for and never answered", found.unanswered],
            ["of the settled market, still open", found.hot_open],
        ],
        "Every id that a client was told was looked for in its player's list of bets.",
    )
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in played.verified.splitlines()
        if line.startswith("│")
    ]
    if rows:
        columns = ["scope", "check", "looked at", "result"]
        report.table("grandstand ledger verify", columns, rows, "It ended with status 0.")
    else:
        report.text(f"`grandstand ledger verify`:\n\n```\n{played.verified.strip()}\n```")


def _how(report: Report, played: Played) -> None:
    plan, early = played.plan, played.early
    steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in played.prepared.items())
    report.text(
        "## How it was played\n\n"
        f"The {plan.open_bets:,} bets that wait for the whistle were placed before the evening by "
        f"the bench's generator over {plan.early_sockets} WebSockets, at "
        f"{early.per_second:,.0f} bets/s (p50 {early.percentile_ms(0.5):.0f} ms, p99 "
        f"{early.percentile_ms(0.99):.0f} ms): Locust needs most of a core for a thousand requests "
        "a second. The evening's own bets come from Locust: players over HTTP place one at a time, "
        f"players over WebSocket {plan.slip} at once. The crowd's sockets and the trader are one "
        "asyncio process with one clock. Bets in play have no delay here, since it would hide all "
        f"others.\n\nBefore and after: {steps}."
    )


def _data(played: Played) -> dict[str, Any]:
    """The figures, for programs."""
    push = played.evening.delay(["push"], 0, played.plan.end_s)
    without, beside = pictures.large_compared(played)
    return {
        "plan": msgspec.to_builtins(played.plan),
        "phases": [msgspec.to_builtins(_row(played, phase)) for phase in played.plan.phases],
        "push_ms": {str(share): push.percentile_ms(share) for share in (0.5, 0.9, 0.99)},
        "large": {
            "without_ms": {str(s): without.percentile_ms(s) for s in pictures.PERCENTILES},
            "with_ms": {str(s): beside.percentile_ms(s) for s in pictures.PERCENTILES},
            "bets": _large_bets(played),
        },
        "payouts": {
            "bets": played.hot_bets,
            "seconds": _settled_in_s(played),
            "per_second": _settled_rate(played),
        },
        "refusals": {
            name: played.evening.total(name)
            for prefix in ("refused/", "again/", "staff/")
            for name in played.evening.names(prefix)
        },
        "cores": pictures.cores_by_phase(played),
        "withdrawals": played.evening.total("withdrawn"),
        "early_bets_per_second": played.early.per_second,
        "books": msgspec.to_builtins(audit(played)),
        "whole": is_whole(played),
    }


def _result_s(played: Played) -> float:
    return played.cues.get("whistle", played.plan.whistle_s)


def _first_settled_s(played: Played) -> float:
    first_s = played.books.first_settled_s
    return (first_s - played.clock_offset_s - _result_s(played)) if first_s else 0.0


def _settled_in_s(played: Played) -> float:
    """From the result to the last bet settled by it."""
    last_s = played.books.last_settled_s
    return (last_s - played.clock_offset_s - _result_s(played)) if last_s else 0.0


def _settled_rate(played: Played) -> float:
    length_s = _settled_in_s(played) - _first_settled_s(played)
    return played.books.settled.total() / max(0.001, length_s)


def _placed_meanwhile(played: Played) -> float:
    from_s = _result_s(played)
    phase = Phase(
        PhaseName.PAYOUTS, int(from_s), max(int(from_s) + 1, int(from_s + _settled_in_s(played)))
    )
    return _between(played, "placed/", phase) / (phase.to_s - phase.from_s)


def _clock(at_s: float) -> str:
    return f"{int(at_s) // 60}:{int(at_s) % 60:02d}"


def _ms(value: float | None) -> str:
    return "nothing measured" if value is None else f"{value:,.1f} ms"

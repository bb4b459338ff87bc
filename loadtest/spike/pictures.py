"""The plots of the report. Each takes an evening that was played, and shows one thing.

The horizontal axis is the same everywhere, minutes and seconds of the evening, with its phases
shaded and named.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from loadtest.spike.books import SLOTS
from loadtest.spike.evening import MACHINE, Played
from loadtest.spike.plan import PhaseName, Plan
from loadtest.spike.tally import Histogram

SHADES = {
    PhaseName.QUIET: "rgba(90,107,123,.06)",
    PhaseName.RISE: "rgba(224,118,43,.13)",
    PhaseName.IN_PLAY: "rgba(47,111,222,.10)",
    PhaseName.PAYOUTS: "rgba(42,157,99,.16)",
    PhaseName.WITHDRAWALS: "rgba(176,72,159,.11)",
    PhaseName.CALM: "rgba(90,107,123,.06)",
}
SHORT = {
    PhaseName.QUIET: "quiet",
    PhaseName.RISE: "the rise",
    PhaseName.IN_PLAY: "in play",
    PhaseName.PAYOUTS: "payouts",
    PhaseName.WITHDRAWALS: "withdraw",
    PhaseName.CALM: "calm",
}
KINDS = {
    "hot": ("the match of the night", "#e0762b"),
    "other": ("all other markets", "#2f6fde"),
    "large": ("the large market", "#b0489f"),
}
PERCENTILES = {
    0.5: ("median", "#2a9d63"),
    0.9: ("p90", "#2f6fde"),
    0.99: ("p99", "#e0762b"),
    0.999: ("p99.9", "#c0392b"),
}
BINS = 100
"""Points along the evening where single seconds hold too little."""

Line = tuple[list[float], list[float | None]]


def evening(plan: Plan, *, log: bool = False) -> go.Figure:
    """An empty plot of the evening: its phases, its axis. What is measured, and in what, stands
    above the plot: a text beside it would take its room on a phone."""
    figure = go.Figure()
    for phase in plan.phases:
        figure.add_vrect(
            x0=phase.from_s,
            x1=phase.to_s,
            fillcolor=SHADES[phase.name],
            line_width=0,
            layer="below",
            annotation_text=SHORT[phase.name],
            annotation_position="top left" if phase.to_s < plan.end_s else "top right",
            annotation_font_size=11,
            annotation_yshift=16,
            annotation_xshift=-2,
        )
    every_s = next(step for step in (5, 10, 30, 60, 300, 600) if plan.end_s / step <= 8)
    _clock_axis(figure, 0, plan.end_s, range(0, math.ceil(plan.end_s) + 1, every_s))
    figure.update_yaxes(
        type="log" if log else "linear",
        rangemode=None if log else "tozero",
        fixedrange=True,
        automargin=False,
        tickformat=",~g" if log else ",",
        dtick="D2" if log else None,
    )
    figure.update_layout(hovermode="x unified")
    return figure


def _clock_axis(figure: go.Figure, from_s: float, to_s: float, ticks: Sequence[int]) -> None:
    figure.update_xaxes(
        range=[from_s, to_s],
        tickvals=list(ticks),
        ticktext=[f"{at_s // 60}:{at_s % 60:02d}" for at_s in ticks],
        fixedrange=True,
    )


def rate(played: Played) -> go.Figure:
    """Acknowledged bets a second, by where they went, over what was wanted."""
    plan, tally = played.plan, played.evening
    figure = evening(plan)
    for kind, (name, colour) in KINDS.items():
        counts: Counter[int] = Counter()
        for placed in tally.names("placed/"):
            if placed.endswith(f"/{kind}"):
                counts.update(tally.counts[placed])
        seconds, values = _each_second(plan, counts)
        figure.add_scatter(
            x=seconds,
            y=values,
            name=name,
            stackgroup="bets",
            mode="lines",
            line={"width": 0.5, "color": colour},
            hovertemplate="%{y:,}",
        )
    wanted = [at_s * plan.end_s / 400 for at_s in range(401)]
    figure.add_scatter(
        x=wanted,
        y=[plan.rate_at(at_s) for at_s in wanted],
        name="wanted",
        mode="lines",
        line={"dash": "dot", "width": 1.5, "color": "#5a6b7b"},
        hovertemplate="%{y:,.0f}",
    )
    if tally.total("withdrawn"):
        seconds, values = _each_second(plan, tally.counts["withdrawn"])
        figure.add_scatter(
            x=seconds,
            y=values,
            name="withdrawals",
            mode="lines",
            line={"width": 1.5, "color": "#c8a21a"},
            hovertemplate="%{y:,}",
        )
    return figure


def latency(played: Played) -> go.Figure:
    """What a player waits for a bet, retries included."""
    names = played.evening.names("bet/")
    return _percentiles(played, names)


def push(played: Played) -> go.Figure:
    """How late prices are on the crowd's sockets."""
    return _percentiles(played, ["push"])


def large(played: Played) -> go.Figure:
    """The other markets' bets, while the large one is in use and while it is not."""
    without, beside = large_compared(played)
    figure = go.Figure()
    for histogram, name, colour in (
        (without, "large market left alone", "#2f6fde"),
        (beside, "large market in use", "#b0489f"),
    ):
        figure.add_bar(
            x=[text for text, _ in PERCENTILES.values()],
            y=[histogram.percentile_ms(share) for share in PERCENTILES],
            name=name,
            marker_color=colour,
            texttemplate="%{y:.1f}",
            textposition="outside",
            cliponaxis=False,
        )
    figure.update_yaxes(rangemode="tozero", fixedrange=True)
    figure.update_xaxes(fixedrange=True)
    figure.update_layout(barmode="group", bargap=0.35, height=320)
    return figure


def large_compared(played: Played) -> tuple[Histogram, Histogram]:
    """Latencies of the bets on all other markets in steady load: without the large market in use,
    and with it."""
    names = other_bets(played)
    windows = played.plan.large_windows()
    merged = Histogram(), Histogram()
    for window in windows:
        merged[window.large].merge(played.evening.delay(names, window.from_s, window.to_s))
    return merged


def other_bets(played: Played) -> list[str]:
    """The names under which the bets on all other markets are measured."""
    return [name for name in played.evening.names("bet/") if not name.endswith("/large")]


def queues(played: Played) -> go.Figure:
    """What waits in the gateways: in the lane to each shard, and for the sockets."""
    figure = evening(played.plan)
    lanes = sorted(
        {lane for sample in played.samples for lane in sample.by("grandstand_lane_depth", "shard")}
    )
    for lane in lanes:
        points = [
            (sample.at_s, sample.by("grandstand_lane_depth", "shard").get(lane))
            for sample in played.samples
        ]
        _line(figure, points, f"lane to {lane}")
    if not lanes:
        _line(figure, _figures(played, "grandstand_gateway_messages_waiting"), "in all lanes")
    frames = _figures(played, "grandstand_gateway_frames_waiting")
    _line(figure, frames, "frames for sockets", dash="dot")
    return figure


def shards(played: Played) -> go.Figure:
    """Shards that have partitions, by scope."""
    figure = evening(played.plan)
    for scope in _labels(played, "grandstand_shards", "scope"):
        points = [
            (sample.at_s, sample.by("grandstand_shards", "scope").get(scope))
            for sample in played.samples
        ]
        _line(figure, points, SCOPES.get(scope, f"players ({scope})"), shape="hv")
    figure.update_yaxes(dtick=1)
    figure.update_layout(height=280)
    return figure


SCOPES = {"book": "fixtures and markets (book)"}


def partitions(played: Played) -> go.Figure:
    """Which shard has how many partitions: what moves when, and what gets a shard of its own."""
    figure = evening(played.plan)
    for shard in _labels(played, "grandstand_partitions", "shard"):
        figure.add_scatter(
            x=[sample.at_s for sample in played.samples],
            y=[
                sample.by("grandstand_partitions", "shard").get(shard, 0)
                for sample in played.samples
            ],
            name=shard,
            stackgroup="partitions",
            mode="lines",
            line={"width": 0.5, "shape": "hv"},
            hovertemplate="%{y:,}",
        )
    figure.update_layout(height=320)
    return figure


def lag(played: Played) -> go.Figure:
    """How far the ledgers are behind the journals."""
    figure = evening(played.plan)
    for scope in _labels(played, "grandstand_ledger_lag_ms", "scope"):
        points = [
            (sample.at_s, sample.by("grandstand_ledger_lag_ms", "scope").get(scope))
            for sample in played.samples
        ]
        _line(figure, points, SCOPES.get(scope, f"players ({scope})"))
    return figure


def payouts(played: Played) -> go.Figure:
    """Bets settled, as their own times of settlement say, around the whistle."""
    figure = evening(played.plan)
    slots = range(min(played.books.settled, default=0), max(played.books.settled, default=-1) + 1)
    figure.add_bar(
        x=[(slot + 0.5) / SLOTS - played.clock_offset_s for slot in slots],
        y=[played.books.settled[slot] * SLOTS for slot in slots],
        width=0.95 / SLOTS,
        name="bets settled a second",
        marker_color="#2a9d63",
        hovertemplate="%{y:,}",
    )
    placed: Counter[int] = Counter()
    for name in played.evening.names("placed/"):
        placed.update(played.evening.counts[name])
    seconds, values = _each_second(played.plan, placed)
    figure.add_scatter(
        x=seconds,
        y=values,
        name="bets placed a second meanwhile",
        mode="lines",
        line={"color": "#e0762b", "width": 2},
        hovertemplate="%{y:,}",
    )
    whistle_s = played.cues.get("whistle", played.plan.whistle_s)
    last_s = (slots[-1] / SLOTS - played.clock_offset_s) if slots else whistle_s
    until_s = max(whistle_s + 12, last_s + 4)
    step_s = 2 if until_s - whistle_s < 30 else 5 if until_s - whistle_s < 90 else 30
    ticks = range(int(whistle_s) // step_s * step_s - step_s, math.ceil(until_s), step_s)
    _clock_axis(figure, whistle_s - 4, until_s, ticks)
    return figure


def refusals(played: Played) -> go.Figure:
    """Answers that were no, and those that said: not now."""
    figure = evening(played.plan)
    for prefix, dash in (("refused/", None), ("again/", "dot")):
        for name in played.evening.names(prefix):
            seconds, values = _each_second(played.plan, played.evening.counts[name])
            code = name.removeprefix(prefix)
            title = code if prefix == "refused/" else f"{code} (asked again)"
            figure.add_scatter(
                x=seconds,
                y=values,
                name=title,
                mode="lines",
                line={"width": 2, "dash": dash},
                hovertemplate="%{y:,}",
            )
    return figure


def processors(played: Played) -> go.Figure:
    """Cores used in each phase, by who used them."""
    figure = go.Figure()
    phases = [SHORT[phase.name] for phase in played.plan.phases]
    for group, cores in cores_by_phase(played).items():
        figure.add_bar(
            x=phases,
            y=cores,
            name=group,
            marker_color=COLOURS.get(group, "#9aa5b3"),
            hovertemplate="%{y:.2f} cores",
        )
    figure.update_layout(barmode="stack", bargap=0.35, legend_traceorder="normal")
    figure.update_yaxes(fixedrange=True)
    figure.update_xaxes(fixedrange=True)
    return figure


GROUPS = {
    "shard": "shards",
    "spare": "shards",
    "gateway": "gateways",
    "projector": "projectors",
    "settlement": "settlement",
    "postgres": "Postgres",
    "valkey": "Valkey",
    "locust": "load: Locust",
    "crowd and trader": "load: crowd and trader",
    "director": "load: director",
}


REST = "Ray and the rest"
OTHERS = "not of this run"
COLOURS = {
    "gateways": "#2f6fde",
    "shards": "#e0762b",
    "Postgres": "#2a9d63",
    "projectors": "#b0489f",
    "settlement": "#c8a21a",
    "Valkey": "#c0392b",
    REST: "#5a6b7b",
    OTHERS: "rgba(140,150,165,.15)",
    "load: Locust": "rgba(140,150,165,.75)",
    "load: crowd and trader": "rgba(140,150,165,.5)",
    "load: director": "rgba(140,150,165,.3)",
}


def cores_by_phase(played: Played) -> dict[str, list[float]]:
    """Cores used, by group, in each phase in turn; last what others did on the machine."""
    table: dict[str, list[float]] = {}
    others = [0.0] * len(played.plan.phases)
    for number, (before, after) in enumerate(itertools.pairwise(played.uses)):
        length_s = max(0.001, after.at_s - before.at_s)
        for name, seconds in after.cpu_s.items():
            cores = max(0.0, seconds - before.cpu_s.get(name, 0.0)) / length_s
            if name == MACHINE:
                others[number] += cores
                continue
            kind = name if name in GROUPS else name.partition("-")[0]
            row = table.setdefault(GROUPS.get(kind, REST), [0.0] * len(others))
            row[number] += cores
            others[number] -= cores
    ordered = sorted(table.items(), key=lambda item: (item[0].startswith("load"), -sum(item[1])))
    # Children that ended between two looks are counted for the machine only.
    return dict(ordered) | {OTHERS: [max(0.0, cores) for cores in others]}


def _percentiles(played: Played, names: Iterable[str]) -> go.Figure:
    plan = played.plan
    figure = evening(plan, log=True)
    step_s = max(1, round(plan.end_s / BINS))
    bins: dict[int, Histogram] = {}
    for name in names:
        for second, histogram in played.evening.delays.get(name, {}).items():
            if 0 <= second < plan.end_s:
                bins.setdefault(second // step_s, Histogram()).merge(histogram)
    for share, (text, colour) in PERCENTILES.items():
        values = [
            bins[at].percentile_ms(share)
            # Of few, the highest is no percentile.
            if at in bins and bins[at].count * (1 - share) >= 1
            else None
            for at in range(math.ceil(plan.end_s / step_s))
        ]
        if not any(values):
            continue
        figure.add_scatter(
            x=[(at + 0.5) * step_s for at in range(len(values))],
            y=values,
            name=text,
            mode="lines",
            line={"color": colour, "width": 2},
            hovertemplate="%{y:.1f} ms",
        )
    return figure


def _each_second(plan: Plan, counts: Counter[int]) -> tuple[list[float], list[int]]:
    seconds = range(math.ceil(plan.end_s))
    return [second + 0.5 for second in seconds], [counts[second] for second in seconds]


def _labels(played: Played, name: str, label: str) -> list[str]:
    return sorted({value for sample in played.samples for value in sample.by(name, label)})


def _figures(played: Played, name: str) -> list[tuple[float, float | None]]:
    return [(sample.at_s, sample.total(name)) for sample in played.samples]


def _line(
    figure: go.Figure,
    points: Sequence[tuple[float, float | None]],
    name: str,
    *,
    dash: str | None = None,
    shape: str = "linear",
) -> None:
    if any(value is not None for _, value in points):
        figure.add_scatter(
            x=[at_s for at_s, _ in points],
            y=[value for _, value in points],
            name=name,
            mode="lines",
            line={"width": 2, "dash": dash, "shape": shape},
            hovertemplate="%{y:,}",
        )

"""A report of a run: one HTML file, readable on a phone, dark and light, beside Markdown and JSON.

    report = Report("Bench", "What a bet costs, beside others that place the same bet.")
    report.facts(machine())
    report.table("Rates", ["what", "bets/s"], [["limit", 22187], ["HTTP", 9210]])
    report.plot("Rates", figure)
    report.data["rates"] = {...}
    report.write(Path("results"), "bench")      results/bench.html, bench.md, bench.json

The HTML needs nothing from elsewhere: the plots' script is in the file.
"""

from __future__ import annotations

import html
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.offline
from markdown_it import MarkdownIt

RESULTS = Path(__file__).parents[1] / "results"
"""Where runs leave their reports; git ignores it."""

COLOURS = (
    *("#2f6fde", "#e0762b", "#2a9d63", "#b0489f", "#c8a21a"),
    *("#7b8794", "#c0392b", "#17a2b8", "#8d6e4f", "#9acd32"),
)

_markdown = MarkdownIt("commonmark").enable("table")


class Report:
    """Sections in the order in which they are added. `data` is kept as JSON, and shown nowhere."""

    def __init__(self, title: str, summary: str = "") -> None:
        self.title = title
        self.summary = summary
        self.data: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
        self._html: list[str] = []
        self._text: list[str] = []

    def facts(self, facts: Mapping[str, Any]) -> None:
        """What a reader has to know of the run: machine, commit, sizes. They stand on top."""
        self._facts |= facts

    def text(self, markdown: str) -> None:
        self._html.append(_markdown.render(markdown))
        self._text.append(markdown.strip())

    def table(
        self, heading: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], note: str = ""
    ) -> None:
        """Numbers are shown with separators and are aligned to the right; `None` is a dash."""
        cells = [[shown(cell) for cell in row] for row in rows]
        numeric = [
            all(_is_number(row[at]) for row in rows) if rows else False
            for at in range(len(columns))
        ]
        self._html.append(_html_table(heading, columns, cells, numeric, note))
        self._text.append(_headed(heading, markdown_table(columns, cells, numeric), note))

    def plot(self, heading: str, figure: go.Figure, note: str = "") -> None:
        figure.update_layout(
            colorway=COLOURS,
            paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)",
            font={"family": "system-ui, sans-serif", "size": 13},
            margin={"l": 56, "r": 16, "t": 16, "b": 48},
            legend={"orientation": "h", "y": -0.2, "yanchor": "top"},
            # The legend is below, and on a phone has a line for each name.
            height=(figure.layout.height or 380) + 16 * len(figure.data),
        )
        figure.update_xaxes(gridcolor="rgba(128,128,128,.2)", zerolinecolor="rgba(128,128,128,.4)")
        figure.update_yaxes(gridcolor="rgba(128,128,128,.2)", zerolinecolor="rgba(128,128,128,.4)")
        drawn = figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            default_width="100%",
            config={"responsive": True, "displayModeBar": False},
        )
        self._html.append(f"<h2>{html.escape(heading)}</h2>{drawn}{_note(note)}")
        self._text.append(_headed(heading, "(a plot: see the HTML report)", note))

    def write(self, folder: Path, name: str) -> Path:
        """Write `name`.html, .md and .json; returns the path of the HTML."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.markdown())
        kept = {"title": self.title, "facts": self._facts, "data": self.data}
        (folder / f"{name}.json").write_text(json.dumps(kept, indent=1, default=str) + "\n")
        page = folder / f"{name}.html"
        page.write_text(self.html())
        return page

    def markdown(self) -> str:
        facts = markdown_table(
            ("", ""), [[name, shown(fact)] for name, fact in self._facts.items()], (False, False)
        )
        parts = [f"# {self.title}", self.summary, facts if self._facts else "", *self._text]
        return "\n\n".join(part for part in parts if part) + "\n"

    def html(self) -> str:
        facts = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(shown(fact))}</dd>"
            for name, fact in self._facts.items()
        )
        return _PAGE.format(
            title=html.escape(self.title),
            summary=_markdown.render(self.summary),
            facts=facts,
            body="\n".join(self._html),
            plotly=plotly.offline.get_plotlyjs(),
        )


def shown(cell: Any) -> str:
    """A cell as a person reads it: three significant digits are enough for a fraction."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        size = abs(cell)
        digits = 0 if size >= 1000 else 1 if size >= 20 else 2 if size >= 0.1 or not size else 4
        return f"{cell:,.{digits}f}"
    return str(cell)


def markdown_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> str:
    rules = ["---:" if right else "---" for right in numeric]
    lines = [columns, rules, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> dict[str, str]:
    """The machine, its software, the day and the commit: without them a figure says nothing."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return {
        "machine": f"{os.cpu_count()} x {_processor()}, {memory:.0f} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine() or "unknown processor"


def _commit() -> str:
    def git(*arguments: str) -> str:
        asked = subprocess.run(
            ("git", *arguments),
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
        return asked.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _is_number(cell: Any) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _headed(heading: str, body: str, note: str) -> str:
    return "\n\n".join(part for part in (f"## {heading}" if heading else "", body, note) if part)


def _note(note: str) -> str:
    return f'<div class="note">{_markdown.render(note)}</div>' if note else ""


def _html_table(
    heading: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    note: str,
) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f'<{tag} class="{"n" if right else "t"}">{html.escape(cell)}</{tag}>'
            for cell, right in zip(cells, numeric, strict=True)
        )

    title = f"<h2>{html.escape(heading)}</h2>" if heading else ""
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return (
        f'{title}<div class="wide"><table><thead><tr>{line("th", columns)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{_note(note)}"
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Grandstand</title>
<style>
:root {{ --ink: #1c2430; --soft: #5b6675; --line: #dfe3e8; --page: #fff; --band: #f5f7f9; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e9ee; --soft: #9aa5b3; --line: #323b47; --page: #12161c; --band: #1a2028; }}
}}
body {{ margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }}
h2 {{ font-size: 1.15rem; margin: 2.4rem 0 .6rem; }}
dl {{ display: grid; grid-template-columns: minmax(7rem, max-content) 3fr; gap: .2rem 1rem;
  padding: .8rem 1rem; background: var(--band); border-radius: .5rem; font-size: .9rem; }}
dt {{ color: var(--soft); }} dd {{ margin: 0; overflow-wrap: break-word; min-width: 0; }}
@media (max-width: 36rem) {{ dl {{ display: block; }} dd {{ margin-bottom: .4rem; }} }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; }}
th, td {{ padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }}
th {{ color: var(--soft); font-weight: 600; }}
.t {{ min-width: 7rem; }}
.n {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
.note, .note p {{ color: var(--soft); font-size: .88rem; }}
code {{ background: var(--band); padding: .1em .3em; border-radius: .25rem; }}
</style>
<script>{plotly}</script>
</head>
<body>
<h1>{title}</h1>
{summary}
<dl>{facts}</dl>
{body}
<script>
const dark = matchMedia("(prefers-color-scheme: dark)");
function paint() {{
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  document.querySelectorAll(".js-plotly-plot").forEach(
    plot => Plotly.relayout(plot, {{"font.color": ink}}));
}}
dark.addEventListener("change", paint);
addEventListener("load", paint);
</script>
</body>
</html>
"""

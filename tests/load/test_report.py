"""Reports: what is in them is what was given."""

from __future__ import annotations

import json
from pathlib import Path

import plotly.graph_objects as go
import pytest

from loadtest.report import Report, machine, shown


def test_a_report_is_one_page_one_markdown_and_one_json(tmp_path: Path) -> None:
    report = Report("Fire & rain", "A *summary*.")
    report.facts({"cores": 2})
    report.text("Some **text**.")
    report.table("Rates", ["what", "per s"], [["a|b <i>", 22_187], ["none", None]], "A `note`.")
    report.plot("Shape", go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name="line")))
    report.data["rate"] = 22_187
    page = report.write(tmp_path, "fire")
    text = page.read_text()
    assert "Fire &amp; rain" in text
    assert "a|b &lt;i&gt;" in text  # nothing that was given becomes markup
    assert "<em>summary</em>" in text
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    assert "src=" not in text.split("<body>")[1]  # nothing is fetched from elsewhere
    markdown = (tmp_path / "fire.md").read_text()
    assert "| a\\|b <i> | 22,187 |" in markdown
    assert "| none | - |" in markdown
    assert "| cores | 2 |" in markdown
    kept = json.loads((tmp_path / "fire.json").read_text())
    assert kept["data"] == {"rate": 22_187}
    assert kept["facts"] == {"cores": 2}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (1_234_567, "1,234,567"),
        (1234.5, "1,234"),
        (99.44, "99.4"),
        (1.234, "1.23"),
        (0.01234, "0.0123"),
        (0.0, "0.00"),
        ("text", "text"),
    ],
)
def test_numbers_are_shown_as_a_person_reads_them(cell: object, text: str) -> None:
    assert shown(cell) == text


def test_the_machine_says_what_a_figure_depends_on() -> None:
    assert set(machine()) == {"machine", "system", "date", "commit"}
    assert all(machine().values())

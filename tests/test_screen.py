"""Tables lose no digit, whatever they are printed to."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table
from synthetic_predictions import draw

from benchmarks.comparison.compare import compare
from benchmarks.comparison.render import markdown
from benchmarks.comparison.render import terminal as comparison
from benchmarks.evaluation import Result, evaluate
from benchmarks.forensynths_tables.assign import assign
from benchmarks.forensynths_tables.published import load
from benchmarks.forensynths_tables.render import terminal
from benchmarks.forensynths_tables.results import measured
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.tables import Table as Metrics
from benchmarks.tables import interval
from contracts.screen import display, table_of

FIGURES = [str(round(0.123456 * k, 5)) for k in range(1, 13)]


def wide() -> Table:
    table = Table(title="wide", caption="a caption")
    for name in ("set", *(f"a metric {k}" for k in range(12))):
        table.add_column(name)
    table.add_row("mine", *FIGURES)
    return table


def printed(width: int, table: Table) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True, color_system=None)
    display(table, console=console)
    return console.export_text()


@pytest.mark.parametrize("width", [40, 80, 120, 400])
def test_a_terminal_of_any_width_shows_every_figure(width: int) -> None:
    text = printed(width, wide())
    assert "…" not in text
    for figure in FIGURES:
        assert figure in text.split()
    assert "a metric 3" in text
    assert "a caption" in text


def test_what_is_no_terminal_gets_the_table_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    display(wide())
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "mine" in line]
    assert [part.strip() for part in line.split("│") if part.strip()] == ["mine", *FIGURES]


@pytest.mark.parametrize("width", [80, 300])
def test_tables_of_sets_and_of_many_metrics(width: int) -> None:
    dump = draw(generators=("progan", "deepfake"), source=["ForenSynths"] * 120)
    (one,) = assign(dump.source, dump.generators, dump.fused_labels, [load("forensynths")])
    shown = terminal(measured(dump, one, Bootstrap(20)), "NPR")
    text = printed(width, shown)
    assert "…" not in text
    assert "99.8/100.0" in text
    columns = [(r.metric, r.at) for r in evaluate(dump) if r.kind == "pooled"]
    text = printed(width, Metrics.of(evaluate(dump), None, columns).rich())
    assert "…" not in text
    assert f"{evaluate(dump)[0].value:.3f}" in text


def test_names_in_tables_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of("generator", "images")
    table.add_row("a\x1b[2Jb\rc", "7")
    display(table, "title\x07")
    shown = capsys.readouterr().out
    assert r"a\x1b[2Jb\rc" in shown
    assert r"title\x07" in shown
    assert not set("\x1b\r\x07") & set(shown)


ODD = ("a|b", "[/x]", "[red]bold[/red]", ":smile:", "new\nline", "a\\b_{2}")


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of("name", title="of [i]names[/i]")
    for name in ODD[:4]:
        table.add_row(name)
    display(table, Metrics.of(evaluate(draw(generators=ODD))).rich())
    text = capsys.readouterr().out
    for name in (*ODD[:4], "of [i]names[/i]", r"new\nline"):
        assert name in text
    assert text.count("[red]bold[/red]") == 2


def test_names_break_neither_markdown_nor_latex() -> None:
    found = Metrics.of(evaluate(draw(generators=ODD)))
    lines = [line for line in found.markdown().splitlines() if line.startswith("|")]
    assert r"| new\nline | " in found.markdown()
    assert {line.replace(r"\|", "").count("|") for line in lines} == {lines[0].count("|")}
    assert r"a\textbackslash{}b\_\{2\} &" in found.latex()
    runs = compare([draw(generators=ODD), draw(generators=ODD, seed=0)], ["a|b", "b"], Bootstrap(20))
    rows = [line for line in markdown(runs).splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in rows} == {4}
    display(comparison(runs, "auroc", ""))


def test_intervals_above_one_are_not_cut() -> None:
    found = Result("pooled", "", "nll", "", 0.5, 1.2, "", 1, 1, 0.994, 1.37)
    assert interval(found) == ".99–1.37"
    assert interval(replace(found, low=0.9951, high=1.004)) == "1.0–1.0"

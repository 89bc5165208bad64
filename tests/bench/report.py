"""Writes down what was measured: a table for people, JSON for programs, and README's table between its two markers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.bench.database import ROOT
from tests.bench.machine import told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.bench.figures import Answer

BEGIN, END = "<!-- python -m tests.bench --readme: begin -->", "<!-- python -m tests.bench --readme: end -->"
HEADS = ("measurement", "what", "median", "least to most", "target", "met")
FOLDER = ROOT / ".bulkops" / "bench"


def short(value: float) -> str:
    """Three figures that say something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def row(answer: Answer) -> tuple[str, ...]:
    """A figure's cells."""
    figure, value = answer.figure, answer.value
    if value is None:
        return (f"`{figure.name}`", figure.words, "not measured", answer.reason, figure.target, "")
    unit = "" if figure.unit == "times" else f" {figure.unit}"
    span = f"{short(min(answer.values))} to {short(max(answer.values))}"
    met = {True: "yes", False: "no", None: ""}[answer.met]
    return (f"`{figure.name}`", figure.words, f"{short(value)}{unit}", span, figure.target, met)


def table(answers: Sequence[Answer]) -> str:
    """As Markdown, which people can read on a terminal too."""
    rows = [HEADS, *(row(one) for one in answers)]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEADS))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in rows]
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    return "\n".join(lines)


def write_json(answers: Sequence[Answer], facts: dict[str, Any], rounds: dict[str, Any]) -> Path:
    """Everything: facts, figures, and each contestant's value in each round."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{facts['date'].replace(':', '')}.json"
    figures = [
        {
            "name": one.figure.name,
            "what": one.figure.words,
            "unit": one.figure.unit,
            "value": one.value,
            "rounds": one.values,
            "of": one.figure.of,
            "against": one.figure.against,
            "medians": one.medians,
            "at_least": one.figure.at_least,
            "at_most": one.figure.at_most,
            "met": one.met,
            "not_measured": one.reason or None,
        }
        for one in answers
    ]
    path.write_text(json.dumps({"facts": facts, "figures": figures, "rounds": rounds}, indent=1) + "\n")
    return path


def into(text: str, answers: Sequence[Answer], facts: dict[str, Any]) -> str:
    """The text of README with this table between its markers. Raises ValueError where they are not there."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("README has no markers for the table")
    lines = [_slim(line) for line in table(answers).splitlines()]
    lines[1] = "|" + "---|" * len(HEADS)
    return f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{told(facts)}\n\n{END}{after}"


def _slim(line: str) -> str:
    return "| " + " | ".join(cell.strip() for cell in line.strip("|").split(" | ")) + " |"

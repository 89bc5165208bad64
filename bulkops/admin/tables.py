"""A table inside an admin page."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html, format_html_join


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A plain table, everything in it escaped."""
    if not rows:
        return "-"
    heads = format_html_join("", "<th>{}</th>", ((cell,) for cell in head))
    lines = (format_html_join("", "<td>{}</td>", ((cell,) for cell in row)) for row in rows)
    body = format_html_join("", "<tr>{}</tr>", ((line,) for line in lines))
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", heads, body)

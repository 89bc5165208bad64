"""A table inside an admin page."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html, format_html_join


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A plain table, everything in it escaped, without the columns in which nothing stands.

    Each cell names its column, for a phone, which shows a row as a block.
    """
    if not rows:
        return "-"
    said = [number for number in range(len(head)) if any(row[number] not in ("", None) for row in rows)]
    heads = format_html_join("", "<th>{}</th>", ((head[number],) for number in said))
    cell = '<td data-label="{}">{}</td>'
    lines = (format_html_join("", cell, ((head[number], row[number]) for number in said)) for row in rows)
    body = format_html_join("", "<tr>{}</tr>", ((line,) for line in lines))
    return format_html('<table class="job-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', heads, body)

"""Tags and filters: the live card for any page, and how figures, spans and moments are written."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext

from bulkops import permissions, uploaded_files, wording
from bulkops.web import cards

if TYPE_CHECKING:
    from bulkops.models import Job

register = template.Library()
register.filter(wording.unbroken)

SHORT = 120


@register.inclusion_tag("bulkops/_live.html", takes_context=True)
def bulkops_card(context: dict[str, Any], job: Job) -> dict[str, Any]:
    """The live card of a job, on any page that loads htmx and bulkops/app.css. Needs `request` in the context.

    Shows nothing to somebody who may not see the job. Leaves the tab's title to its page.
    """
    request = context["request"]
    if not permissions.may_see(request.user, job):
        return {}
    return {"request": request, "card": cards.of(job)}


@register.filter
def figure(number: float | None) -> str:
    """1234567 as 1,234,567; nothing for None."""
    return "" if number is None else f"{number:,}"


@register.filter
def rate(per_second: float | None) -> str:
    """Items per second, minute or hour."""
    return "" if per_second is None else wording.rate(per_second)


@register.filter
def duration(seconds: float | None) -> str:
    """A span of time in its two largest units."""
    return "" if seconds is None else wording.span(seconds)


@register.filter
def breakable(name: str) -> str:
    """A user's name, which is often an address: a narrow line ends behind its “@” sooner than inside a word."""
    return format_html_join(mark_safe("@<wbr>"), "{}", ((part,) for part in name.split("@")))


@register.filter
def translated(text: str) -> str:
    """What was marked for translation where it is defined."""
    return gettext(text)


@register.filter
def for_people(text: str) -> str:
    """The engine's words, their positions as the numbers that pages give items."""
    return wording.for_people(text)


@register.filter
def ago(moment: datetime | None) -> str:
    """How long ago, in words; the exact moment is in the element's title."""
    if moment is None:
        return ""
    seconds = int((timezone.now() - moment).total_seconds())
    exact = date_format(timezone.localtime(moment), "Y-m-d H:i:s T")
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, _ago(seconds, moment))


def _ago(seconds: int, moment: datetime) -> str:
    if seconds < 10:
        return gettext("just now")
    if seconds < 60:
        return gettext("%(n)s s ago") % {"n": seconds}
    if seconds < 3600:
        return gettext("%(n)s min ago") % {"n": seconds // 60}
    if seconds < 86_400:
        return gettext("%(n)s h ago") % {"n": seconds // 3600}
    return date_format(timezone.localtime(moment), "j M Y")


@register.filter
def clock(moment: datetime | None) -> str:
    """The exact moment, with its zone."""
    if moment is None:
        return ""
    shown = date_format(timezone.localtime(moment), "Y-m-d H:i:s T")
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), shown)


@register.filter
def short(value: Any) -> str:
    """Any JSON value in one short line."""
    if value is None:
        return "-"
    if (words := uploaded_files.in_words(value)) is not None:
        return words
    if isinstance(value, dict):
        text = ", ".join(f"{key}: {_scalar(inner)}" for key, inner in value.items())
    else:
        text = _scalar(value)
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@register.filter
def quoted(text: str) -> str:
    """Words in which what programs are sent stands between backticks."""
    parts = text.split("`")
    return format_html_join("", "{}{}", ((_code(part) if n % 2 else part, "") for n, part in enumerate(parts)))


def _code(name: str) -> str:
    return format_html("<code>{}</code>", name)


@register.filter
def pretty(value: Any) -> str:
    """Any JSON value, indented."""
    return json.dumps(value, ensure_ascii=False, indent=2)


@register.filter
def cell(row: Any, column: str) -> str:
    """A row's value in a column."""
    return _scalar(row.get(column, "")) if isinstance(row, dict) else ""

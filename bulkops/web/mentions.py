"""Jobs that a text names by their ids: shown as links with the jobs' names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext

from bulkops.models import Job
from bulkops.states import JobState
from bulkops.web import cards

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ID = re.compile(r"\b([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\b")


def found(texts: Iterable[str], user: Any) -> dict[str, Job]:
    """The jobs named in these texts that this user may see, by id. One query, and none where no job is named."""
    named = {UUID(key) for text in texts for key in _ID.findall(text)}
    if not named:
        return {}
    mine = {job.pk: job for job in Job.objects.filter(pk__in=named, owner=user)}
    others = named - mine.keys()
    if others:
        mine |= {job.pk: job for job in Job.objects.visible_to(user).filter(pk__in=others)}
    return {str(pk): job for pk, job in mine.items()}


def linked(text: str, jobs: Mapping[str, Job]) -> str:
    """The text, safe for HTML, with a link in place of each id of these jobs."""
    parts = _ID.split(text)
    return format_html_join("", "{}", ((_link(part, jobs) if n % 2 else part,) for n, part in enumerate(parts)))


def _link(key: str, jobs: Mapping[str, Job]) -> str:
    job = jobs.get(key)
    if job is None:
        return key
    # Kin often has the same name; its state tells which is meant.
    state = gettext(JobState(job.state).label)
    return format_html('<a href="{}">{}</a> ({})', job.get_absolute_url(), cards.title(job), state)

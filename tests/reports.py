"""Jobs as their workers leave them, stored by hand, and reports read back as a program reads them."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.utils import timezone

from bulkops import manifests
from bulkops.models import Job, Outcome
from bulkops.report import Report, Wanted
from bulkops.states import ENDED, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OURS = ("position", "state", "attempts", "error_code", "message", "result", "finished_at")

_COUNTS = """
UPDATE bulkops_chunk c SET cursor = o.tried, succeeded = o.succeeded, skipped = o.skipped, failed = o.failed,
    in_doubt = o.in_doubt, deferred = o.deferred, finished = o.tried = c.size AND o.deferred = 0
FROM (
    SELECT i.number, count(p.state) AS tried, count(*) FILTER (WHERE p.state = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE p.state = 'skipped') AS skipped, count(*) FILTER (WHERE p.state = 'failed') AS failed,
        count(*) FILTER (WHERE p.state = 'in_doubt') AS in_doubt,
        count(*) FILTER (WHERE p.state = 'deferred') AS deferred
    FROM bulkops_chunk i
    LEFT JOIN bulkops_outcome p ON p.job_id = i.job_id AND p.position >= i.start AND p.position < i.start + i.size
    WHERE i.job_id = %s GROUP BY i.number
) o WHERE c.job_id = %s AND c.number = o.number
"""
_SUCCEEDED = """
INSERT INTO bulkops_outcome (job_id, position, state, attempt, error_code, message, result, finished_at)
SELECT %s, position, 'succeeded', 1, '', '', to_jsonb(position), now() FROM generate_series(0, %s - 1) AS position
"""


def stored(
    owner: Any,
    items: Iterable[Any],
    outcomes: dict[int, dict[str, Any]] | None = None,
    *,
    roots: Sequence[int] | None = None,
    state: JobState = JobState.COMPLETED,
    **fields: Any,
) -> Job:
    """A job of these items, with these outcomes by position; without a word on them, all have succeeded.

    `roots`: of a job that retries, its items' positions in the first job of the line.
    """
    items = list(items)
    ended = {"finished_at": timezone.now()} if state in ENDED else {"slot": f"user:{owner.pk}"}
    job = Job.objects.create(
        **{"operation": "note", "owner": owner, "state": state, "total": len(items), **ended, **fields}
    )
    packed = manifests.pack(items) if roots is None else manifests.pack_again(zip(roots, items, strict=True))
    manifests.store(job.pk, packed)
    with connection.cursor() as cursor:
        if outcomes is None:
            cursor.execute(_SUCCEEDED, [job.pk, len(items)])
        else:
            told = {"finished_at": timezone.now()}
            Outcome.objects.bulk_create(
                Outcome(job=job, position=position, **{**told, **one}) for position, one in outcomes.items()
            )
        cursor.execute(_COUNTS, [job.pk, job.pk])
    return job


def written(job: Job, **wanted: Any) -> str:
    """The whole text of a report."""
    return b"".join(Report(job, Wanted(**wanted)).blocks()).decode()


def parsed(text: str) -> list[dict[str, str]]:
    """The rows by the header's names, as Python's csv reads them."""
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def rows(job: Job, **wanted: Any) -> list[dict[str, str]]:
    """A report, read back."""
    return parsed(written(job, **wanted))


_BLANK = r"[^\S\t\r\n]|[\u00ad\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
_PUT = re.compile(
    rf"\A'(?='*(?:{_BLANK})*[=+\-@＝＋－＠﹦﹢﹣﹫\t\r\n])|(?<=[;\t\r\n])'(?='*(?:{_BLANK})*[=+\-@＝＋－＠﹦﹢﹣﹫])"  # noqa: RUF001
)


def as_it_was(cell: str) -> str:
    """A cell without the apostrophes that kept it from being a formula."""
    return _PUT.sub("", cell)

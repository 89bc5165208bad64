"""One job with all that can be told of it in one query: what cards and programs ask for again and again.

The figures are those of `progress`, whose own queries serve many jobs at once; here they are sub-queries of the job's,
each of which PostgreSQL runs only in the states that need it. Two things are told here only, since a list has no use
for them: about how long a job waits for its first worker, and that work of a lost worker is being taken back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import JSONField
from django.db.models.expressions import RawSQL
from django.db.models.query import get_related_populators
from django.utils import timezone

from bulkops import lineage, progress, queueing, workforce
from bulkops.models import Job
from bulkops.pace import AT_WORK, Course
from bulkops.prepared import PreparedQuery
from bulkops.states import ENDED, WORKABLE, EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkops.progress import Progress

LOST_SECONDS = 5
"""How long a rescue is told of after it was made: whoever looks in between should see it."""


def _only(states: Iterable[JobState], sql: str) -> str:
    names = ", ".join(f"'{state.value}'" for state in sorted(states))
    return f"CASE WHEN bulkops_job.state IN ({names}) THEN {sql} END"


def _held_by_dead(table: str) -> str:
    return f"""EXISTS (
        SELECT FROM {table} held WHERE held.job_id = bulkops_job.id AND held.holder_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM bulkops_cluster c WHERE c.id = held.holder_id AND c.alive_until > clock_timestamp()))"""  # noqa: S608


_COUNTS = ", ".join(f"'{name}', sum({name})" for name in progress.COUNTS)
_CHUNKS = f"""(
    SELECT jsonb_build_object({_COUNTS},
        'next_try', extract(epoch FROM min(due) FILTER (WHERE NOT finished)),
        'last_try', extract(epoch FROM max(due) FILTER (WHERE NOT finished)))
    FROM bulkops_chunk WHERE job_id = bulkops_job.id)"""  # noqa: S608 - constants
_TAKEN = f"""(
    SELECT jsonb_object_agg(kind, items) FROM (
        SELECT retry_items AS kind, sum(coalesce(total, {lineage.ALL})) AS items FROM bulkops_job child
        WHERE child.parent_id = bulkops_job.id AND (total IS NOT NULL OR slot IS NOT NULL) AND pruned_at IS NULL
        GROUP BY retry_items
    ) taken)"""  # noqa: S608 - constants
_REASON = f"""(
    SELECT detail FROM bulkops_event WHERE job_id = bulkops_job.id AND kind = '{EventKind.PAUSE_REQUESTED.value}'
    ORDER BY id DESC LIMIT 1)"""  # noqa: S608 - constants
_LOST = f"""({_held_by_dead("bulkops_turn")} OR {_held_by_dead("bulkops_chunk")} OR EXISTS (
    SELECT FROM bulkops_event WHERE job_id = bulkops_job.id AND kind = '{EventKind.RESCUED.value}'
        AND at > clock_timestamp() - interval '{LOST_SECONDS} s'))"""

# Written by hand, since it is asked each second for each open page: the ORM took 9 ms of the processor to put the same
# together. And prepared, since the database takes 0.6 ms to plan it and 0.15 to answer it.
_TOLD = f"""jsonb_build_object(
    'counts', {_CHUNKS},
    'workforce', {workforce.NEWS},
    'taken', {_only(ENDED, _TAKEN)},
    'ahead', {_only(queueing.UNSTARTED, queueing.PLACE)},
    'slowest', {_only({JobState.QUEUED}, queueing.SLOWEST)},
    'reason', {_only({JobState.PAUSED}, _REASON)},
    'lost', {_only(AT_WORK | WORKABLE, _LOST)})"""


@dataclass(frozen=True)
class _Compiled:
    """The query as the ORM writes it, and how it makes objects of a row: as its own iteration does, each time anew.

    Nothing of it belongs to a connection or a thread.
    """

    query: PreparedQuery
    names: list[str]
    place: slice
    """Where the job's own columns are."""
    told: int
    converters: dict[int, tuple[list[Any], Any]]
    related: list[Any]

    def read(self, row: list[Any]) -> tuple[Any, Any]:
        """The job, with its owner and its pace, and what is told of it."""
        for number, (converters, expression) in self.converters.items():
            for convert in converters:
                row[number] = convert(row[number], expression, connection)
        job = Job.from_db(DEFAULT_DB_ALIAS, self.names, row[self.place])
        for one in self.related:
            one.populate(row, job)
        return job, row[self.told]


@cache
def _compiled() -> _Compiled:
    """Once in a process: to compile it was a quarter of what a poll cost."""
    told = RawSQL(_TOLD, (), output_field=JSONField())  # noqa: S611 - constants
    jobs: Any = Job.objects.select_related("owner", "pace").filter(pk=UUID(int=0)).annotate(told=told).order_by()
    compiler = jobs.query.get_compiler(DEFAULT_DB_ALIAS)
    sql, (_,) = compiler.as_sql()  # the job's id is all that differs from one time to another
    own = compiler.klass_info["select_fields"]
    place = slice(own[0], own[-1] + 1)
    return _Compiled(
        query=PreparedQuery("told", sql, ["uuid"]),
        names=[column.target.attname for column, _, _ in compiler.select[place]],
        place=place,
        told=compiler.annotation_col_map["told"],
        converters=compiler.get_converters([column for column, _, _ in compiler.select]),
        related=get_related_populators(compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS),  # type: ignore[call-arg]
    )


def of(pk: UUID) -> tuple[Job, Progress] | None:
    """The job with its owner and its figures, whoever asks; None where there is none. One query."""
    compiled = _compiled()
    row = compiled.query.fetchone([pk])
    if row is None:
        return None
    job, told = compiled.read(list(row))
    around = progress.Around(
        workforce=workforce.Workforce.told(told["workforce"]),
        course=Course.of(job.pace) if hasattr(job, "pace") else None,
        ahead=told["ahead"],
        slowest=told["slowest"],
        lost=bool(told["lost"]),
        reason=told["reason"] or "",
        taken=told["taken"] or {},
    )
    row = told["counts"]
    tries = {name: _moment(row[name]) for name in ("next_try", "last_try")}
    return job, progress.from_row(job, row | tries, around, now=timezone.now())


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

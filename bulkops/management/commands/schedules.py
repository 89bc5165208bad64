"""`manage.py schedules`: lists what begins by itself, when next, and what became of the last time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bulkops import scheduling
from bulkops.management.terminal import TerminalCommand, table

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from bulkops.scheduling import Scheduled


class Command(TerminalCommand):
    """By name."""

    help = "List schedules: when they run next, their last job, and why the last run could not begin."

    def add_arguments(self, parser: CommandParser) -> None:
        """For people, or for programs."""
        parser.add_argument("--json", action="store_true", help="a list of objects")

    def handle(self, **options: Any) -> None:
        """Read them all, and print them."""
        found = scheduling.every()
        if options["json"]:
            self.stdout.write(json.dumps([as_object(one) for one in found], ensure_ascii=False, indent=2, default=str))
        elif found:
            self.stdout.write(in_words(found))
        else:
            self.note("There is no schedule. Make one: manage.py schedule NAME OPERATION --user NAME --every 1h")


def as_object(one: Scheduled) -> dict[str, Any]:
    """One schedule as JSON types."""
    job = one.last_job
    return {
        "name": one.name,
        "operation": one.operation,
        "owner": one.owner,
        "params": one.params,
        "when": one.when,
        "next_run": None if one.paused or one.next_run is None else one.next_run.isoformat(),
        "paused": one.paused,
        "overdue": one.overdue,
        "last_job": None if job is None else {"id": str(job.pk), "state": job.state, "created_at": job.created_at},
        "skipped": one.skipped,
        "last_error": one.last_error or None,
        "last_error_at": one.last_error_at,
    }


def in_words(found: list[Scheduled]) -> str:
    """A table, and below it what hinders a schedule."""
    head = ("NAME", "OPERATION", "OWNER", "WHEN", "NEXT RUN (UTC)", "LAST JOB", "STATE", "SKIPPED")
    lines = [table(head, [_row(one) for one in found])]
    errors = [(one.name, one.last_error) for one in found if one.last_error]
    if errors:
        lines += ["", table(("NOT BEGUN", "WHY"), errors)]
    return "\n".join(lines)


def _row(one: Scheduled) -> tuple[str, ...]:
    next_run = "-" if one.next_run is None else f"{one.next_run:%Y-%m-%d %H:%M:%S}"
    return (
        one.name,
        one.operation,
        one.owner,
        one.when,
        "paused" if one.paused else f"{next_run} overdue" if one.overdue else next_run,
        "-" if one.last_job is None else str(one.last_job.pk),
        "-" if one.last_job is None else one.last_job.get_state_display(),
        str(one.skipped),
    )

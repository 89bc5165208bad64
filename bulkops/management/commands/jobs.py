"""`manage.py jobs`: lists the newest jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from bulkops import progress, status, wording
from bulkops.management.terminal import TerminalCommand, WrongUse, bar, find_user, table, writes_plain
from bulkops.models import Job
from bulkops.states import JobState

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from bulkops.progress import Progress

NEWEST = 20


class Command(TerminalCommand):
    """Newest first."""

    help = "List jobs, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which jobs, how many, and for whom."""
        parser.add_argument("--user", metavar="NAME", help="jobs of this owner only")
        parser.add_argument("--state", choices=JobState.values, metavar="STATE", help=", ".join(JobState.values))
        parser.add_argument("--limit", type=int, default=NEWEST, metavar="N", help="(default: %(default)s)")
        parser.add_argument("--json", action="store_true", help="a list of status resources")

    def handle(self, **options: Any) -> None:
        """Read the page of jobs with their figures at once, and print it."""
        if options["limit"] < 1:
            raise WrongUse("--limit must be at least 1")
        found = Job.objects.select_related("owner")
        if options["user"] is not None:
            found = found.owned_by(find_user(options["user"]))
        if options["state"] is not None:
            found = found.in_state(options["state"])
        jobs = list(found[: options["limit"]])
        figures = progress.of_many(jobs)
        if options["json"]:
            resources = [status.resource(job, figures[job.pk]) for job in jobs]
            self.stdout.write(json.dumps(resources, ensure_ascii=False, indent=2, default=str))
        elif jobs:
            plain = writes_plain(self.stdout)
            rows = [row(job, figures[job.pk], plain=plain) for job in jobs]
            self.stdout.write(table(("ID", "OPERATION", "OWNER", "STATE", "", "", "DONE", "FAILED", "AGE"), rows))
        else:
            self.note("There is no such job.")


def row(job: Job, figures: Progress, *, plain: bool) -> tuple[str, ...]:
    """One job as the table's cells."""
    total = "?" if figures.total is None else f"{figures.total:,}"
    return (
        str(job.pk),
        job.operation,
        job.owner.get_username(),
        job.get_state_display(),
        bar(figures.percent, 10, plain=plain),
        f"{figures.percent} %",
        f"{figures.processed:,} of {total}",
        f"{figures.failed:,}",
        wording.span((timezone.now() - job.created_at).total_seconds()),
    )

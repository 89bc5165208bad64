"""`manage.py verify_job ID`: prints what `bulkops.verify` found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkops.management.terminal import REFUSED, TerminalCommand, WrongUse, find_job, printable
from bulkops.verify import COUNTED, Verdict, verify

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(TerminalCommand):
    """Exit 0 with one line of figures, or 1 with a line for each disagreement."""

    help = "Prove from the tables, in one snapshot, that a job's outcomes, counters and items agree."

    def add_arguments(self, parser: CommandParser) -> None:
        """The job's id."""
        parser.add_argument("id", metavar="ID")

    def handle(self, **options: Any) -> None:
        """Verify and print."""
        job = find_job(options["id"])
        verdict = verify(job.pk)
        if verdict is None:
            raise WrongUse(f"there is no job {job.pk}")
        figures = sentence(verdict)
        if verdict.agrees:
            self.stdout.write(f"job {job.pk} agrees: {figures}")
            return
        for text in verdict.disagreements:
            self.stdout.write(printable(text))
        more = f", {verdict.unnamed} more" if verdict.unnamed else ""
        self.stdout.write(f"job {job.pk} disagrees in {len(verdict.disagreements)} points{more}: {figures}")
        raise SystemExit(REFUSED)


def sentence(verdict: Verdict) -> str:
    """The figures on one line."""
    counts = ", ".join(f"{verdict.found[name]} {name}" for name in COUNTED)
    total = "not known yet" if verdict.total is None else verdict.total
    return (
        f"{verdict.state}; total {total}, {verdict.items} items in {verdict.chunks} chunks,"
        f" {verdict.outcomes} outcomes: {counts}"
    )

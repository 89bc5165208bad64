"""`manage.py prune_jobs`: deletes old jobs now, as the daily schedule does."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bulkops import retention
from bulkops.conf import conf
from bulkops.management.terminal import REFUSED, TerminalCommand, WrongUse, printable

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from bulkops.retention import Pruned

LONGEST_DAYS = 36_500


class Command(TerminalCommand):
    """Exit 0, or 1 if something that a job left elsewhere could not be deleted."""

    help = "Delete ended jobs that are older than keep_jobs_days, with all their rows. Can be interrupted at any time."

    def add_arguments(self, parser: CommandParser) -> None:
        """How old, and whether in earnest."""
        parser.add_argument(
            "--older-than", type=float, metavar="DAYS", help="jobs that ended so long ago (default: keep_jobs_days)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say which jobs that would be")
        parser.add_argument("--json", action="store_true", help="the figures as an object")

    def handle(self, **options: Any) -> None:
        """Delete, or only count, and print the figures."""
        days, dry = options["older_than"], options["dry_run"]
        if days is not None and not 0 < days <= LONGEST_DAYS:
            raise WrongUse(f"--older-than must be more than 0 and at most {LONGEST_DAYS:,} days")
        done = retention.would_prune(days) if dry else retention.prune(days)
        if days is None and not conf().keep_jobs_days:
            self.note("Jobs are kept for ever: keep_jobs_days is not set. --older-than DAYS deletes them all the same.")
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done), indent=2))
        else:
            self.stdout.write(would(done) if dry else did(done))
        for job_id, error in done.refused.items():
            self.note(f"job {job_id} is left: its remains elsewhere could not be deleted: {printable(error)}")
        if done.refused:
            raise SystemExit(REFUSED)


def would(found: Pruned) -> str:
    """What a dry run found."""
    return f"Would delete {_count(found.jobs, 'job')} with {_count(found.items, 'item')}."


def did(done: Pruned) -> str:
    """What was deleted."""
    return (
        f"Deleted {_count(done.jobs, 'job')} with {_count(done.items, 'outcome')}, {_count(done.keys, 'one-time key')},"
        f" {_count(done.uploads, 'upload')}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")

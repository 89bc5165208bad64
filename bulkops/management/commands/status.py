"""`manage.py status`: prints what `bulkops.diagnosis` found."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from django.db import Error, ProgrammingError

from bulkops import scheduling, wording
from bulkops.diagnosis import Diagnosis, diagnose
from bulkops.management.terminal import TerminalCommand, first_line, printable, table
from bulkops.outage import is_away
from bulkops.webhooks import news

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

WRONG = 1


class Command(TerminalCommand):
    """Exit 0 when all is well, 1 when something is wrong; what, and what to do, stands first."""

    help = "Say which workers live, what waits, what stands still and why. Exit 0: all is well; 1: something is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        """For people, or for programs."""
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        """Look and print; a database that does not answer is an answer too."""
        try:
            diagnosis = diagnose()
            diagnosis.faults += scheduling.faults()
            diagnosis.remarks += news.remarks()
        except Error as error:
            if is_away(error):
                self.unreachable(f"The database does not answer: {first_line(error)}", as_json=options["json"])
            if not isinstance(error, ProgrammingError):
                raise
            self.unreachable(
                f"The tables are missing or old, run manage.py migrate: {first_line(error)}", as_json=options["json"]
            )
        else:
            self.stdout.write(as_json(diagnosis) if options["json"] else in_words(diagnosis))
            if not diagnosis.ok:
                raise SystemExit(WRONG)

    def unreachable(self, fault: str, *, as_json: bool) -> NoReturn:
        """The one thing that is wrong, where nothing else can be asked."""
        fault = printable(fault)
        self.stdout.write(json.dumps({"ok": False, "faults": [fault]}, ensure_ascii=False) if as_json else fault)
        raise SystemExit(WRONG)


def as_json(diagnosis: Diagnosis) -> str:
    """All of it."""
    content = {
        "ok": diagnosis.ok,
        **asdict(diagnosis),
        "queue_depth": diagnosis.depth,
        "oldest_wait_seconds": diagnosis.oldest_wait_seconds,
    }
    return json.dumps(content, ensure_ascii=False, indent=2, default=str)


def in_words(diagnosis: Diagnosis) -> str:
    """Faults first, then the figures."""
    lines = [f"WRONG: {fault}" for fault in diagnosis.faults] or ["All is well."]
    lines += diagnosis.remarks
    oldest = diagnosis.oldest_wait_seconds
    waits = "turn waits" if diagnosis.depth == 1 else "turns wait"
    waits += f", the first for {wording.span(oldest)}" if oldest is not None else ""
    counts = ", ".join(f"{number} {state}" for state, number in diagnosis.jobs.items()) or "none"
    lines += ["", f"Queue: {diagnosis.depth} {waits}", f"Active jobs: {counts}"]
    if diagnosis.clusters:
        clusters = [
            (
                one.name,
                "alive" if one.alive else "dead",
                f"{wording.span(one.heartbeat_age_seconds)} ago",
                f"{one.busy} of {one.workers} busy",
                ",".join(one.queues),
            )
            for one in diagnosis.clusters
        ]
        lines += ["", table(("CLUSTER", "", "HEARD OF", "WORKERS", "QUEUES"), clusters)]
    if diagnosis.stalled:
        stalled = [(str(job.id), job.operation, job.state, job.why) for job in diagnosis.stalled]
        lines += ["", table(("STALLED JOB", "OPERATION", "STATE", "WHY"), stalled)]
    if diagnosis.errors:
        errors = [
            (
                f"{error.at:%Y-%m-%d %H:%M:%S}",
                str(error.job),
                error.operation,
                error.what if error.position is None else f"position {error.position}: {error.what}",
            )
            for error in diagnosis.errors
        ]
        lines += ["", table(("LAST ERRORS", "JOB", "OPERATION", "WHAT"), errors)]
    return "\n".join(lines)

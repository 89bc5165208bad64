"""`manage.py job ID`: shows one job, or cancels, pauses or resumes it through the services."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bulkops import progress, services, status
from bulkops.management.terminal import (
    TerminalCommand,
    WrongUse,
    bar,
    find_job,
    printable,
    table,
    writes_plain,
)
from bulkops.management.watching import sentence
from bulkops.models import Event, Job, Outcome
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

CONTROLS = {"cancel": services.cancel, "pause": services.pause, "resume": services.resume}
EVENTS_SHOWN = 10
FAILURES_SHOWN = 5


class Command(TerminalCommand):
    """The shell may control every job: whoever can run it can write to the database anyway."""

    help = "Show a job, or: manage.py job ID cancel|pause|resume [--reason TEXT]. Exit 1: the job's state forbids it."

    def add_arguments(self, parser: CommandParser) -> None:
        """The job, and what to do with it."""
        parser.add_argument("id", metavar="ID")
        parser.add_argument("control", nargs="?", choices=list(CONTROLS))
        parser.add_argument("--reason", metavar="TEXT", help="kept in the job's audit trail")
        parser.add_argument("--json", action="store_true", help="print the status resource")

    def handle(self, **options: Any) -> None:
        """Control the job if asked to, then show it."""
        job = find_job(options["id"])
        control = options["control"]
        if control is not None:
            job = CONTROLS[control](job=job, actor=None, reason=options["reason"] or "")
        elif options["reason"] is not None:
            raise WrongUse("--reason is for cancel, pause and resume")
        figures = progress.of(job)
        if options["json"]:
            resource = status.resource(job, figures)
            self.stdout.write(json.dumps(resource, ensure_ascii=False, indent=2, default=str))
        elif control is not None:
            self.stdout.write(printable(figures.words))
        else:
            self.stdout.write(described(job, plain=writes_plain(self.stdout)))


def described(job: Job, *, plain: bool) -> str:
    """What there is to know about a job, on one screen."""
    figures = progress.of(job)
    params = ", ".join(f"{name}={value}" for name, value in status.shown_params(job).items())
    facts = [
        ("job", job.pk),
        ("operation", job.operation),
        ("name", job.name),
        ("owner", job.owner.get_username()),
        ("state", job.get_state_display()),
        ("progress", f"{bar(figures.percent, plain=plain)} {figures.percent} % {sentence(job, figures)}"),
        ("parameters", params),
        ("input", job.input_name),
        ("message", job.message),
        ("error", job.error),
        ("cancelled for", job.cancel_reason),
        ("created", f"{job.created_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("started", "" if job.started_at is None else f"{job.started_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("ended", "" if job.finished_at is None else f"{job.finished_at:%Y-%m-%d %H:%M:%S %Z}"),
    ]
    parts = ["\n".join(f"{name + ':':14} {printable(value)}" for name, value in facts if value not in {"", None})]
    failures = Outcome.objects.filter(job=job, state=OutcomeState.FAILED).order_by("position")[:FAILURES_SHOWN]
    if failed := [(str(one.position), one.error_code, one.message) for one in failures]:
        parts.append(table(("FAILED ITEM", "ERROR", "MESSAGE"), failed))
    events = Event.objects.filter(job=job).select_related("actor").order_by("-pk")[:EVENTS_SHOWN]
    if trail := [event_row(event) for event in reversed(events)]:
        parts.append(table(("EVENT", "WHAT", "WHO", "DETAIL"), trail))
    return "\n\n".join(parts)


def event_row(event: Event) -> tuple[str, ...]:
    """One line of the audit trail as the table's cells."""
    moved = f" to {event.to_state}" if event.from_state else ""
    who = event.actor.get_username() if event.actor is not None else ""
    return f"{event.at:%Y-%m-%d %H:%M:%S}", f"{event.get_kind_display()}{moved}", who, event.detail

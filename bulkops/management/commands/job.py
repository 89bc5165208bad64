"""`manage.py job ID`: shows one job, or controls it through the services."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bulkops import lineage, permits, progress, services, snapshots, status
from bulkops.exceptions import ActiveJobExists, InvalidSubmission
from bulkops.management import grouping, reporting
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
from bulkops.services import deciding
from bulkops.states import JobState, OutcomeState

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from bulkops.progress import Progress

CONTROLS = {"cancel": services.cancel, "pause": services.pause, "resume": services.resume}
RATE = "rate"
REPORT = "report"
FAILURES = "failures"
EVENTS_SHOWN = 10
FAILURES_SHOWN = 5


class Command(TerminalCommand):
    """The shell may control every job: whoever can run it can write to the database anyway."""

    help = (
        "Show a job, or: manage.py job ID cancel|pause|resume|rate|retry|decide|failures|report. Exit 1: the job's"
        " state forbids it; 3 (retry): its owner has an active job, whose id is printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The job, and what to do with it."""
        parser.add_argument("id", metavar="ID")
        parser.add_argument("control", nargs="?", choices=[*CONTROLS, RATE, "retry", "decide", FAILURES, REPORT])
        parser.add_argument("--reason", metavar="TEXT", help="kept in the job's audit trail")
        parser.add_argument(
            "--items", choices=lineage.KINDS, help="retry: which items; otherwise what failed, if any did"
        )
        parser.add_argument(
            "--fingerprint", metavar="F", help="retry: only that group of what failed, as failures shows them"
        )
        parser.add_argument("--position", type=int, metavar="N", help="decide: of an item in doubt, from 0")
        parser.add_argument("--decision", choices=list(deciding.DECISIONS), help="decide: what became of it")
        parser.add_argument(
            "--force", action="store_true", help="cancel, pause: take an item that hangs away from its worker"
        )
        parser.add_argument("--per-second", metavar="N", help="rate: items begun a second at most, or none")
        parser.add_argument("--json", action="store_true", help="print the status resource")
        reporting.add_arguments(parser)

    def handle(self, **options: Any) -> None:
        """Control the job if asked to, then show it."""
        job = find_job(options["id"])
        control = options["control"]
        _check_options(control, options)
        if control == REPORT:
            reporting.write(job, options, self.stdout)
            return
        if control == FAILURES:
            self.stdout.write(grouping.described(job, as_json=options["json"]))
            return
        if control == "retry":
            job = self.retry(job, options)
        elif control == "decide":
            services.decide(
                job=job,
                position=options["position"],
                decision=options["decision"],
                actor=None,
                reason=options["reason"] or "",
            )
            job.refresh_from_db()
        elif control == RATE:
            job = services.set_rate(job=job, rate=read_rate(options["per_second"]), actor=None)
        elif control is not None:
            forced = {"force": True} if options["force"] else {}
            job = CONTROLS[control](job=job, actor=None, reason=options["reason"] or "", **forced)
        figures = _figures(job)
        if options["json"]:
            resource = status.resource(job, figures)
            self.stdout.write(json.dumps(resource, ensure_ascii=False, indent=2, default=str))
        elif control == "retry":
            self.stdout.write(str(job.pk))
        elif control is not None:
            self.stdout.write(printable(figures.words))
        else:
            self.stdout.write(described(job, plain=writes_plain(self.stdout)))

    def retry(self, job: Job, options: dict[str, Any]) -> Job:
        """The child job; the owner's running one is answered with its id and exit code 3."""
        try:
            return services.retry(
                job=job,
                actor=None,
                items=options["items"] or "",
                reason=options["reason"] or "",
                fingerprint=options["fingerprint"] or "",
            )
        except InvalidSubmission as refusal:
            raise WrongUse(refusal.message) from None
        except ActiveJobExists as refusal:
            words = f"job: {job.owner.get_username()} has an active job, {refusal.job.get_state_display()}"
            self.answer_with(refusal.job, words)


def _check_options(control: str | None, options: dict[str, Any]) -> None:
    """Each option with the control it belongs to; one that does nothing would be believed to have done something."""
    if control in {None, RATE, REPORT, FAILURES} and options["reason"] is not None:
        raise WrongUse("--reason is for cancel, pause, resume, retry and decide")
    if options["force"] and control not in {"cancel", "pause"}:
        raise WrongUse("--force is for cancel and pause")
    if control != "retry" and options["items"] is not None:
        raise WrongUse("--items is for retry")
    if control != "retry" and options["fingerprint"] is not None:
        raise WrongUse("--fingerprint is for retry")
    if options["fingerprint"] == "":
        raise WrongUse("--fingerprint is empty")  # from a script whose variable is not set; all would be retried
    given = options["position"] is not None, options["decision"] is not None
    if control == "decide" and not all(given):
        raise WrongUse("decide needs --position N and --decision done|failed")
    if control != "decide" and any(given):
        raise WrongUse("--position and --decision are for decide")
    reporting.check_options(options, wanted=control == REPORT)
    if (options["per_second"] is None) == (control == RATE):
        raise WrongUse("rate and --per-second belong together: manage.py job ID rate --per-second N, or none")


def read_rate(text: str) -> float | None:
    """A speed limit as it is typed. Raises WrongUse."""
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise WrongUse(f"--per-second takes a number of items, or none; not “{printable(text)}”") from None


def _figures(job: Job) -> Progress:
    """All that can be told of it, or what is known if it has just been deleted."""
    found = snapshots.of(job.pk)
    return progress.of(job) if found is None else found[1]


def described(job: Job, *, plain: bool) -> str:
    """What there is to know about a job, on one screen."""
    figures = _figures(job)
    params = ", ".join(f"{name}={value}" for name, value in status.shown_params(job).items())
    facts = [
        ("job", job.pk),
        ("operation", job.operation),
        ("name", job.name),
        ("owner", job.owner.get_username()),
        ("state", job.get_state_display()),
        ("progress", f"{bar(figures.percent, plain=plain)} {figures.percent} % {sentence(job, figures)}"),
        ("what happened", figures.story),
        ("what to do", figures.advice if job.state != JobState.FAILED else ""),
        ("speed limit", "" if job.rate_per_second is None else permits.in_words(job.rate_per_second)),
        ("parameters", params),
        ("input", job.input_name),
        ("retries", f"the {job.retried_items} of {job.parent_id}" if job.parent_id else ""),
        ("can be retried", ", ".join(f"{count:,} {kind}" for kind, count in figures.left.items())),
        ("message", job.message),
        ("error", job.error),
        ("cancelled for", job.cancel_reason),
        ("created", f"{job.created_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("started", "" if job.started_at is None else f"{job.started_at:%Y-%m-%d %H:%M:%S %Z}"),
        ("ended", "" if job.finished_at is None else f"{job.finished_at:%Y-%m-%d %H:%M:%S %Z}"),
    ]
    parts = ["\n".join(f"{name + ':':15} {printable(value)}" for name, value in facts if value not in {"", None})]
    for state, heading in ((OutcomeState.FAILED, "FAILED ITEM"), (OutcomeState.IN_DOUBT, "ITEM IN DOUBT")):
        found = Outcome.objects.filter(job=job, state=state).order_by("position")[: FAILURES_SHOWN + 1]
        doubtful = state == OutcomeState.IN_DOUBT
        if rows := [_item_row(job, one, keyed=doubtful) for one in found]:
            headings = (heading, *(["KEY"] if doubtful else []), "ERROR", "MESSAGE")
            more = f"\n… and more: manage.py job {job.pk} report --state {state}" if rows[FAILURES_SHOWN:] else ""
            parts.append(table(headings, rows[:FAILURES_SHOWN]) + more)
    events = Event.objects.filter(job=job).select_related("actor").order_by("-pk")[:EVENTS_SHOWN]
    if trail := [event_row(event) for event in reversed(events)]:
        parts.append(table(("EVENT", "WHAT", "WHO", "DETAIL"), trail))
    return "\n\n".join(parts)


def _item_row(job: Job, one: Outcome, *, keyed: bool) -> tuple[str, ...]:
    key = [lineage.key_at(job, one.position)] if keyed else []
    return str(one.position), *key, one.error_code, one.message


def event_row(event: Event) -> tuple[str, ...]:
    """One line of the audit trail as the table's cells."""
    moved = f" to {event.to_state}" if event.from_state else ""
    who = event.actor.get_username() if event.actor is not None else ""
    return f"{event.at:%Y-%m-%d %H:%M:%S}", f"{event.get_kind_display()}{moved}", who, event.detail

"""`manage.py enqueue`: submits a job from the shell, and watches it when asked to."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from django import forms

from bulkops import diagnosis, dry_run, inputs, registry, services, status, transitions, uploaded_files
from bulkops.exceptions import ActiveJobExists
from bulkops.management.given_items import hinted, input_of
from bulkops.management.terminal import INTERRUPTED, TerminalCommand, WrongUse, find_user, fit, printable, table
from bulkops.management.watching import watch
from bulkops.models import Job
from bulkops.states import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.core.management.base import CommandParser

    from bulkops.operation import Operation

NOT_COMPLETED = 1

ITEM_CHARS, WORDS_CHARS = 40, 200
"""Of an item and of what it says, in the table of a dry run."""

EXITS = """\
exit codes: 0 enqueued (with --wait: completed; with --dry-run: it would be accepted, whatever its items come to);
1 the job ended otherwise or is paused (with --wait); 2 wrong use, one line each; 3 the user has an active job, whose id
is printed; 4 nothing was stored because the database does not answer or is busy; 130 Ctrl-C: with --wait the job goes
on."""


class Command(TerminalCommand):
    """Standard output holds the job's id, or the status resource, and nothing else."""

    help = "Submit a job: manage.py enqueue OPERATION --user NAME [--items FILE] [--param KEY=VALUE ...] [--wait]"

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The exit codes are part of the contract, so --help names them."""
        return super().create_parser(prog_name, subcommand, epilog=EXITS, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Scripts rely on these names."""
        parser.add_argument("operation", metavar="OPERATION", help="its name; `manage.py operations` lists them")
        parser.add_argument("--user", required=True, metavar="NAME", help="the job's owner")
        parser.add_argument(
            "--items", metavar="FILE", help=".csv (header row), .jsonl, .json (a list), .txt; - is stdin"
        )
        parser.add_argument(
            "--format", choices=[suffix[1:] for suffix in inputs.SUFFIXES], help="what `--items -` reads (default: txt)"
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            dest="columns",
            help="which column of a CSV is which field of the items; repeatable",
        )
        parser.add_argument(
            "--encoding",
            choices=list(inputs.ENCODINGS),
            metavar="NAME",
            help="the input's encoding (default: detected)",
        )
        parser.add_argument(
            "--files", nargs="+", metavar="PATH", default=[], help="files of this machine, each an item of the job"
        )
        parser.add_argument("--param", action="append", default=[], metavar="KEY=VALUE", dest="params")
        parser.add_argument("--limit", type=int, metavar="N", help="process the first N items only")
        parser.add_argument("--name", default="", help="what people call this job")
        parser.add_argument("--parallelism", type=int, metavar="N", help="workers at the same time (default: 1)")
        parser.add_argument(
            "--per-second", type=float, metavar="N", help="begin so many items a second at most (default: no limit)"
        )
        parser.add_argument("--email", action="store_true", help="tell the owner by e-mail when it has ended")
        parser.add_argument("--idempotency-key", metavar="K", help="the same key again answers with the same job")
        parser.add_argument("--wait", action="store_true", help="watch the job until it ends or is paused")
        parser.add_argument("--json", action="store_true", help="print the status resource instead of the id")
        parser.add_argument(
            "--dry-run", action="store_true", help="check everything, try the first items, keep nothing"
        )

    def handle(self, **options: Any) -> None:
        """Submit, answer, and wait if asked to."""
        if options["dry_run"] and options["wait"]:
            raise WrongUse("--dry-run makes no job to --wait for")
        operation = registry.get(options["operation"])
        user = find_user(options["user"])
        with hinted(), input_of(options, operation) as (items, input_name, upload):
            what = {
                "user": user,
                "operation": operation.name,
                "params": parse_params(options["params"], operation),
                "items": items,
                "limit": options["limit"],
                "parallelism": options["parallelism"],
                "rate_per_second": options["per_second"],
                "name": options["name"],
                "email_at_end": options["email"],
                "input_name": input_name,
                "upload": upload,
            }
            if options["dry_run"]:
                reading = items.reading if isinstance(items, inputs.Items) else None
                self.try_out(services.check(**what), reading, as_json=options["json"])
                return
            job = self.submit(idempotency_key=options["idempotency_key"], **what)
        if not diagnosis.is_served(job.queue):
            self.note(f"No worker serves the queue “{job.queue}” now; the job starts as soon as one does.")
        if options["wait"]:
            self.wait(job, as_json=options["json"])
        elif options["json"]:
            self.print_resource(job)
        else:
            self.stdout.write(str(job.pk))

    def submit(self, **what: Any) -> Job:
        """The recorded job; the user's running one is answered with its id and exit code 3."""
        try:
            job = services.submit(**what)
        except ActiveJobExists as refusal:
            self.answer_with(
                refusal.job,
                f"enqueue: {what['user'].get_username()} has an active job ({refusal.job.operation},"
                f" {refusal.job.get_state_display()}); wait for it, or: manage.py job {refusal.job.pk} cancel",
            )
        if job.replayed:
            self.note("This idempotency key was used before; here is its job.")
        return job

    def wait(self, job: Job, *, as_json: bool) -> None:
        """Watch until the end; exit 1 unless the job completed, 130 when nobody wants to watch any longer."""
        if not as_json:
            # At once, so that whoever reads it can cancel meanwhile.
            self.stdout.write(str(job.pk))
            self.stdout.flush()
        try:
            # The bare stream: Django's wrapper would end each drawing with a new line.
            job = watch(job.pk, self.watched_on())
        except KeyboardInterrupt:
            self.note(f"The job goes on. See it with: manage.py job {job.pk}")
            raise SystemExit(INTERRUPTED) from None
        if as_json:
            self.print_resource(job)
        if job.state == JobState.PAUSED:
            self.note(f"The job is paused; to go on: manage.py job {job.pk} resume")
        if job.state != JobState.COMPLETED:
            raise SystemExit(NOT_COMPLETED)

    def watched_on(self) -> Any:
        """Where the bar is drawn."""
        return getattr(self.stderr, "_out", sys.stderr)

    def print_resource(self, job: Job) -> None:
        """The API's status resource, once."""
        self.stdout.write(json.dumps(status.resource(job), ensure_ascii=False, indent=2, default=str))

    def try_out(self, submission: services.Submission, reading: inputs.Reading | None, *, as_json: bool) -> None:
        """What would be accepted, and what would become of its first items."""
        operation = submission.operation
        found = dry_run.run(submission)
        if as_json:
            answer = {
                "operation": operation.name,
                "owner": submission.user.get_username(),
                "params": operation.shown_params(submission.params),
                "total": submission.total,
                "limit": submission.limit,
                "collects": submission.collects,
                "first_items": found.items,
                "reading": reading.as_json() if reading else None,
                "outcomes": [one.as_json() for one in found.tried],
                "not_run": found.why_not or None,
                "problem": found.problem or None,
            }
            self.stdout.write(json.dumps(answer, ensure_ascii=False, indent=2, default=str))
        else:
            self.write_dry_run(submission, reading, found)
        # By the slot: a job that one of the user's schedules began keeps nobody waiting.
        running = Job.objects.filter(slot=transitions.user_slot(submission.user)).first()
        if running is not None:
            self.note(f"But not now: {submission.user.get_username()} has an active job, {running.pk}.")

    def write_dry_run(
        self, submission: services.Submission, reading: inputs.Reading | None, found: dry_run.DryRun
    ) -> None:
        """The same for people."""
        name = submission.operation.name
        if submission.collects:
            most = f", {submission.limit:,} at most" if submission.limit is not None else ""
            self.stdout.write(f"Would be accepted: {name}; a worker collects its items{most}.")
        else:
            self.stdout.write(f"Would be accepted: {name} with {submission.total:,} items.")
        for sentence in reading.sentences if reading else []:
            self.stdout.write(printable(sentence))
        if found.problem:
            self.stdout.write(f"The job would fail before its first item. {printable(found.problem)}")
        elif found.tried:
            self.stdout.write(f"Tried the first {len(found.tried)} and kept nothing:")
            self.stdout.write(
                table(("POSITION", "ITEM", "OUTCOME", "WHAT IT SAYS"), [_row(one) for one in found.tried])
            )
        elif found.why_not:
            self.stdout.write(printable(found.why_not) + (" The first ones:" if found.items else ""))
            for item in found.items:
                self.stdout.write(f"  {printable(_item(item))}")
        else:
            self.stdout.write("There are no items.")


def _row(one: dry_run.Tried) -> tuple[str, ...]:
    says = one.message or ("" if one.result is None else _json(one.result)) or one.said
    return str(one.position), _cut(_item(one.item), ITEM_CHARS), one.label, _cut(printable(says), WORDS_CHARS)


def _cut(text: str, width: int) -> str:
    """So much of it, and a sign that there is more."""
    return text if fit(text, width) == text else f"{fit(text, width - 1)}…"


def _item(item: Any) -> str:
    return uploaded_files.in_words(item) or _json(item)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def parse_params(given: Iterable[str], operation: Operation) -> dict[str, Any]:
    """KEY=VALUE pairs as the operation's form takes them; a key given more than once is a list. Raises WrongUse."""
    values: dict[str, list[str]] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise WrongUse(f"a parameter reads KEY=VALUE, not “{pair}”")
        values.setdefault(key, []).append(value)
    fields = operation.Params().fields if operation.Params is not None else {}
    parsed: dict[str, Any] = {}
    for key, several in values.items():
        if key in fields and takes_several(fields[key]):
            parsed[key] = several
        elif len(several) > 1:
            raise WrongUse(f"the parameter {key} takes one value, and was given {len(several)}")
        else:
            parsed[key] = several[0]
    return parsed


def takes_several(field: forms.Field) -> bool:
    """Whether the field's value is a list."""
    return bool(getattr(field.widget, "allow_multiple_selected", False)) or isinstance(
        field.widget, forms.MultipleHiddenInput
    )

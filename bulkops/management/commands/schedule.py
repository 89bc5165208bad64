"""`manage.py schedule`: makes, changes, shows or controls one schedule."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bulkops import inputs, registry, scheduling
from bulkops.exceptions import ActiveJobExists
from bulkops.management.commands.enqueue import parse_params
from bulkops.management.commands.schedules import as_object, in_words
from bulkops.management.given_items import items_of
from bulkops.management.terminal import TerminalCommand, WrongUse, find_user

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

MINUTES = {"m": 1, "h": 60, "d": 24 * 60}

EXITS = """\
exit codes: 0 done; 2 wrong use, one line each; 3 --run-now, but the run before is still active, whose id is printed;
4 the database does not answer or is busy."""


class Command(TerminalCommand):
    """With an operation it defines the schedule; with a name alone it shows it."""

    help = (
        "Begin an operation regularly: manage.py schedule NAME OPERATION --user NAME (--every 1h | --cron '0 3 * * *')"
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The exit codes are part of the contract, so --help names them."""
        return super().create_parser(prog_name, subcommand, epilog=EXITS, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """What, when and for whom; or what to do with one that is there."""
        parser.add_argument("name", metavar="NAME", help="the schedule's own; defining it again changes it")
        parser.add_argument("operation", nargs="?", metavar="OPERATION", help="`manage.py operations` lists them")
        parser.add_argument("--user", metavar="NAME", help="its jobs' owner")
        when = parser.add_mutually_exclusive_group()
        when.add_argument("--every", metavar="TIME", help="15m, 1h or 1d")
        when.add_argument("--cron", metavar="FIELDS", help="five fields, such as '0 3 * * *', in TIME_ZONE")
        parser.add_argument("--param", action="append", default=[], metavar="KEY=VALUE", dest="params")
        parser.add_argument("--items", metavar="FILE", help="a few items, for an operation that collects none itself")
        parser.add_argument("--limit", type=int, metavar="N", help="process the first N items only")
        parser.add_argument("--parallelism", type=int, metavar="N")
        parser.add_argument("--per-second", type=float, metavar="N", help="begin so many items a second at most")
        parser.add_argument("--job-name", default="", metavar="TEXT", help="what people call its jobs")
        verb = parser.add_mutually_exclusive_group()
        for name, what in (
            ("delete", "forget the schedule; its jobs stay"),
            ("pause", "begin no more runs"),
            ("resume", "go on with its next time"),
            ("run-now", "begin its job at once; prints the job's id"),
        ):
            verb.add_argument(f"--{name}", action="store_const", const=name, dest="verb", help=what)
        parser.add_argument("--json", action="store_true", help="the schedule as an object")

    def handle(self, **options: Any) -> None:
        """Define, control or show."""
        name, verb = options["name"], options["verb"]
        if options["operation"] is not None:
            if verb is not None:
                raise WrongUse(f"--{verb} goes with the name alone")
            return self.show(self.define(name, options), as_json=options["json"])
        if given := [key for key in ("user", "every", "cron", "params", "items", "limit") if options[key]]:
            raise WrongUse(f"say which OPERATION is to run: {', '.join(given)} given without one")
        match verb:
            case "delete":
                scheduling.unschedule(name)
                self.note(f"The schedule “{name}” is deleted.")
            case "run-now":
                self.run_now(name)
            case "pause":
                self.show(scheduling.pause(name), as_json=options["json"])
            case "resume":
                self.show(scheduling.resume(name), as_json=options["json"])
            case _:
                self.show(scheduling.find(name), as_json=options["json"])
        return None

    def define(self, name: str, options: dict[str, Any]) -> scheduling.Scheduled:
        """Make or change it. Raises WrongUse."""
        if options["user"] is None or (options["every"] is None) == (options["cron"] is None):
            raise WrongUse("a schedule needs --user, and --every or --cron")
        operation = registry.get(options["operation"])
        with items_of(options["items"], operation, inputs.Choice()) as (items, _):
            return scheduling.schedule(
                name=name,
                operation=operation.name,
                user=find_user(options["user"]),
                every=None if options["every"] is None else parse_time(options["every"]),
                cron=options["cron"],
                params=parse_params(options["params"], operation),
                items=items,
                limit=options["limit"],
                parallelism=options["parallelism"],
                rate_per_second=options["per_second"],
                job_name=options["job_name"],
            )

    def run_now(self, name: str) -> None:
        """Begin its job; the id of one that is still active is printed, with exit code 3."""
        try:
            job = scheduling.run_now(name)
        except ActiveJobExists as refusal:
            words = f"schedule: the run before is still active ({refusal.job.get_state_display()})"
            self.answer_with(refusal.job, words)
        self.stdout.write(str(job.pk))

    def show(self, one: scheduling.Scheduled, *, as_json: bool) -> None:
        """As the list of all shows it."""
        text = json.dumps(as_object(one), ensure_ascii=False, indent=2, default=str) if as_json else in_words([one])
        self.stdout.write(text)


def parse_time(text: str) -> timedelta:
    """“15m”, “1h”, “1d”. Raises WrongUse."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    if found is None:
        raise WrongUse(f"--every reads 15m, 1h or 1d, not “{text}”")
    return timedelta(minutes=int(found[1]) * MINUTES[found[2]])

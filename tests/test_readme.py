"""What the README says is so: its example runs, its commands, settings, states and moves are the real ones."""

from __future__ import annotations

import ast
import io
import re
import sys
import types
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.test import Client
from django.urls import include, path, resolve
from django.utils import timezone

from bulkops import Operation, registry
from bulkops.conf import Conf
from bulkops.models import Job, Outcome
from bulkops.states import ACTIVE, TRANSITIONS, JobState, OutcomeState
from tests.bench import measures, report
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()

RUN = "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt && .venv/bin/python manage.py up"
TEST = "python3 -m venv .venv && .venv/bin/pip install -q -r tests/requirements.txt && .venv/bin/pytest"

EXAMPLE = "Turn your looping view into an operation"
FENCE = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text below that heading, up to the next one of its kind."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of that language."""
    return [code for name, code in FENCE.findall(text) if name == language]


def rows(text: str, first_head: str) -> list[list[str]]:
    """The cells of the table whose first heading is that one."""
    lines = text.split(f"| {first_head} |")[1].splitlines()[2:]
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return table


def named(cell: str) -> str:
    """What stands between a cell's backquotes."""
    found = re.fullmatch(r"`([^`]*)`", cell)
    assert found, f"{cell} names nothing"
    return found.group(1)


# -- the commands


def test_the_first_blocks_are_the_two_commands_word_for_word():
    assert [code.strip() for code in blocks(README, "sh")[:2]] == [RUN, TEST]


def test_every_command_named_exists():
    assert set(re.findall(r"manage\.py ([a-z_]+)", README)) <= set(get_commands())


def test_every_option_shown_with_a_command_exists():
    shown = [
        (call[1], set(re.findall(r"--[a-z-]+", call[2]))) for call in re.finditer(r"manage\.py ([a-z_]+)(.*)", README)
    ]
    for name, options in shown:
        command = load_command_class(get_commands()[name], name)
        known = set(command.create_parser("manage.py", name)._option_string_actions)
        assert options <= known, f"{name} has no {options - known}"


def test_the_pages_answer_where_the_table_says():
    pages = [named(address) for address, _ in rows(section("Pages"), "address")]
    for page in pages:
        page = page.replace("<name>", "note").replace("<id>", "7c1d7c2e-1c6e-4a3c-8f43-5b3c8c4f7a11")
        assert resolve(page), page


# -- the tables


def test_settings_table_lists_every_setting_with_its_default():
    table = {named(name): ast.literal_eval(default) for name, default, *_ in rows(section("Settings"), "setting")}
    assert table == {field.name: field.default for field in fields(Conf)}


def test_attributes_table_lists_every_class_attribute_with_its_default():
    table = {named(name): ast.literal_eval(named(value)) for name, value, _ in rows(section("Settings"), "attribute")}
    declared = [name for name, hint in Operation.__annotations__.items() if hint.startswith("ClassVar")]
    assert table == {name: getattr(Operation, name) for name in declared}


def test_environment_table_lists_every_variable_that_is_read():
    table = {named(name) for name, *_ in rows(section("Deploying"), "variable")}
    source = (ROOT / "site/project/settings.py").read_text()
    read = set(re.findall(r"_(?:text|flag|number|list|origins)\(\"([A-Z_]+)\"", source))
    read |= set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "Procfile").read_text()))
    assert table == read | {"WEB_CONCURRENCY"}  # which gunicorn reads by itself


def test_states_table_lists_every_state():
    table = {named(name): active for name, active, _ in rows(section("States"), "state")}
    assert table == {state.value: "yes" if state in ACTIVE else "no" for state in JobState}


def test_moves_table_gives_every_move_with_its_cause():
    table = {}
    for start, moves in rows(section("States"), "from"):
        for move in moves.split("<br>"):
            end, cause = re.fullmatch(r"→ `(\w+)`: (.+)", move).groups()
            table[named(start), end] = cause
    assert table == {(start.value, end.value): cause for (start, end), cause in TRANSITIONS.items()}


def test_diagram_draws_every_move():
    (diagram,) = blocks(section("States"), "mermaid")
    lines = [line.strip().split(" --> ") for line in diagram.splitlines()[1:]]
    drawn = {(start, end) for start, ends in lines for end in ends.split(" & ")}
    assert drawn == {(start.value, end.value) for start, end in TRANSITIONS}


def test_words_of_stuck_jobs_are_those_that_are_shown():
    code = " ".join(file.read_text() for file in (ROOT / "bulkops").rglob("*.py"))
    signs = [sign for sign, *_ in rows(section("My job is stuck"), "what you see")]
    shown = [
        words for sign in signs for pair in re.findall(r"\*([^*]+)\*|`([A-Z][^`]+)`", sign) for words in pair if words
    ]
    assert shown
    for words in shown:
        # The longest part that is the same for every job: no figures, no names.
        fixed = max(re.split(r"\d+ ?|jobs? ?|“.*?”|[.:;…] ?", words), key=len).strip()
        assert fixed in code, words


def test_an_items_outcomes_are_those_of_the_glossary():
    (meaning,) = (text for word, text in rows(section("Words"), "word") if word == "outcome")
    assert set(re.findall(r"`(\w+)`", meaning)) == set(OutcomeState.values)


def test_every_place_named_in_the_map_exists():
    places = [
        place for folder, _ in rows(section("The code's map"), "folder") for place in re.findall(r"`([^`]+)`", folder)
    ]
    assert places
    assert [place for place in places if not (ROOT / place).is_dir()] == []


def test_pictures_and_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            titles = re.findall(r"^## (.+)$", README, re.MULTILINE)
            assert target[1:] in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        else:
            assert (ROOT / target).is_file(), target


def test_measurements_named_are_those_that_there_are():
    text = section("Performance")
    (named_there,) = re.findall(r"a look at some: (.+)", text)
    assert re.findall(r"`(\w+)`", named_there) == list(measures.NAMES)
    (table,) = re.findall(f"{re.escape(report.BEGIN)}(.*){re.escape(report.END)}", text, re.DOTALL)
    assert {name.split(",")[0] for name in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)} <= set(measures.NAMES)


# -- the example


class Example:
    """The README's code, each block as the module that its first line names."""

    def __init__(self) -> None:
        self.before, self.operations, self.after = (self._module(code) for code in blocks(section(EXAMPLE), "python"))

    @staticmethod
    def _module(code: str) -> types.SimpleNamespace:
        # The package of the demo's app, so that `from .models import Ticket` finds what it names.
        names: dict[str, Any] = {"__name__": "ticketing.readme", "__package__": "ticketing"}
        exec(compile(code, "README.md", "exec"), names)
        return types.SimpleNamespace(**names)


@pytest.fixture
def example(settings: Any, tmp_path: Any) -> Iterator[Example]:
    """The example's operation registered, its views and its page at addresses of their own."""
    known = {operation.name for operation in registry.every()}
    try:
        example = Example()
        urls = types.ModuleType("readme_urls")
        urls.urlpatterns = [
            path("before/", example.before.discount),
            path("after/", example.after.discount),
            path("tickets/", example.after.tickets),
            path("", include("project.urls")),
        ]
        sys.modules["readme_urls"] = urls
        settings.ROOT_URLCONF = "readme_urls"
        (page,) = blocks(section(EXAMPLE), "html")
        (tmp_path / "tickets.html").write_text(page)
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [*settings.TEMPLATES[0]["DIRS"], tmp_path]}]
        yield example
    finally:
        sys.modules.pop("readme_urls", None)
        for operation in registry.every():
            if operation.name not in known:
                registry.unregister(operation.name)


def event_with_tickets(name: str) -> Event:
    event = Event.objects.create(name=name, venue="Here", starts_at=timezone.now())
    for number in range(3):
        Ticket.objects.create(event=event, code=f"{name}-{number}", seat=f"1-{number}", price=1_000 + number)
    return event


def prices(event: Event) -> list[int]:
    return list(Ticket.objects.filter(event=event).order_by("seat").values_list("price", flat=True))


@pytest.fixture
def client(transactional_db: None, person: Any) -> Client:
    """Somebody who may change tickets."""
    client = Client()
    client.force_login(person("seller", "ticketing.change_ticket"))
    return client


def test_the_operation_does_what_the_loop_did(example: Example, client: Client, worker: Any):
    looped, run = event_with_tickets("LOOPED"), event_with_tickets("RUN")
    assert client.post("/before/", {"event": looped.pk, "cents": 150}).json() == {"discounted": 3}
    answer = client.post("/after/", {"event": run.pk, "cents": 150}, headers={"accept": "text/html"})
    job = Job.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, job.get_absolute_url())
    assert worker.finish(job).state == JobState.COMPLETED
    assert prices(run) == prices(looped) == [850, 851, 852]
    assert Outcome.objects.filter(job=job, state=OutcomeState.SUCCEEDED).count() == 3


def test_a_second_press_leads_to_the_job_that_runs(example: Example, client: Client, worker: Any):
    event = event_with_tickets("TWICE")
    first, second = (client.post("/after/", {"event": event.pk, "cents": 150}) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 302)
    assert first["Location"].endswith(second["Location"])
    worker.finish(Job.objects.get())
    assert prices(event) == [850, 851, 852]


def test_a_program_is_answered_with_the_status(example: Example, client: Client, worker: Any):
    answer = client.post(
        "/after/", {"event": event_with_tickets("API").pk, "cents": 1}, headers={"accept": "application/json"}
    )
    job = Job.objects.get()
    assert answer.status_code == 202
    assert answer["Location"].endswith(job.get_absolute_url())
    assert answer["Retry-After"] == "1"
    assert answer.json()["id"] == str(job.pk)
    worker.finish(job)
    page = client.get(answer["Location"], headers={"accept": "application/json"})
    assert page.json()["state"] == JobState.COMPLETED


def test_wrong_parameters_are_named(example: Example, client: Client):
    answer = client.post("/after/", {"event": 1, "cents": 0})
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"cents"}
    assert not Job.objects.exists()


def test_who_lacks_the_permission_is_refused(example: Example, transactional_db: None, stranger: Any):
    client = Client()
    client.force_login(stranger)
    assert client.post("/after/", {"event": 1, "cents": 1}).status_code == 403
    assert not Job.objects.exists()


def test_the_card_stands_on_the_hosts_page(example: Example, client: Client, worker: Any):
    assert b"<progress" not in client.get("/tickets/").content
    client.post("/after/", {"event": event_with_tickets("CARD").pk, "cents": 1})
    job = worker.finish(Job.objects.get())
    page = client.get("/tickets/").content.decode()
    assert "<h1>Tickets</h1>" in page
    assert f'id="card-{job.pk}"' in page


# -- the example of a test


@pytest.fixture
def event_with_two_tickets(transactional_db: None) -> Event:
    """What the README's tests are given."""
    event = Event.objects.create(name="TESTED", venue="Here", starts_at=timezone.now())
    for number in range(2):
        Ticket.objects.create(event=event, code=f"TESTED-{number}", seat=f"1-{number}", price=1_000)
    return event


@pytest.mark.parametrize("name", ["test_tickets_become_cheaper", "test_a_ticket_that_is_gone_is_skipped"])
def test_the_tests_shown_pass(example: Example, event_with_two_tickets: Event, name: str):
    (code,) = blocks(section("Test your operation"), "python")
    names: dict[str, Any] = {"__name__": "readme_tests"}
    exec(compile(code, "README.md", "exec"), names)
    assert {name for name in names if name.startswith("test_")} == {
        "test_tickets_become_cheaper",
        "test_a_ticket_that_is_gone_is_skipped",
    }
    names[name](event_with_two_tickets)


# -- the dry run shown


def test_the_dry_run_shown_is_what_is_printed(transactional_db: None, person: Any, tmp_path: Path):
    person("demo", "ticketing.change_ticket")
    event = Event.objects.create(name="SHOWN", venue="Here", starts_at=timezone.now())
    Ticket.objects.create(pk=1, event=event, code="SHOWN-1", seat="1-1", price=1_000)
    (shown,) = blocks(section("Try it first"), "text")
    call, *printed = shown.splitlines()
    (tmp_path / "items.txt").write_text("1\n999999\nx\n")
    arguments = call.partition("enqueue ")[2].replace("--items -", f"--items {tmp_path / 'items.txt'}").split()
    out = io.StringIO()
    call_command("enqueue", *arguments, stdout=out, stderr=io.StringIO())
    assert [line.rstrip() for line in out.getvalue().splitlines()] == printed
    assert Ticket.objects.get().price == 1_000

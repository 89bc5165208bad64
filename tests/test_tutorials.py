"""The README's tutorials, executed as they stand there: each block as the module, each command as it is typed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from bulkops import registry
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from tests.test_readme import ROOT, blocks, section
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = section("Your first operation")
ACTION = section("An admin action as a job")


def module(code: str, package: str) -> dict[str, Any]:
    """The names that a block defines in a package."""
    names: dict[str, Any] = {"__name__": f"{package}.readme", "__package__": package}
    exec(compile(code, "README.md", "exec"), names)
    return names


# -- your first operation


@pytest.fixture
def greeting() -> Iterator[None]:
    """The tutorial's operation, registered."""
    (code,) = blocks(FIRST, "python")
    module(code, "greetings")
    yield
    registry.unregister("greet-people")


@pytest.fixture
def client(transactional_db: None, person: Any) -> Client:
    """The tutorial's first user, logged in."""
    client = Client()
    client.force_login(person("demo"))
    return client


def test_the_first_operation_has_fifteen_lines():
    (code,) = blocks(FIRST, "python")
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 15


@pytest.mark.slow
def test_the_first_operations_app_is_made_by_the_command_and_found_by_itself(tmp_path: Path):
    for name in ("bulkops", "templates", "static"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "site", tmp_path / "site")
    shutil.copy(ROOT / "manage.py", tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    plain = {"SECRET_KEY": "of this test", "DEBUG": "1", "DJANGO_SETTINGS_MODULE": "project.settings"}

    def run(command: str) -> str:
        return subprocess.run(
            ["sh", "-ec", command], cwd=tmp_path, env=os.environ | plain, check=True, capture_output=True, text=True
        ).stdout

    run(next(code for code in blocks(FIRST, "sh") if "startapp" in code))
    settings = tmp_path / "site/project/settings.py"
    (line,) = re.findall(r"Add the line `([^`]+)` to `INSTALLED_APPS`", FIRST)
    settings.write_text(settings.read_text().replace('    "ticketing",', f'    "ticketing",\n    {line}'))
    (code,) = blocks(FIRST, "python")
    (tmp_path / code.splitlines()[0].removeprefix("# ")).write_text(code)
    assert "greet-people" in run(".venv/bin/python manage.py operations")


def test_the_first_operation_runs_from_the_page_with_a_bar(greeting: None, client: Client, worker: Any):
    (address,) = re.findall(r"<http://127.0.0.1:8000(/[^>]+)>", FIRST)
    page = client.get(address).content.decode()
    assert "Greet many people, one after the other." in page
    assert 'name="people" value="600"' in page
    answer = client.post(address, {"people": "3", "action": "start"})
    job = Job.objects.get()
    assert answer["Location"] == job.get_absolute_url()
    assert worker.finish(job).state == JobState.COMPLETED
    results = Outcome.objects.filter(job=job).order_by("position").values_list("result", flat=True)
    assert list(results) == ["Hello, number 1!", "Hello, number 2!", "Hello, number 3!"]
    bar = re.search(r"<progress[^>]*>", client.get(answer["Location"]).content.decode())
    assert bar is not None
    assert 'max="3"' in bar.group()
    assert 'value="3"' in bar.group()


@pytest.mark.slow
def test_the_first_operation_runs_from_the_shell_beside_it(
    greeting: None, client: Client, person: Any, worker: Any, capsys: Any
):
    (command,) = [code for code in blocks(FIRST, "sh") if "enqueue" in code]
    arguments = shlex.split(command.split("manage.py ")[1])
    arguments.remove("--wait")  # the worker is this process
    person("demo2")
    client.post("/operations/greet-people/", {"people": "3", "action": "start"})
    call_command(*arguments)
    job = Job.objects.get(owner__username="demo2")
    assert capsys.readouterr().out.strip() == str(job.pk)
    worker.drain()
    assert set(Job.objects.values_list("state", "total")) == {(JobState.COMPLETED, 3), (JobState.COMPLETED, 60)}


# -- an admin action


@pytest.fixture
def tickets_admin(settings: Any) -> Iterator[None]:
    """The tutorial's admin in place of the project's own."""
    own = type(admin.site.get_model_admin(Ticket))
    admin.site.unregister(Ticket)
    try:
        (code,) = blocks(ACTION, "python")
        module(code, "ticketing")
        urls = types.ModuleType("tutorial_urls")
        urls.urlpatterns = [path("admin/", admin.site.urls), path("", include("project.urls"))]
        sys.modules["tutorial_urls"] = urls
        settings.ROOT_URLCONF = "tutorial_urls"
        yield
    finally:
        sys.modules.pop("tutorial_urls", None)
        admin.site.unregister(Ticket)
        admin.site.register(Ticket, own)


@pytest.fixture
def operator(transactional_db: None, django_user_model: Any) -> Client:
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("operator"))
    return client


def test_the_admin_action_runs_over_the_chosen_rows(tickets_admin: None, operator: Client, worker: Any):
    event = Event.objects.create(name="Aurora Strings", venue="Here", starts_at=timezone.now())
    tickets = [Ticket.objects.create(event=event, code=f"AUR-{n}", seat=f"{n}", price=1_000) for n in range(3)]
    address = "/admin/ticketing/ticket/"
    chosen = {"action": "job:reprice-tickets", "_selected_action": [str(one.pk) for one in tickets[:2]]}
    assert 'value="job:reprice-tickets"' in operator.get(address).content.decode()
    page = operator.post(address, chosen | {"index": "0", "select_across": "0"}).content.decode()
    assert "2 tickets will be changed" in page
    unseen = dict(re.findall(r'<input type="hidden" name="(job-[^"]+)" value="([^"]*)">', page))
    answer = operator.post(address, chosen | unseen | {"param-cents": "50"})
    job = Job.objects.get()
    assert answer["Location"] == job.get_absolute_url()
    assert worker.finish(job).state == JobState.COMPLETED
    assert list(Ticket.objects.order_by("pk").values_list("price", flat=True)) == [1_050, 1_050, 1_000]


def test_the_line_for_other_items_is_right():
    (line,) = re.findall(r"`(job_actions = \(JobAction[^`]*)`", ACTION)
    names: dict[str, Any] = {}
    exec(f"from bulkops.admin_actions import JobAction\n{line}", names)
    (action,) = names["job_actions"]
    assert action.item(7) == {"ticket": 7}


def test_the_project_does_as_the_tutorial_says():
    own = admin.site.get_model_admin(Ticket)
    assert own.job_actions == ("reprice-tickets", "issue-tickets")

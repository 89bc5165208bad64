"""The table of refusals: nothing that the services refuse is missing, and every face answers by it."""

from __future__ import annotations

import ast
from http import HTTPStatus
from pathlib import Path

import pytest
from django.test import Client

from bulkops import exceptions, refusals, services, tokens
from bulkops.api import problems
from tests.commands.conftest import run  # noqa: F401 - a fixture
from tests.web.conftest import alive  # noqa: F401 - a fixture

SERVICES = Path(services.__file__).parent


def refused_by_the_services():
    """Classes of errors that the modules of the services raise by name."""
    for module in SERVICES.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call | ast.Name):
                called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                found = getattr(exceptions, getattr(called, "id", ""), None)
                if found is not None:
                    yield found


def test_whatever_the_services_refuse_has_an_entry():
    refused = set(refused_by_the_services())
    assert len(refused) >= 5
    assert {cls.__name__ for cls in refused if not set(cls.__mro__) & set(refusals.TABLE)} == set()


def test_codes_are_the_problems_of_the_api():
    assert set(refusals.STATUSES) == set(problems.KINDS)
    assert {refusal.code for refusal in refusals.TABLE.values()} <= set(refusals.STATUSES)


def test_the_nearest_class_decides_and_a_mistake_of_our_own_is_no_refusal():
    assert refusals.of(exceptions.InputTooLarge("much")).status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert refusals.of(exceptions.FileRefused("bad")).status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert refusals.of(exceptions.FenceLost()) is None
    assert refusals.of(ValueError()) is None


def _occupied(owner):
    services.submit(user=owner, operation="note", items=["a"])


CASES = {
    "another job is active": (_occupied, "note", ["b"], exceptions.ActiveJobExists, "active job"),
    "not permitted": (None, "guarded", ["b"], exceptions.NotPermitted, "You may not run"),
    "wrong items": (None, "note", [], exceptions.InvalidSubmission, "needs items"),
    "too many items": (None, "note", ["b", "c", "d"], exceptions.InputTooLarge, "more than"),
}


@pytest.mark.parametrize("case", CASES)
def test_page_api_and_shell_answer_a_refusal_by_the_table(case, owner, alive, run, settings, tmp_path):  # noqa: F811
    before, operation, items, error, words = CASES[case]
    settings.BULKOPS = settings.BULKOPS | {"file_items": 2, "body_items": 2}
    if before:
        before(owner)
    expected = refusals.TABLE[error]
    # By the page.
    client = Client()
    client.force_login(owner)
    page = client.post(f"/operations/{operation}/", {"items": "\n".join(items)})
    assert (page.status_code, words in page.content.decode()) == (expected.status, True)
    # By the API.
    _, token = tokens.make(user=owner, name="a test")
    body = {"operation": operation} | ({"items": items} if items else {})
    told = client.post("/api/jobs/", body, content_type="application/json", headers={"Authorization": f"Token {token}"})
    assert (told.status_code, told.json()["type"]) == (expected.status, f"/problems/{expected.code}")
    assert words in told.json()["detail"]
    # By the shell.
    given = tmp_path / "items.txt"
    given.write_text("\n".join(items))
    ran = run("enqueue", operation, "--user", "owner", *(["--items", given] if items else []))
    assert (ran.code, words in ran.complaint) == (expected.exit_code, True)

"""The schema, and the pages that show it without a network and under the content security policy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import get_resolver

PAGES = ("/api/docs/", "/api/redoc/")


def test_the_schema_describes_every_call_of_the_api(db: None):
    schema = Client().get("/api/schema/?format=json", headers={"Accept": "application/json"}).json()
    api = next(one for one in get_resolver().url_patterns if getattr(one, "namespace", "") == "bulkops-api")
    undescribed = {"schema", "docs", "redoc", "nowhere"}
    calls = [one for one in api.url_patterns if one.name not in undescribed]
    assert len(schema["paths"]) == len(calls)
    assert all(path.startswith("/api/") for path in schema["paths"])
    for methods in schema["paths"].values():
        for told in methods.values():
            assert told["summary"]
            assert "401" in told["responses"]


def test_each_answer_with_a_job_links_to_what_can_be_asked_of_it(db: None):
    paths = Client().get("/api/schema/", headers={"Accept": "application/json"}).json()["paths"]
    calls = {one["operationId"]: path for path, methods in paths.items() for one in methods.values()}
    for path, status in (("/api/jobs/", "202"), ("/api/jobs/{id}/retry/", "202")):
        links = paths[path]["post"]["responses"][status]["links"]
        led_to = {calls[link["operationId"]] for link in links.values()}
        assert led_to <= {path for path in paths if path.startswith("/api/jobs/{id}/") and "{position}" not in path}
        assert len(led_to) >= 9
    assert paths["/api/jobs/{id}/items/"]["get"]["responses"]["200"]["links"].keys() == {"decide_an_item_in_doubt"}


def test_the_schema_is_yaml_unless_json_is_wanted(db: None):
    assert Client().get("/api/schema/").content.startswith(b"openapi:")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing_from_elsewhere(db: None, page: str):
    html = Client().get(page).content.decode()
    assert re.findall(r"(?:https?:)?//[a-z]", html) == []
    for static in re.findall(r"/static/([^\"']+)", html):
        assert finders.find(static), static


def policy(path: str) -> dict[str, str]:
    text = Client().get(path)["Content-Security-Policy"]
    return dict(part.strip().partition(" ")[::2] for part in text.split(";"))


def test_swagger_runs_under_the_usual_policy_and_redoc_with_its_own_styles(db: None):
    usual = policy("/accounts/login/")
    assert policy("/api/docs/") == usual
    assert policy("/api/redoc/") == usual | {"style-src": "'self' 'unsafe-inline'"}


@pytest.mark.slow
@pytest.mark.parametrize(("path", "heading"), [("/api/docs/", ".opblock-summary-description"), ("/api/redoc/", "h2")])
def test_a_browser_shows_the_calls(live_server: Any, page: Any, path: str, heading: str):
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    ours = (live_server.url, "data:", "blob:")
    page.on("request", lambda one: None if one.url.startswith(ours) else wrong.append(one.url))
    page.goto(live_server.url + path)
    page.locator(heading, has_text="Submit a job").first.wait_for(timeout=20_000)
    if path == "/api/redoc/":
        assert page.get_by_placeholder("Search...").count() == 0  # it would need a script that the policy forbids
    else:
        page.locator("#operations-jobs-list_jobs .opblock-summary-control").click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        page.locator(".live-responses-table", has_text="not-authenticated").wait_for(timeout=20_000)
        wrong = [one for one in wrong if "status of 401" not in one]
    # ReDoc's badge is a picture on its maker's site, which the policy keeps from being fetched.
    assert [one for one in wrong if "logo-mini.svg" not in one] == []

"""The schema keeps its word: calls made up from it, right and wrong ones, find no status and no body that it hides.

In this process, through WSGI, with a worker that works off what was submitted between two calls.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from bulkops import services, tokens
from bulkops.models import Job

pytestmark = pytest.mark.slow
EXAMPLES, STEPS = 10, 12
BOUNDED = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
EVERY_MODE = {"right": schemathesis.GenerationMode.POSITIVE, "wrong": schemathesis.GenerationMode.NEGATIVE}


@pytest.fixture
def job(owner: Any, worker: Any) -> Job:
    """One that has ended with an item of each kind."""
    return worker.finish(services.submit(user=owner, operation="failing", items=["a", "bad", "doubt"]))


@pytest.fixture
def schema(owner: Any, job: Job, settings: Any) -> Any:
    """With a token of the owner's."""
    settings.BULKOPS = {**settings.BULKOPS, "api_submits_per_minute": 1_000_000, "api_anonymous_per_minute": 1_000_000}
    settings.BULKOPS |= {"login_failures": 1_000_000}
    headers = {"Host": "localhost", "Accept": "application/json"}
    found = schemathesis.openapi.from_wsgi("/api/schema/", get_wsgi_application(), headers=headers)
    _, text = tokens.make(user=owner, name="schemathesis")
    found.config.update(headers={"Authorization": f"Token {text}", "Host": "localhost"})
    # An operation has rules of its own for parameters and items, and no text may hold a NUL.
    accepting = found.config.checks.positive_data_acceptance
    accepting.expected_statuses = [*accepting.expected_statuses, "400", "422"]
    return found


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_each_call_is_answered_as_the_schema_says(schema: Any, job: Job, worker: Any, mode: str):
    wrong, statuses = [], set()
    for operation in (one.ok() for one in schema.get_all_operations()):

        @BOUNDED
        @given(case=operation.as_strategy(generation_mode=EVERY_MODE[mode]))
        def call(case: Any) -> None:
            if len(statuses) % 2 == 0:
                make_real(case, job)
            answer = case.call(headers=schema.config.headers)
            statuses.add((case.method, case.path, answer.status_code))
            case.validate_response(answer, headers=schema.config.headers)
            worker.drain()

        try:
            call()
        except Unsatisfiable:
            continue  # there is nothing in it that could be wrong
        except (Exception, BaseExceptionGroup) as error:
            wrong.append(f"{operation.method} {operation.path}: {error}")
    assert wrong == [], "\n".join(wrong)
    codes = {code for _, _, code in statuses}
    assert codes >= ({200, 202, 404} if mode == "right" else {422})


def make_real(case: Any, job: Job) -> None:
    """What nobody makes up by chance: an id that there is, an operation that there is."""
    if "id" in (case.path_parameters or {}):
        case.path_parameters["id"] = str(job.pk)
    if isinstance(case.body, dict) and isinstance(case.body.get("operation"), str):
        case.body["operation"] = "note"
        case.body.setdefault("items", ["a"])


def test_calls_that_follow_from_one_another_are_answered_as_the_schema_says(schema: Any):
    class Machine(schema.as_state_machine()):
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": schema.config.headers}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            case.validate_response(response, headers=schema.config.headers)

    Machine.run(settings=BOUNDED)

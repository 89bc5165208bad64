"""The schema keeps its word: calls made up from it, right and wrong ones, find no status and no body that it hides.

A real server and a real worker on the test database, asked by an ordinary user, a superuser and nobody. Each run sends
the same calls, a few of each; `--schema-examples 500` sends others each time, and so many.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as bounds
from hypothesis.errors import Flaky, Unsatisfiable

from bulkops import services, tokens
from bulkops.models import Job
from tests.clusters import wait_for
from tests.sites import RealSite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
SCENARIOS, STEPS = 10, 12
EXAMPLES_OF = {"owner": 3, "superuser": 1, "nobody": 1}
MODES = {"right": schemathesis.GenerationMode.POSITIVE, "wrong": schemathesis.GenerationMode.NEGATIVE}


@pytest.fixture
def bounded(pytestconfig: pytest.Config) -> Callable[[int], bounds]:
    """How many examples are sent: so many in CI, or as many as the option says, others in each run."""
    wanted = pytestconfig.getoption("--schema-examples")

    def make(usual: int) -> bounds:
        return bounds(
            max_examples=wanted or usual,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=wanted is None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )

    return make


@pytest.fixture
def ended(owner: Any, cluster: Any) -> Job:
    """The owner's, with an item of each kind."""
    job = services.submit(user=owner, operation="failing", items=["a", "bad", "doubt"])
    return wait_for(lambda: Job.objects.filter(pk=job.pk, finished_at__isnull=False).first(), 30)


@pytest.fixture
def site(ended: Job, tmp_path: Path) -> Iterator[RealSite]:
    served = RealSite(tmp_path / "site.log", DJANGO_SETTINGS_MODULE="tests.api.unlimited_settings")
    served.start()
    yield served
    served.kill()
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def schema_for(site: RealSite, owner: Any, django_user_model: Any) -> Callable[[str], Any]:
    """The schema, with the headers of an actor."""

    def make(actor: str) -> Any:
        found = schemathesis.openapi.from_url(f"http://127.0.0.1:{site.port}/api/schema/")
        headers = {}
        if actor != "nobody":
            user = owner if actor == "owner" else django_user_model.objects.create_superuser(actor)
            headers["Authorization"] = f"Token {tokens.make(user=user, name='schemathesis')[1]}"
        found.config.update(headers=headers)
        # An operation has rules of its own for parameters and items, and no text may hold a NUL.
        accepting = found.config.checks.positive_data_acceptance
        accepting.expected_statuses = [*accepting.expected_statuses, "400", "422"]
        if actor == "nobody":
            found.config.checks.positive_data_acceptance.enabled = False
            found.config.checks.negative_data_rejection.enabled = False
        return found

    return make


def test_each_call_is_answered_as_the_schema_says(schema_for: Any, bounded: Any, ended: Job):
    wrong = []
    for actor, examples in EXAMPLES_OF.items():
        schema = schema_for(actor)
        told: set[tuple[str, int]] = set()
        for mode in MODES if actor != "nobody" else ["right"]:
            for operation in (one.ok() for one in schema.get_all_operations()):
                try:
                    call(schema, operation, mode, bounded(examples), ended, told)
                except Unsatisfiable:
                    continue  # there is nothing in it that could be wrong
                except (Exception, BaseExceptionGroup) as error:
                    wrong.append(f"{actor} {operation.method} {operation.path}: {error}")
        statuses = {status for _, status in told}
        if actor == "nobody":
            assert statuses <= {401, 404}, told  # 404 where the address itself is wrong
        else:
            assert statuses >= {200, 202, 404, 409, 422}, told
    assert wrong == [], "\n".join(wrong)


def call(schema: Any, operation: Any, mode: str, bounds: bounds, job: Job, told: set[tuple[str, int]]) -> None:
    @bounds
    @given(case=operation.as_strategy(generation_mode=MODES[mode]))
    def send(case: Any) -> None:
        make_real(case, job)
        answer = case.call(headers=schema.config.headers)
        told.add((operation.label, answer.status_code))
        check(case, answer, schema)

    send()


def check(case: Any, answer: Any, schema: Any) -> None:
    """All of schemathesis' checks, but of an address that is too long for gunicorn itself. Raises what is wrong."""
    if answer.status_code != 414:
        case.validate_response(answer, headers=schema.config.headers)


def make_real(case: Any, job: Job | None = None) -> None:
    """What nobody makes up by chance, in most right calls: an id that there is, a submission that is taken, a page."""
    seed = len(str(case.body)) + len(str(case.query))
    if seed % 5 == 0 or case.meta.generation.mode == MODES["wrong"]:
        return
    if job is not None and "id" in case.path_parameters:
        case.path_parameters["id"] = str(job.pk)
    if case.operation.label == "GET /api/jobs/":
        case.query.pop("page", None)
    elif case.operation.label == "POST /api/jobs/":
        case.query.clear()
        if case.media_type == "application/json":
            case.body = {"operation": "slow-note", "items": ["a"] * 20, "name": str(case.body)[:200]}
    elif isinstance(case.body, dict) and not case.operation.label.endswith(("/rate/", "/decide/")) and seed % 2:
        case.body = {}


def test_calls_that_follow_from_one_another_are_answered_as_the_schema_says(schema_for: Any, bounded: Any, ended: Job):
    schema = schema_for("owner")
    schema.config.phases.stateful.inference.algorithms = []  # the schema's own links, and no others
    followed: set[tuple[str, int]] = set()
    wrong: list[str] = []

    class Machine(schema.as_state_machine()):
        played = 0

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": schema.config.headers}

        def before_call(self, case: Any) -> None:
            make_real(case)

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            try:
                check(case, response, schema)
            except BaseExceptionGroup as error:
                wrong.append(f"{case.operation.label}: {error}")  # not raised: it could not be played again
            followed.add((case.operation.label, response.status_code))

        def teardown(self) -> None:
            Machine.played += 1

    settings = bounded(SCENARIOS)
    number = 0 if settings.derandomize else random.randrange(2**32)
    while Machine.played < settings.max_examples:
        number += 1
        # A server answers the same call differently later on, which Hypothesis takes for a test that is not sound.
        with suppress(Flaky):
            seed(number)(Machine).run(settings=settings)
    assert wrong == [], "\n".join(wrong)
    assert ("POST /api/jobs/", 202) in followed
    assert any(label.startswith("GET /api/jobs/{id}/") and status == 200 for label, status in followed)
    assert any(label.startswith("POST /api/jobs/{id}/") and status != 404 for label, status in followed)

"""The protocol of turns, leases and states, played in whatever order hypothesis thinks of; no promise breaks.

Three workers of two clusters run the real engine, a transaction at a time. Between any two of them workers are killed,
frozen and asked to stop, hosts are lost, messages too, people press buttons, and leaders rescue. In the end everything
is let go on, and no job is stuck. `--model-examples 2000` plays longer, and each time differently.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from bulkops import registry
from bulkops.engine import finishing, preparing
from bulkops.models import Job
from tests.engine import stepwise
from tests.engine.acted import OPERATIONS
from tests.engine.protocol import Protocol
from tests.engine.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)

EXAMPLES = 20
STEPS = 40


@pytest.fixture
def protocol(owner, stranger, settings, monkeypatch):
    """The machine, with all that lets an example be played again to the letter."""
    for operation in OPERATIONS:
        registry.register(operation)
    monkeypatch.setattr(Job._meta.get_field("id"), "_get_default", lambda: next(Protocol.ids), raising=False)
    monkeypatch.setattr(preparing, "COMMIT_SECONDS", 0)
    monkeypatch.setattr(finishing, "IDLE_SLICE_SECONDS", 100)
    monkeypatch.setattr(Protocol, "claims", stepwise.install(monkeypatch), raising=False)
    monkeypatch.setattr(Protocol, "stage", Stage(), raising=False)
    monkeypatch.setattr(Protocol, "users", [owner, stranger], raising=False)
    monkeypatch.setattr(Protocol, "configure", lambda _, given: setattr(settings, "BULKOPS", given), raising=False)
    yield Protocol
    Protocol.stage.close()
    for operation in OPERATIONS:
        registry.unregister(operation.name)


@pytest.mark.slow
def test_whatever_happens_in_whatever_order_nothing_is_lost_doubled_or_stuck(protocol, pytestconfig):
    examples = pytestconfig.getoption("--model-examples")
    run_state_machine_as_test(
        protocol,
        settings=hypothesis_settings(
            max_examples=examples or EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not examples,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
    print(dict(protocol.figures))

"""`bulkops.testing.run`: an author's test gets production's outcomes without a cluster, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, ClassVar

import pytest
from django import forms
from django.contrib.auth import get_user_model
from django.core.files.storage import default_storage
from django.db import connection
from django.test import TestCase, TransactionTestCase
from django_q.models import OrmQ

from bulkops import (
    ActiveJobExists,
    InvalidItems,
    InvalidParams,
    NotPermitted,
    Operation,
    RetryAfter,
    UnknownOperation,
    registry,
    services,
    uploaded_files,
)
from bulkops.exceptions import NeedsTransactions, OperationAlreadyRegistered, OperationMisdeclared
from bulkops.models import Cluster, Job
from bulkops.testing import run
from bulkops.verify import verify
from tests.clusters import environment
from tests.sample.models import Account, Effect
from tests.sample.operations import Note

transactional = pytest.mark.django_db(transaction=True)


class Halve(Operation):
    """Halve even numbers; not registered."""

    name = "halve"
    permission = "sample.change_account"
    rate_per_second = 0.01

    class Params(forms.Form):
        note = forms.CharField(initial="x")

    def process(self, item: int, params: dict[str, Any], context: Any) -> int:
        Effect.objects.create(item=str(item), note=params["note"])
        context.message(f"at {item}")
        if item == 0:
            context.skip("nothing to halve")
        if item % 2:
            raise ValueError("odd")
        return item // 2

    def finish(self, params: dict[str, Any], summary: dict[str, int]) -> Any:
        return {"halved": summary["succeeded"]}


@transactional
def test_outcomes_counts_and_results_are_the_jobs():
    ran = run(Halve, [4, 3, 0, 10])
    assert ran.state == "completed_with_errors"
    assert (ran.total, ran.succeeded, ran.skipped, ran.failed, ran.in_doubt) == (4, 2, 1, 1, 0)
    assert [(one.position, one.item, one.state) for one in ran.outcomes] == [
        (0, 4, "succeeded"),
        (1, 3, "failed"),
        (2, 0, "skipped"),
        (3, 10, "succeeded"),
    ]
    assert ran.results == [2, None, None, 5]
    assert (ran.outcomes[1].error_code, ran.outcomes[1].message) == ("ValueError", "ValueError: odd")
    assert ran.outcomes[2].message == "nothing to halve"
    assert (ran.result, ran.message) == ({"halved": 2}, "at 10")
    assert [event.to_state for event in ran.events if event.to_state] == ["queued", "running", "completed_with_errors"]


@transactional
def test_what_failed_and_skipped_items_wrote_is_rolled_back():
    run(Halve, [4, 3, 0, 10], {"note": "kept"})
    assert list(Effect.objects.order_by("pk").values_list("item", "note")) == [("4", "kept"), ("10", "kept")]


@transactional
def test_the_tables_agree_and_nothing_is_left_of_worker_and_queue():
    ran = run(Halve, range(20))
    assert verify(ran.job.pk).agrees
    assert not OrmQ.objects.exists()
    assert not Cluster.objects.exists()
    assert "halve" not in {operation.name for operation in registry.every()}


@transactional
def test_a_registered_operation_is_known_by_name_and_by_class_and_stays_registered():
    assert run("note", ["a"]).succeeded == 1
    assert run(Note, ["b"]).succeeded == 1
    assert type(registry.get("note")) is Note


@transactional
def test_an_operations_own_items_are_collected_up_to_the_limit():
    Account.objects.bulk_create([Account(number=number) for number in range(5)])
    ran = run("deposit", params={"amount": 7}, limit=3, parallelism=2)
    assert (ran.state, ran.total) == ("completed", 3)
    assert sorted(Account.objects.values_list("balance", flat=True)) == [0, 0, 7, 7, 7]


@transactional
def test_collecting_that_fails_is_a_failed_job():
    ran = run("collecting", params={"how": "raise"})
    assert (ran.state, ran.total, ran.outcomes) == ("failed", None, [])
    assert ran.error == "Collecting the items failed: ValueError: the source is gone"


class Patient(Operation):
    """Succeeds at the third attempt, and would wait for hours in between."""

    name = "patient"
    retry_on = (OSError,)
    backoff = (7_200.0, 7_200.0)
    attempts: ClassVar[list[int]] = []

    def process(self, item: Any, params: dict[str, Any], context: Any) -> int:
        self.attempts.append(context.attempt)
        if item == "asked":
            raise RetryAfter(3_600)
        if context.attempt < 3:
            raise OSError("not yet")
        return context.attempt


@transactional
def test_another_attempt_comes_round_without_the_wait():
    Patient.attempts.clear()
    ran = run(Patient, ["a"])
    assert Patient.attempts == [1, 2, 3]
    assert [(one.state, one.attempt, one.result) for one in ran.outcomes] == [("succeeded", 3, 3)]


@transactional
def test_attempts_come_to_their_end():
    ran = run(Patient, ["asked"])
    assert [(one.state, one.attempt, one.error_code) for one in ran.outcomes] == [("failed", 3, "retry-after")]


@transactional
def test_a_job_that_pauses_after_failures_is_returned_paused():
    ran = run("failing", ["bad"] * 12)
    assert (ran.state, ran.failed) == ("paused", 10)
    assert not OrmQ.objects.exists()


@transactional
def test_an_item_in_doubt_is_one():
    ran = run("habits", ["doubt", "fine"])
    assert (ran.state, ran.in_doubt, ran.succeeded) == ("completed_with_errors", 1, 1)


@transactional
@pytest.mark.parametrize("habit", ["commit-as-text", "commit-on-driver", "close", "close-on-driver"])
def test_items_that_spoil_their_transaction_end_as_in_production(habit):
    ran = run("habits", [habit, "fine"])
    assert ran.outcomes[1].state == "succeeded"
    assert ran.outcomes[0].error_code == "transaction-broken"


class Measure(Operation):
    """Counts a file's bytes, and stores a file that says so."""

    name = "measure"
    takes_files = True

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        with context.open_file(item) as file:
            size = len(file.read())
        return {"bytes": size, "files": [context.save_file("size.txt", str(size).encode())]}


@transactional
def test_files_are_items_and_what_an_item_stored_is_there():
    ran = run(Measure, files={"a.txt": b"four", "b.txt": b"eleven more"})
    assert [(one.item["name"], one.result["bytes"]) for one in ran.outcomes] == [("a.txt", 4), ("b.txt", 11)]
    with default_storage.open(ran.results[1]["files"][0]["path"]) as file:
        assert file.read() == b"11"


@transactional
def test_files_of_a_run_that_was_refused_are_gone(owner):
    services.submit(user=owner, operation="note", items=["a"])
    with pytest.raises(ActiveJobExists):
        run(Measure, files={"a.txt": b"four"}, user=owner)
    assert [*default_storage.listdir(uploaded_files.FOLDER)[0]] == []
    assert [*default_storage.listdir(uploaded_files.WAITING)[1]] == []


@transactional
def test_a_default_user_holds_the_permission_and_no_other():
    ran = run(Halve, [2])
    assert ran.job.owner.get_all_permissions() == {"sample.change_account"}
    assert not ran.job.owner.has_usable_password()


@transactional
def test_a_user_that_was_given_is_the_owner_and_is_asked(owner):
    with pytest.raises(NotPermitted):
        run(Halve, [2], user=owner)
    assert run("note", ["a"], user=owner).job.owner == owner


@transactional
def test_mistakes_are_raised_as_by_submit(owner):
    with pytest.raises(UnknownOperation):
        run("nonsense", ["a"])
    with pytest.raises(InvalidParams, match="colour"):
        run("note", ["a"], {"colour": "red"})
    with pytest.raises(InvalidItems, match="number"):
        run("rows", [{"number": "many"}])
    with pytest.raises(InvalidItems, match="needs items"):
        run("note")
    services.submit(user=owner, operation="note", items=["a"])
    with pytest.raises(ActiveJobExists):
        run("note", ["a"], user=owner)


@transactional
def test_a_class_that_cannot_be_registered_is_told_why():
    with pytest.raises(OperationMisdeclared, match="`name` must be"):
        run(type("Capital", (Halve,), {"name": "Halve"}), [2])
    with pytest.raises(OperationAlreadyRegistered):
        run(type("Impostor", (Halve,), {"name": "note"}), [2])
    assert type(registry.get("note")) is Note


@transactional
def test_relaxed_durability_is_over_when_the_run_is():
    assert run(type("Relaxed", (Halve,), {"durability": "relaxed"}), [2]).succeeded == 1
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)


@pytest.mark.django_db
def test_an_open_transaction_is_refused_saying_what_to_write():
    with pytest.raises(NeedsTransactions) as refusal:
        run("note", ["a"])
    assert "@pytest.mark.django_db(transaction=True)" in refusal.value.message
    assert "TransactionTestCase" in refusal.value.message
    assert not Job.objects.exists()


class InATestCase(TestCase):
    def test_a_test_case_is_refused(self) -> None:
        with pytest.raises(NeedsTransactions):
            run("note", ["a"])


class InATransactionTestCase(TransactionTestCase):
    def test_a_transaction_test_case_will_do(self) -> None:
        assert run("note", ["a", "b"]).succeeded == 2
        assert Effect.objects.count() == 2
        assert get_user_model().objects.count() == 1


@pytest.mark.slow
def test_it_needs_nothing_of_pytest():
    code = "import django; django.setup(); import sys, bulkops.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**environment(), "PYTHONPATH": ".:site"}, timeout=60)

"""Small operations, each with one habit that a test is about."""

from __future__ import annotations

import os
import signal
import time
from typing import Any, ClassVar

import psycopg2
from django import forms
from django.db import connection, transaction
from django.db.models import F

from bulkops import InDoubt, Operation, RetryAfter, register
from bulkops.uploaded_files import name_of
from tests.sample.models import Account, Effect
from ticketing.operations import Refund


@register
class Note(Operation):
    """Write one effect for each item."""

    name = "note"
    parallelism = 4

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        Effect.objects.create(item=str(item))
        return {"item": item}


@register
class NoteOutside(Operation):
    """Write one effect for each item, outside any transaction."""

    name = "note-outside"
    transactional = False

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        assert connection.get_autocommit()
        Effect.objects.create(item=str(item), note=context.key)
        return item


@register
class Deposit(Operation):
    """Change every account's balance."""

    name = "deposit"
    parallelism = 4

    class Params(forms.Form):
        amount = forms.IntegerField(initial=1)
        pause = forms.FloatField(initial=0.0, required=False)

    def items(self, params: dict[str, Any]) -> Any:
        return Account.objects.values_list("pk", flat=True)

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        if not Account.objects.filter(pk=item).update(balance=F("balance") + params["amount"]):
            context.skip("no such account")
        if params["pause"]:
            time.sleep(params["pause"])  # stands for an item's own slowness: kills must hit it in the middle


@register
class DepositRange(Deposit):
    """Change the balances of the accounts whose numbers lie in a range."""

    name = "deposit-range"
    # In a storm an innocent item may be in hand when worker after worker is killed.
    max_crashes = 1_000

    class Params(Deposit.Params):
        first = forms.IntegerField()
        last = forms.IntegerField()

    def items(self, params: dict[str, Any]) -> Any:
        numbers = {"number__gte": params["first"], "number__lte": params["last"]}
        return Account.objects.filter(**numbers).values_list("pk", flat=True)


@register
class SlowDeposit(Deposit):
    """Change every account's balance, at that pace until the test has seen enough and says “hurry”."""

    name = "slow-deposit"

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        hurried = Effect.objects.filter(item="hurry").exists()
        super().process(item, params | {"pause": 0} if hurried else params, context)


class Row(forms.Form):
    number = forms.IntegerField(min_value=1)
    note = forms.CharField(required=False)


@register
class Rows(Operation):
    """Take rows with checked columns."""

    name = "rows"
    Item = Row

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        Effect.objects.create(item=str(item["number"]), note=item["note"])
        return item["number"]


@register
class Guarded(Operation):
    """Needs a permission."""

    name = "guarded"
    permission = "sample.change_account"
    secret = ("token",)

    class Params(forms.Form):
        token = forms.CharField(required=False)

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        Effect.objects.create(item=str(item))


class Passing(Exception):
    """A failure that passes by itself."""


@register
class Habits(Operation):
    """Each item is the name of something bad that the operation then does."""

    name = "habits"
    retry_on = (Passing,)
    backoff = (0.01, 0.02)

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        Effect.objects.create(item=str(item)[:50], note=str(context.attempt))
        return getattr(self, f"do_{str(item).replace('-', '_')}", lambda _: None)(context)

    def do_raise(self, context: Any) -> None:
        raise ValueError("this item is bad")

    def do_raise_with_nul(self, context: Any) -> None:
        raise ValueError("a NUL \x00 and a lone \ud800 surrogate")

    def do_raise_unprintable(self, context: Any) -> None:
        class Unprintable(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no words")

        raise Unprintable

    def do_exit(self, context: Any) -> None:
        raise SystemExit(3)

    def do_interrupt(self, context: Any) -> None:
        raise KeyboardInterrupt

    def do_skip(self, context: Any) -> None:
        context.skip("not today")

    def do_doubt(self, context: Any) -> None:
        raise InDoubt("the answer was cut off")

    def do_pass_by(self, context: Any) -> str:
        if context.attempt < 3:
            raise Passing("try again")
        return f"attempt {context.attempt}"

    def do_never_pass_by(self, context: Any) -> None:
        raise Passing("still not")

    def do_retry_after(self, context: Any) -> None:
        raise RetryAfter(600, "429 Too Many Requests")

    def do_commit_as_text(self, context: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("COMMIT")

    def do_commit_as_text_and_go_on(self, context: Any) -> None:
        self.do_commit_as_text(context)
        Effect.objects.create(item="after the commit")

    def do_commit_on_driver(self, context: Any) -> None:
        connection.connection.commit()

    def do_commit_on_driver_and_go_on(self, context: Any) -> None:
        connection.connection.commit()
        Effect.objects.create(item="after the commit")

    def do_rollback_on_driver(self, context: Any) -> None:
        connection.connection.rollback()

    def do_close(self, context: Any) -> None:
        connection.close()

    def do_close_on_driver(self, context: Any) -> None:
        connection.connection.close()

    def do_swallow_database_error(self, context: Any) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1/0")
        except Exception:
            return

    def do_swallow_inner_rollback(self, context: Any) -> None:
        try:
            with transaction.atomic(savepoint=False):
                raise ValueError("inner")
        except ValueError:
            return

    def do_deallocate(self, context: Any) -> str:
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
        return "deallocated"

    def do_bad_hook(self, context: Any) -> str:
        def hook() -> None:
            raise RuntimeError("the hook is broken")

        transaction.on_commit(hook)
        return "hooked"

    def do_huge(self, context: Any) -> str:
        return "x" * 20_000_000

    def do_not_a_number(self, context: Any) -> Any:
        return {"value": float("nan"), "most": float("inf")}

    def do_nul(self, context: Any) -> Any:
        return {"te\x00xt": "a\x00b", "lone": "\ud800"}

    def do_object(self, context: Any) -> Any:
        return object()


@register
class HabitsOutside(Habits):
    """The same, outside any transaction."""

    name = "habits-outside"
    transactional = False

    def do_open_transaction(self, context: Any) -> None:
        transaction.set_autocommit(False)
        Effect.objects.create(item="never committed")


@register
class Holding(Operation):
    """Has an effect that must not be repeated; an item may name a moment in which a test interferes."""

    name = "holding"
    transactional = False
    in_doubt = "hold"
    retry_on = (Passing,)
    backoff = (0.01, 0.02)
    meanwhile: ClassVar[dict[str, Any]] = {}
    """What a test does while an item is in hand."""

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        Effect.objects.create(item=str(item), note=f"{context.attempt} {context.key}")
        return self.meanwhile.get(item, lambda _: None)(context)


@register
class Telling(Operation):
    """Each item is what its failure says; “fine” does not fail, and “later …” fails at its second attempt."""

    name = "telling"
    parallelism = 4
    retry_on = (Passing,)
    max_attempts = 2
    backoff = (0.01, 0.02)
    mended: ClassVar[set[str]] = set()
    """What no longer fails."""

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        if item == "fine" or item in self.mended:
            return
        raise (Passing if item.startswith("later") else ValueError)(item)


@register
class Ending(Operation):
    """Has a finish that can go wrong."""

    name = "ending"
    calls: ClassVar[list[dict[str, int]]] = []

    class Params(forms.Form):
        trouble = forms.CharField(required=False)

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        if item == "bad":
            raise ValueError("bad item")
        if params["trouble"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    def finish(self, params: dict[str, Any], summary: dict[str, int]) -> Any:
        Effect.objects.create(item="finished", note=str(summary["total"]))
        if params["trouble"] == "raise":
            raise ValueError("cannot finish")
        return {"summary": summary}


@register
class Collecting(Operation):
    """Collects its own items, in a way that a parameter chooses."""

    name = "collecting"

    class Params(forms.Form):
        how = forms.CharField()

    def items(self, params: dict[str, Any]) -> Any:
        how = params["how"]
        if how == "nothing":
            return []
        if how == "raise":
            raise ValueError("the source is gone")
        if how == "half":
            return self._half()
        if how == "objects":
            return Account.objects.all()
        if how == "pairs":
            return Account.objects.values_list("number", "balance")
        if how == "dicts":
            return Account.objects.values("number")
        if how == "unstorable":
            return [1, float("nan")]
        return range(int(how))

    def _half(self) -> Any:
        yield from range(1500)
        raise ValueError("half-way")

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        Effect.objects.create(item=str(item))


@register
class SlowNote(Note):
    """Write one effect for each item, at a pace at which kills hit in the middle."""

    name = "slow-note"

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        time.sleep(0.05)
        return super().process(item, params, context)


@register
class Deadly(Operation):
    """Items that hang or end the process."""

    name = "deadly"
    item_timeout_seconds = 1
    retry_on = (Passing,)
    backoff = (0.01, 0.02)

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        Effect.objects.create(item=str(item))
        match item:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit-at-once":
                os._exit(0)
            case "abort":
                os.abort()
            case "hang":
                while True:
                    time.sleep(60)
            case "wait-in-the-database":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(60)")
            case "defer-then-kill":
                if context.attempt == 1:
                    raise Passing("first")
                os.kill(os.getpid(), signal.SIGKILL)


@register
class DeadlyAround(Operation):
    """Hangs or ends the process while it collects or finishes."""

    name = "deadly-around"
    item_timeout_seconds = 1

    class Params(forms.Form):
        how = forms.CharField()

    def items(self, params: dict[str, Any]) -> Any:
        yield 1
        if params["how"] == "kill-in-items":
            os.kill(os.getpid(), signal.SIGKILL)
        if params["how"] == "hang-in-items":
            time.sleep(60)

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        """All is well so far."""

    def finish(self, params: dict[str, Any], summary: dict[str, int]) -> None:
        if params["how"] == "kill-in-finish":
            os.kill(os.getpid(), signal.SIGKILL)
        if params["how"] == "hang-in-finish":
            time.sleep(60)


@register
class Freezing(Note):
    """Freeze the worker once, just before COMMIT."""

    name = "freezing"

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        if item == "freeze" and not Effect.objects.filter(item="frozen").exists():
            commit = connection._commit

            def freeze() -> None:
                os.kill(os.getpid(), signal.SIGSTOP)
                commit()

            with psycopg2.connect(**_parameters()) as aside, aside.cursor() as cursor:
                cursor.execute("INSERT INTO sample_effect (item, note) VALUES ('frozen', '')")
            connection._commit = freeze
        return super().process(item, params, context)


def _parameters() -> dict[str, Any]:
    given = connection.get_connection_params()
    return {name: given[name] for name in ("dbname", "user", "password", "host", "port") if name in given}


@register
class RefundStormed(Refund):
    """Refund orders while workers are killed: that is not the items' fault, and stops no job."""

    name = "refund-orders-stormed"
    max_crashes = 1_000
    max_failures = None
    rate_per_second = None


@register
class RefundHeld(RefundStormed):
    """Refund orders at a provider that ignores idempotency keys: what is not known is not asked again."""

    name = "refund-orders-held"
    in_doubt = "hold"
    address = "refunds/?keys=ignored"


@register
class Failing(Operation):
    """Items called “bad” fail, and take their time over it; the job pauses after ten of them."""

    name = "failing"
    parallelism = 4
    max_failures = 10

    def process(self, item: Any, params: dict[str, Any], context: Any) -> None:
        Effect.objects.create(item=str(item))
        if item == "bad":
            time.sleep(0.02)  # stands for an item's own slowness: workers must overlap
            raise ValueError("bad item")
        if item == "doubt":
            raise InDoubt("the answer was cut off")


@register
class FailingShare(Failing):
    """The same, and it pauses when half of the items failed."""

    name = "failing-share"
    max_failures = 0.5


@register
class CopyFiles(Operation):
    """Copy each file."""

    name = "copy-files"
    transactional = False
    takes_files = True
    chunk_items = 2

    def process(self, item, params, context):
        with context.open_file(item) as file:
            return {"files": [context.save_file(f"copy of {name_of(item)}", file)]}

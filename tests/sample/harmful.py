"""Operations that do harm: kill their worker, at an item or around it, and refund while it storms."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from django import forms
from django.db import connection

from bulkops import Operation, register
from tests.sample.models import Effect
from ticketing.operations import Refund


class Passing(Exception):
    """A failure that passes by itself."""


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

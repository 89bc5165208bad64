"""The two operations: one may repeat a request whose answer was lost, the other leaves that to a person."""

from __future__ import annotations

from typing import Any, NoReturn

from django import forms

from bulkops import outbound
from bulkops.contrib.http_calls import answers, vault
from bulkops.contrib.http_calls.calls import Call
from bulkops.contrib.http_calls.forms import CallForm
from bulkops.exceptions import InDoubt, InvalidItems
from bulkops.operation import Context, Operation
from bulkops.outbound.asking import ask
from bulkops.registry import register


class AnyRow(forms.Form):
    """A row of any columns; which ones it needs, the placeholders say."""


@register
class CallHttpApi(Operation):
    """Send one HTTP request for each row, to a service that honours the header Idempotency-Key.

    After a lost answer, a server's error or a crash it asks again, with the same key: the service must tell a repeat.
    """

    name = "call-http-api"
    item_name = "row"
    effect = "will be sent"
    permission = "bulkops_http.call_http_api"
    # No transaction stands open while another system thinks.
    transactional = False
    in_doubt = "repeat"
    retry_on = (outbound.NotReached, outbound.AnswerLost, answers.ServiceFailed, vault.SecretAway)
    max_attempts = 6
    backoff = (1.0, 120.0)
    item_timeout_seconds = 60.0
    parallelism = 16
    # A thousand slow calls in one chunk would keep one worker busy and the others idle.
    chunk_items = 50
    max_failures = 0.25

    Params = CallForm
    Item = AnyRow

    @property
    def title(self) -> str:
        """For people."""
        return "Call an HTTP API"

    def clean_item(self, item: Any) -> dict[str, Any]:
        """Any row, with all its columns."""
        if not isinstance(item, dict):
            raise InvalidItems("A row must have named columns.", [(None, None, "not a row with named columns")])
        return item

    def process(self, item: Any, params: dict[str, Any], context: Context) -> Any:
        """Send the row's request, and keep of the answer what was asked for."""
        call: Call = params["call"]
        request, redactor = call.prepare(item, context.key)
        try:
            answer = ask(
                request.method,
                request.address,
                headers=request.headers,
                body=request.body,
                timeout_seconds=params["timeout_seconds"],
                most_bytes=answers.most_bytes(params["keep"]),
            )
            return answers.result_of(answer, params["expected"], params["keep"], params["pointer"], redactor)
        except (outbound.AnswerLost, answers.ServiceFailed) as unclear:
            self._unclear(unclear, call, context)

    def _unclear(self, error: outbound.AnswerLost | answers.ServiceFailed, call: Call, context: Context) -> NoReturn:
        """Asking again is right while a key makes it harmless. Then it may have happened, which “failed” would deny."""
        may_ask_again = call.is_safe or self.in_doubt == "repeat"
        answered = isinstance(error, answers.ServiceFailed)
        if may_ask_again and (call.is_safe or answered or context.attempt < self.max_attempts):
            raise error
        raise InDoubt(error.message) from None


@register
class CallHttpApiOnce(CallHttpApi):
    """Send one HTTP request for each row, at most once: what may have happened is set aside for a person.

    For services that cannot tell a repeat. It asks again only where nothing was sent, or the service said: later.
    """

    name = "call-http-api-once"
    in_doubt = "hold"

    @property
    def title(self) -> str:
        """For people."""
        return "Call an HTTP API, no row twice"

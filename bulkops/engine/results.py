"""What one try of an item came to, storable as it is: of what was returned, or of what was raised."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from bulkops import storable
from bulkops.conf import conf
from bulkops.engine.faults import code_of, describe
from bulkops.engine.statements import Result
from bulkops.exceptions import InDoubt, ItemSkipped, RetryAfter
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from bulkops.operation import Operation

MOST_DOUBLINGS = 60
"""Of a wait between attempts; after some thousand of them, the figure would be too large to be multiplied."""


def success(returned: Any) -> Result:
    """Of an item whose `process` returned."""
    return Result(state=OutcomeState.SUCCEEDED, result=storable.json_text(returned, conf().result_bytes))


def failure(operation: Operation, error: BaseException, attempt: int) -> Result:
    """Of an item that raised: skipped, in doubt, failed, or deferred until its next attempt. Never raises."""
    code, message = code_of(error), storable.text(describe(error), conf().message_chars)
    if isinstance(error, ItemSkipped):
        return Result(state=OutcomeState.SKIPPED, error_code=code, message=message)
    if isinstance(error, InDoubt):
        return Result(state=OutcomeState.IN_DOUBT, error_code=code, message=message)
    retried = isinstance(error, (RetryAfter, *operation.retry_on))
    if retried and attempt < operation.max_attempts:
        return Result(
            state=OutcomeState.DEFERRED,
            error_code=code,
            message=message,
            due_in_seconds=wait_seconds(operation, error, attempt),
        )
    return Result(state=OutcomeState.FAILED, error_code=code, message=message)


def wait_seconds(operation: Operation, error: BaseException, attempt: int) -> float:
    """Seconds until the next try: the back-off, or longer where the other system asks for it, never less."""
    first, most = operation.backoff
    doubled = first * 2 ** min(attempt - 1, MOST_DOUBLINGS)
    wait = min(doubled, most) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
    asked = error.seconds if isinstance(error, RetryAfter) else 0.0
    return max(wait, asked * random.uniform(1.0, 1.25))  # noqa: S311 - not all that were refused at once come at once

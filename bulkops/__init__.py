"""bulkops: long loops over many items, run as jobs. The names that authors and host projects import.

Imports no models, so that it can be imported before Django's apps are loaded; what needs them
loads late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkops.exceptions import (
    ActiveJobExists,
    BulkopsError,
    IdempotencyKeyReused,
    InDoubt,
    InvalidItems,
    InvalidParams,
    InvalidSubmission,
    NotAllowedNow,
    NotPermitted,
    RetryAfter,
    SubmissionBusy,
    UnknownOperation,
)
from bulkops.operation import Context, Operation
from bulkops.registry import register

if TYPE_CHECKING:
    from bulkops.scheduling import schedule, unschedule
    from bulkops.services import submit
    from bulkops.web.responses import accepted

__all__ = [
    "ActiveJobExists",
    "BulkopsError",
    "Context",
    "IdempotencyKeyReused",
    "InDoubt",
    "InvalidItems",
    "InvalidParams",
    "InvalidSubmission",
    "NotAllowedNow",
    "NotPermitted",
    "Operation",
    "RetryAfter",
    "SubmissionBusy",
    "UnknownOperation",
    "accepted",
    "register",
    "schedule",
    "submit",
    "unschedule",
]


def __getattr__(name: str) -> Any:
    if name == "submit":
        from bulkops.services import submit

        return submit
    if name == "accepted":
        from bulkops.web.responses import accepted

        return accepted
    if name in {"schedule", "unschedule"}:
        from bulkops import scheduling

        return getattr(scheduling, name)
    raise AttributeError(f"module 'bulkops' has no attribute {name!r}")

"""Who may submit, see and control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkops.exceptions import NotPermitted

if TYPE_CHECKING:
    from bulkops.models import Job
    from bulkops.operation import Operation


def may_submit(user: Any, operation: Operation) -> bool:
    """Logged in, active, and holding the operation's permission."""
    if not (user.is_authenticated and user.is_active):
        return False
    return operation.permission is None or user.has_perm(operation.permission)


def refusal(user: Any, operation: Operation, params: dict[str, Any]) -> str | None:
    """Why this user may not run the operation with these cleaned parameters; None where they may.

    Empty where they lack its permission, which the caller has words for.
    """
    if not may_submit(user, operation):
        return ""
    try:
        operation.authorize(user, params)
    except NotPermitted as refused:
        return refused.message
    return None


def may_see_all(user: Any) -> bool:
    """Holder of `bulkops.view_job` or `bulkops.change_job`, and so everybody's jobs; `is_staff` alone gives nothing."""
    if not (user.is_authenticated and user.is_active):
        return False
    return user.has_perm("bulkops.view_job") or user.has_perm("bulkops.change_job")


def may_see(user: Any, job: Job) -> bool:
    """Owner, or holder of `bulkops.view_job` or `bulkops.change_job`; `is_staff` alone gives nothing."""
    # The owner first, about whom nothing more need be asked: it is the owner who polls.
    return (user.is_authenticated and user.is_active and job.owner_id == user.pk) or may_see_all(user)


def may_control(user: Any, job: Job) -> bool:
    """Owner, or holder of `bulkops.change_job`."""
    if not (user.is_authenticated and user.is_active):
        return False
    return job.owner_id == user.pk or user.has_perm("bulkops.change_job")

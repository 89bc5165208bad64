"""Reading adjectives of jobs: who may see them, which are active, and what a list's search and filters mean."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Manager, Q, QuerySet

from bulkops.states import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bulkops.models import Job  # noqa: F401 - named in a string below


class JobQuerySet(QuerySet["Job"]):
    """Jobs, as the faces ask for them."""

    def active(self) -> JobQuerySet:
        """Jobs that hold their slot."""
        return self.filter(state__in=ACTIVE)

    def ended(self) -> JobQuerySet:
        """Jobs that are over, in whatever way."""
        return self.exclude(state__in=ACTIVE)

    def in_state(self, state: str) -> JobQuerySet:
        """Jobs in one state."""
        return self.filter(state=state)

    def owned_by(self, user: Any) -> JobQuerySet:
        """Jobs of one user."""
        return self.filter(owner=user)

    def visible_to(self, user: Any) -> JobQuerySet:
        """Their owner's, or all for holders of `bulkops.view_job` or `bulkops.change_job`; `is_staff` gives nothing."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.has_perm("bulkops.view_job") or user.has_perm("bulkops.change_job"):
            return self
        return self.filter(owner=user)

    def controllable_by(self, user: Any) -> JobQuerySet:
        """Their owner's, or all for holders of `bulkops.change_job`."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.has_perm("bulkops.change_job"):
            return self
        return self.filter(owner=user)

    def in_any_state(self, states: Iterable[str]) -> JobQuerySet:
        """Jobs in one of these states."""
        return self.filter(state__in=list(states))

    def of_operation(self, name: str) -> JobQuerySet:
        """Jobs of one operation."""
        return self.filter(operation=name)

    def tagged(self, tag: str) -> JobQuerySet:
        """Jobs with that tag, written so."""
        return self.filter(tags__contains=[tag])

    def owned_by_name(self, name: str) -> JobQuerySet:
        """Jobs of the user who is called so; none where nobody is."""
        return self.filter(**{f"owner__{get_user_model().USERNAME_FIELD}": name})

    def created_since(self, moment: datetime) -> JobQuerySet:
        """Jobs submitted then or later."""
        return self.filter(created_at__gte=moment)

    def found(self, text: str) -> JobQuerySet:
        """Jobs whose name, id, owner, tag or input file name holds the text."""
        username = get_user_model().USERNAME_FIELD
        match = (
            Q(name__icontains=text)
            | Q(operation__icontains=text)
            | Q(input_name__icontains=text)
            | Q(tags__contains=[text])
            | Q(**{f"owner__{username}__icontains": text})
        )
        with contextlib.suppress(ValueError):
            match |= Q(pk=UUID(text))
        return self.filter(match)


class JobManager(Manager.from_queryset(JobQuerySet)):  # type: ignore[misc]
    """All jobs but those that are being deleted, which exist for nobody any more."""

    def get_queryset(self) -> JobQuerySet:
        """See above; `Job.with_pruned` has them all."""
        return super().get_queryset().filter(pruned_at__isnull=True)

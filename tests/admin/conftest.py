"""Fixtures of the admin's tests: an operator, and browsers of those who may look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from bulkops import services

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkops.models import Job


def staff(user: Any) -> Any:
    """The user, who may log in to the admin from now on."""
    user.is_staff = True
    user.save()
    return user


@pytest.fixture
def operator(person: Callable[..., Any]) -> Any:
    """May see and control every job, through the admin too."""
    return staff(person("operator", "bulkops.view_job", "bulkops.change_job", "bulkops.view_cluster"))


@pytest.fixture
def admin_of(client: Client) -> Callable[[Any], Client]:
    """The client, logged in."""

    def login(user: Any) -> Client:
        client.force_login(user)
        return client

    return login


@pytest.fixture
def job(owner: Any) -> Job:
    return services.submit(user=owner, operation="note", items=["a", "b"], name="Spring prices", tags=["spring"])

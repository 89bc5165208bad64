"""System checks: the settings of webhooks can be understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from bulkops.conf import conf
from bulkops.outbound import NotSendable, addresses, places

if TYPE_CHECKING:
    from collections.abc import Iterator

HINT = "See bulkops/docs/webhooks.md."


@register("bulkops")
def check_webhooks(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's own signature
    """Networks, schedule, limits and the site's own address."""
    try:
        conf()
    except (ImproperlyConfigured, TypeError):
        return []  # which is told elsewhere
    return [Error(fault, hint=HINT, id="bulkops.E015") for fault in _faults()]


def _faults() -> Iterator[str]:
    given = conf()
    try:
        addresses.networks(given.webhook_private_networks, "webhook_private_networks")
    except ImproperlyConfigured as error:
        yield str(error)
    waits = given.webhook_retry_seconds
    if isinstance(waits, str) or not all(isinstance(wait, int | float) and wait >= 0 for wait in waits):
        yield f'BULKOPS["webhook_retry_seconds"] must be a tuple of seconds, not {waits!r}'
    for name in ("webhook_timeout_seconds", "webhook_parallel", "webhook_failing_days"):
        if not getattr(given, name) > 0:
            yield f'BULKOPS["{name}"] must be more than 0'
    if given.base_url:
        try:
            places.place_of(given.base_url)
        except NotSendable:
            yield f'BULKOPS["base_url"] must look like https://bulk.example.org, not {given.base_url!r}'

"""System checks: the settings of the metrics can be understood, and their token cannot be guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from bulkops.conf import conf
from bulkops.metrics import access

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_CHARS = 16


@register("bulkops")
def check_metrics(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's own signature
    """Token and addresses."""
    try:
        conf()
    except (ImproperlyConfigured, TypeError):
        return []  # which is told elsewhere
    return [Error(fault, hint="See bulkops/docs/observability.md.", id="bulkops.E018") for fault in _faults()]


def _faults() -> Iterator[str]:
    try:
        access.networks()
    except ImproperlyConfigured as error:
        yield str(error)
    token = conf().metrics_token
    if not isinstance(token, str) or (token and (len(token) < LEAST_CHARS or not token.isascii() or " " in token)):
        yield f'BULKOPS["metrics_token"] must have at least {LEAST_CHARS} visible ASCII characters'

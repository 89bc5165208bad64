"""System check: the setting `http_secrets` can be understood."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from bulkops.contrib.http_calls import vault


@register("bulkops")
def check_secrets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's own signature
    """Each secret has a value, or a callable, and hosts. Calls nothing, and repeats no value."""
    try:
        vault.known()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See bulkops/docs/http-calls.md.", id="bulkops_http.E001")]
    return []

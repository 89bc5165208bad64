"""System checks: the settings of this app can be understood."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from bulkops.conf import conf
from bulkops.contrib.http_calls import vault
from bulkops.outbound import addresses, places


@register("bulkops")
def check_secrets(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's own signature
    """Each secret has a value, or a callable, and hosts. Calls nothing, and repeats no value."""
    try:
        vault.known()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See bulkops/docs/http-calls.md.", id="bulkops_http.E001")]
    return []


@register("bulkops")
def check_hosts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 - Django's own signature
    """The hosts that may be called, and the networks they may be in, can be read."""
    try:
        addresses.networks(conf().http_private_networks)
        places.entries(conf().http_hosts)
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="See bulkops/docs/http-calls.md.", id="bulkops_http.E002")]
    return []

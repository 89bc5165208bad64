"""The secrets that calls may send: read from the setting `http_secrets`, each bound to the hosts that may be told."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from bulkops.conf import conf
from bulkops.exceptions import BulkopsError
from bulkops.outbound import HostNotAllowed
from bulkops.outbound.places import Place, check_listed, entries

if TYPE_CHECKING:
    from collections.abc import Callable

SHORTEST = 8
"""Characters. Shorter ones could not be told from other words in what comes back."""


class SecretRefused(BulkopsError):
    """This secret cannot be sent."""

    code = "http-secret"


class SecretAway(SecretRefused):
    """Where the secret is kept does not answer."""

    code = "http-secret-away"


@dataclass(frozen=True)
class Secret:
    """A secret; nothing that shows one shows its value."""

    name: str
    hosts: tuple[str, ...]
    _value: str | Callable[[], str] = field(repr=False)

    def is_for(self, place: Place) -> bool:
        """Whether that place may be told it."""
        try:
            check_listed(place, self.hosts)
        except HostNotAllowed:
            return False
        return True

    def reveal(self) -> str:
        """The value. Raises SecretAway, or SecretRefused for a value that is none."""
        value: Any = self._value
        if callable(value):
            try:
                value = value()
            except Exception as error:  # whatever a store of secrets raises; its words may hold what it keeps
                raise SecretAway(f"The secret “{self.name}” could not be fetched ({type(error).__name__}).") from None
        if not isinstance(value, str) or len(value) < SHORTEST:
            raise SecretRefused(f"The secret “{self.name}” is no text of at least {SHORTEST} characters.")
        return value


def known() -> dict[str, Secret]:
    """All secrets by name. Raises ImproperlyConfigured, in words that repeat no value."""
    given: Any = conf().http_secrets or {}
    if not hasattr(given, "items"):
        raise ImproperlyConfigured('BULKOPS["http_secrets"] must map names to {"value": …, "hosts": (…)}')
    return {name: _secret(name, entry) for name, entry in given.items()}


def _secret(name: str, entry: Any) -> Secret:
    said = f'BULKOPS["http_secrets"][{name!r}]'
    if not isinstance(entry, dict) or set(entry) != {"value", "hosts"}:
        raise ImproperlyConfigured(f'{said} must be {{"value": …, "hosts": (…)}}')
    value, hosts = entry["value"], entry["hosts"]
    if not callable(value) and not (isinstance(value, str) and len(value) >= SHORTEST):
        raise ImproperlyConfigured(f"{said}: its value must be a text of at least {SHORTEST} characters, or a callable")
    if not isinstance(hosts, tuple | list) or not hosts:
        raise ImproperlyConfigured(f"{said}: its hosts must be a tuple of those that may be told it")
    entries(tuple(hosts))
    return Secret(name, tuple(hosts), value)


def secret_for(name: str, place: Place) -> Secret:
    """The secret of that name. Raises SecretRefused where there is none, or it is not for that place."""
    secret = known().get(name)
    if secret is None:
        raise SecretRefused(f"This site keeps no secret “{name[:100]}”.")
    if not secret.is_for(place):
        raise SecretRefused(f"The secret “{name}” is not for {place}.")
    return secret


def bound_to(place: Place) -> list[Secret]:
    """All secrets that the place may have been told, at any time."""
    return [secret for secret in known().values() if secret.is_for(place)]


def basic(value: str) -> str:
    """“user:password” as the header Authorization wants it behind “Basic”. Raises SecretRefused."""
    _, colon, password = value.partition(":")
    # The password alone must be found in what comes back too.
    if not colon or len(password) < SHORTEST:
        raise SecretRefused(f"For Basic, a secret is “user:password”, the password of at least {SHORTEST} characters.")
    return base64.b64encode(value.encode()).decode()

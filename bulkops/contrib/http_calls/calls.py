"""What is to be called, compiled from the parameters; makes the request of each row, and knows what to strike out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkops.contrib.http_calls import vault
from bulkops.contrib.http_calls.redaction import Redactor
from bulkops.contrib.http_calls.templates import (
    AddressTemplate,
    BodyTemplate,
    Part,
    SecretPart,
    TemplateError,
    fill,
    parse,
    secrets_of,
)
from bulkops.outbound import NotSendable
from bulkops.outbound.asking import check_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_HEADER = "Idempotency-Key"
MOST_HEADERS = 50
CREDENTIAL = re.compile(
    r"(?:.*[-_])?(?:authorization|cookie|token|secret|password|(?:api|access|auth|subscription)[-_]?key)", re.IGNORECASE
)
"""Names of headers whose value is a secret in itself."""
SAFE_METHODS = frozenset({"GET", "HEAD"})
"""Asking twice changes nothing, by the protocol's own rules."""


@dataclass(frozen=True)
class Request:
    """What is sent for one row; its parts may hold secrets, so it shows none of them."""

    method: str
    address: str
    headers: list[tuple[str, str]]
    body: bytes | None

    def __repr__(self) -> str:
        return f"Request({self.method})"


@dataclass(frozen=True)
class Headers:
    """Names, and values with placeholders."""

    lines: tuple[tuple[str, tuple[Part, ...]], ...]

    @property
    def secrets(self) -> set[str]:
        """Names of the secrets in them."""
        return {name for _, parts in self.lines for name in secrets_of(parts)}

    @property
    def names(self) -> set[str]:
        """In lower case."""
        return {name.lower() for name, _ in self.lines}


def read_headers(text: str) -> Headers:
    """A JSON object, or lines such as `Name: value`. Raises TemplateError."""
    lines = []
    for name, value in _header_pairs(text.strip()):
        parts = parse(value)
        try:
            check_headers([(name, "".join(part for part in parts if isinstance(part, str)).strip())])
        except NotSendable as error:
            raise TemplateError(error.message) from None
        if name.lower() == KEY_HEADER.lower():
            raise TemplateError(f"{KEY_HEADER} is sent by itself, with each item's own key.")
        if CREDENTIAL.fullmatch(name) and all(isinstance(part, str) for part in parts):
            raise TemplateError(
                f"The value of {name} would be stored with the job, and shown: let the site keep it as a secret, and"
                " write {secret:NAME}."
            )
        lines.append((name, parts))
    headers = Headers(tuple(lines))
    if len(headers.names) < len(lines) or len(lines) > MOST_HEADERS:
        raise TemplateError(f"Each header stands once; at most {MOST_HEADERS}.")
    return headers


def _header_pairs(text: str) -> list[tuple[str, str]]:
    if text.startswith("{"):
        try:
            given = json.loads(text)
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise TemplateError("Headers are a JSON object of texts, or lines such as “Name: value”.")
        return [(name, value.strip()) for name, value in given.items()]
    pairs = []
    for line in filter(str.strip, text.splitlines()):
        name, colon, value = line.partition(":")
        if not colon:
            raise TemplateError("Headers are lines such as “Name: value”; one of them has no colon.")
        pairs.append((name.strip(), value.strip()))
    return pairs


@dataclass(frozen=True)
class Call:
    """All that the requests of a job have in common."""

    method: str
    address: AddressTemplate
    headers: Headers
    body: BodyTemplate | None

    @property
    def is_safe(self) -> bool:
        """Whether a repeat can do no harm."""
        return self.method in SAFE_METHODS

    @property
    def secrets(self) -> set[str]:
        """Names of all that are sent."""
        return self.headers.secrets | (self.body.secrets if self.body else set())

    def check_secrets(self) -> None:
        """Raise SecretRefused for one that does not exist or is not for this host; reveals nothing."""
        for name in sorted(self.secrets):
            vault.secret_for(name, self.address.place)

    def prepare(self, item: Mapping[str, Any], key: str) -> tuple[Request, Redactor]:
        """The request of a row, and what knows each secret that its host may have been told, now or earlier.

        Raises RowUnfit, SecretRefused or SecretAway.
        """
        self.check_secrets()
        # Each is revealed once: one that changes meanwhile would be sent and not struck out.
        revealed = {secret.name: secret.reveal() for secret in vault.bound_to(self.address.place)}

        def reveal(part: SecretPart) -> str:
            return vault.basic(revealed[part.name]) if part.basic else revealed[part.name]

        headers = [(name, fill(parts, item, reveal)) for name, parts in self.headers.lines]
        headers += [(name, value) for name, value in self._own_headers(key) if name.lower() not in self.headers.names]
        body = self.body.fill(item, reveal) if self.body else None
        if body is None and not self.is_safe:
            body = b""  # says its length, which some servers insist on
        return Request(self.method, self.address.fill(item), headers, body), Redactor(revealed.values())

    def _own_headers(self, key: str) -> list[tuple[str, str]]:
        own = [("User-Agent", "bulkops"), ("Accept", "application/json, */*;q=0.1")]
        if self.body is not None:
            own.append(("Content-Type", "application/json"))
        if not self.is_safe:
            own.append((KEY_HEADER, key))
        return own

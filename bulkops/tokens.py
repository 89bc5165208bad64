"""API tokens: a user makes, names and revokes them; of a token only its hash is stored.

A token is 256 random bits, so its plain SHA-256 is as hard to guess as itself, and finding it is one look at an index.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

PREFIX = "bulkops_"
"""By which scanners of published code can tell one."""
SHOWN_CHARS = 4
NAME_CHARS = 100
USE_NOTED_EVERY = timedelta(minutes=1)
"""A poll a second must not write a row a second."""


class ApiToken(models.Model):
    """What a program proves with that it acts for a user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=NAME_CHARS)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    ending = models.CharField(max_length=SHOWN_CHARS, editable=False, help_text="Its last characters, to tell it by.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="Exact to a minute.")

    class Meta:
        app_label = "bulkops"
        ordering = ("-created_at", "pk")

    def __str__(self) -> str:
        return f"{self.name} (…{self.ending})"


def make(*, user: Any, name: str) -> tuple[ApiToken, str]:
    """A new token, and its text, which nobody can read again."""
    text = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(user=user, name=name, digest=_digest(text), ending=text[-SHOWN_CHARS:])
    return token, text


def find(text: str) -> ApiToken | None:
    """The token of that text, with its user; one query, and a second where its use is to be noted."""
    token = ApiToken.objects.select_related("user").filter(digest=_digest(text)).first()
    now = timezone.now()
    if token is not None and (token.last_used_at is None or now - token.last_used_at >= USE_NOTED_EVERY):
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()

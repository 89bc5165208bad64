"""The permission to call other systems; there is nothing to store."""

from __future__ import annotations

from django.db import models


class HttpCall(models.Model):  # noqa: DJ008 - there is never one to be shown
    """Carries the permission; it has no table."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = (("call_http_api", "May call HTTP APIs, with the secrets that this site keeps for them"),)

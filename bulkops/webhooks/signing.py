"""Secrets and signatures as Standard Webhooks has them: HMAC-SHA256 over id, moment and the very bytes sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Random; shown to its owner once."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secrets_in_force: list[str], message_id: str, moment: int, body: bytes) -> str:
    """The header: one signature for each secret in force, so that a receiver can change over in its own time.

    `moment` is that of the attempt, in seconds since 1970.
    """
    signed = f"{message_id}.{moment}.".encode() + body
    return " ".join(f"v1,{_hmac(secret, signed)}" for secret in secrets_in_force)


def _hmac(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

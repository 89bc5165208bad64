"""Who asks: a token, a name with a password, or a browser's session, which must prove itself with a CSRF token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from rest_framework.authentication import (
    BaseAuthentication,
    BasicAuthentication,
    CSRFCheck,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import AuthenticationFailed

from bulkops import attempts, tokens
from bulkops.api import logins
from bulkops.api.problems import Problem
from bulkops.conf import conf

if TYPE_CHECKING:
    from rest_framework.request import Request

CHALLENGE = 'Token realm="bulkops", Basic realm="bulkops", charset="UTF-8"'
"""What a 401 says can be sent."""
_WRONG_TOKEN = "a wrong token"  # noqa: S105 - what is counted


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Token …`; `Bearer` is read too."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """The token's user. Raises AuthenticationFailed."""
        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() not in {"token", "bearer"}:
            return None
        token = tokens.find(text.strip())
        if token is None or not token.user.is_active:
            # Nobody guesses a token, so a right one is let in whatever others from there have sent.
            address, most = logins.address_of(request), conf().login_failures * logins.ADDRESS_SHARE
            if seconds := attempts.count(_WRONG_TOKEN, address, most=most, seconds=conf().login_window_seconds):
                raise too_often(seconds)
            raise AuthenticationFailed("This token is not known.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        """For the 401."""
        return CHALLENGE


class PasswordAuthentication(BasicAuthentication):
    """`Authorization: Basic …`, with a limit on failures."""

    def authenticate_credentials(self, userid: str, password: str, request: Any = None) -> tuple[Any, None]:
        """The user. Raises AuthenticationFailed, or a problem for one who failed too often."""
        if "\0" in userid:
            raise AuthenticationFailed("Invalid username/password.")
        if seconds := logins.wait(request, userid):
            raise too_often(seconds)
        user, _ = super().authenticate_credentials(userid, password, request)
        return user, None


class CookieAuthentication(SessionAuthentication):
    """A browser's session."""

    def enforce_csrf(self, request: Request) -> None:
        """Raises a problem of its own."""
        check = CSRFCheck(lambda _request: None)  # type: ignore[arg-type]
        check.process_request(request)
        reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]
        if reason:
            raise Problem("csrf-failed", f"CSRF: {reason}")


def too_often(seconds: int) -> Problem:
    return Problem("rate-limited", f"Too many tries; wait {seconds} s.", retry_after=seconds)


def is_known(user: Any) -> bool:
    """Whether it is somebody, who may act."""
    return isinstance(user, get_user_model()) and bool(user.is_authenticated and user.is_active)

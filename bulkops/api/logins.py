"""Log-ins that fail too often are refused for a while: by page and API together, by name and address, and by address.

Put before Django's own backend, it is asked before a password is looked at; what it counts holds over all processes.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core.exceptions import PermissionDenied, ValidationError
from django.dispatch import receiver

from bulkops import attempts, visitors
from bulkops.conf import conf

if TYPE_CHECKING:
    from django.http import HttpRequest

ADDRESS_SHARE = 10
"""So many times the failures of one name are granted to an address: people share one."""
NETWORK_BITS = 64
_NAME, _ADDRESS = "log-in of a name", "log-in from an address"


def address_of(request: HttpRequest) -> str:
    """Where the request comes from; of the entries of X-Forwarded-For only those of our own proxies are believed.

    One text for one place: without a port; of IPv6 the /64 network, of which anybody has all addresses.
    """
    text = visitors.said_by_proxies(request)
    found = visitors.parsed(text)
    if found is None:
        return text
    return str(found if isinstance(found, IPv4Address) else IPv6Network((found, NETWORK_BITS), strict=False)[0])


def wait(request: HttpRequest, name: str) -> int:
    """How many seconds this name must wait before it is looked at again from there; 0: none."""
    address, most = address_of(request), conf().login_failures
    return max(
        attempts.wait(_NAME, name, address, most=most), attempts.wait(_ADDRESS, address, most=most * ADDRESS_SHARE)
    )


def failed(request: HttpRequest, name: str) -> None:
    """Count a failure."""
    address, most, seconds = address_of(request), conf().login_failures, conf().login_window_seconds
    attempts.count(_NAME, name, address, most=most, seconds=seconds)
    attempts.count(_ADDRESS, address, most=most * ADDRESS_SHARE, seconds=seconds)


class LimitedLogins:
    """A backend of Django's authentication that knows nobody, and stops those that failed too often."""

    def authenticate(self, request: HttpRequest | None, username: str | None = None, **credentials: Any) -> None:
        """Raises PermissionDenied, which keeps the other backends from being asked."""
        name = username or credentials.get(get_user_model().USERNAME_FIELD)
        if request is not None and name is not None and wait(request, str(name)):
            raise PermissionDenied


class LoginForm(AuthenticationForm):
    """The log-in page's, which says how long to wait; the backend's refusal alone looks like a wrong password."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError."""
        name = self.cleaned_data.get("username")
        if self.request is not None and name and (seconds := wait(self.request, str(name))):
            raise ValidationError(f"Too many log-ins failed. Wait {seconds} seconds, then try again.")
        return super().clean()


@receiver(user_login_failed, dispatch_uid="bulkops.api.logins")
def _on_failure(request: HttpRequest | None = None, credentials: dict[str, Any] | None = None, **_: Any) -> None:
    given = credentials or {}
    name = given.get("username") or given.get(get_user_model().USERNAME_FIELD)
    if request is not None and name is not None:
        failed(request, str(name))


@receiver(user_logged_in, dispatch_uid="bulkops.api.logins")
def _on_success(request: HttpRequest | None = None, user: Any = None, **_: Any) -> None:
    if request is not None and user is not None:
        attempts.forget(_NAME, user.get_username(), address_of(request))

"""What a new embedded database is given, so that the first page has something to show: users and the demo's data."""

import secrets

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import transaction

from ticketing import demo

OPERATOR, ORDINARY = "demo", "demo2"


def welcome() -> tuple[str, dict[str, int]] | None:
    """Fill a database that has no users yet; the users' password and what was loaded, or None if it was in use."""
    with transaction.atomic():
        if User.objects.exists():
            return None
        password = settings.DEMO_PASSWORD or secrets.token_urlsafe(9)
        User.objects.create_superuser(OPERATOR, email="", password=password)
        ordinary = User.objects.create_user(ORDINARY, password=password)
        # Enough to run the demo's operations, not to remove what they work on.
        allowed = Permission.objects.filter(content_type__app_label="ticketing").exclude(codename__startswith="delete_")
        ordinary.user_permissions.set(allowed)
        return password, demo.load()


def present() -> bool:
    """Whether the operator of the first start is still there."""
    return User.objects.filter(username=OPERATOR).exists()

"""The test settings with another user model."""

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.customuser"]  # noqa: F405
AUTH_USER_MODEL = "customuser.Person"

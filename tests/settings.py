"""The project's settings with an app of sample operations, for the test run and the processes it starts."""

from project.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.sample"]  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Never made: what `up` collects in a checkout, WhiteNoise would read for each client of a test.
STATIC_ROOT = BASE_DIR / ".staticfiles-of-tests"  # noqa: F405

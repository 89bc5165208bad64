"""The project's settings with an app of sample operations, for the test run and the processes it starts."""

from project.embedded.places import choose_places
from project.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.sample"]  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Never made: what `up` collects in a checkout, WhiteNoise would read for each client of a test.
STATIC_ROOT = BASE_DIR / ".staticfiles-of-tests"  # noqa: F405
if "EMBEDDED" in (_database := DATABASES["default"]):  # noqa: F405
    # A server beside the development's: nobody misses its data after a power cut, so nothing waits for the disk.
    _home = _database["EMBEDDED"]["places"].home
    _places = choose_places(_home.with_name(f"{_home.name}-tests"))
    _database |= {"HOST": str(_places.sockets), "PORT": _places.port}
    _database["EMBEDDED"] |= {"places": _places, "forgetful": True}

"""The tests' settings for a server that a program asks a hundred times a second, right and wrong."""

from tests.settings import *  # noqa: F403

BULKOPS = {
    **BULKOPS,  # noqa: F405
    "api_submits_per_minute": 1_000_000,
    "api_anonymous_per_minute": 1_000_000,
    "login_failures": 100_000,
}

"""System checks about the environment that the project runs in."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, register


@register()
def psycopg2_is_the_driver(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:  # noqa: ARG001
    """Django takes psycopg 3 as soon as it can be imported, without being asked to."""
    if find_spec("psycopg") is None:
        return []
    return [
        Error(
            "psycopg 3 is installed, and Django prefers it to psycopg2, for which the hot path is written.",
            hint="pip uninstall psycopg psycopg-binary psycopg-pool",
            id="project.E001",
        )
    ]

#!/usr/bin/env python3
"""Django's command line for this project: puts `site/` on the path and tells a broken environment in one line."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def main() -> None:
    """Run one management command; exit 2 with one line where the environment, not the code, is at fault."""
    # A path entry, because `site` can never be a package: the standard library has a module of that name.
    sys.path[:0] = [str(ROOT), str(ROOT / "site")]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    if not os.environ.get("SECRET_KEY"):
        # A checkout without a key is somebody's development. A web server never passes here, so a deployment that
        # forgot its key refuses to serve instead of serving in debug mode.
        os.environ.setdefault("DEBUG", "1")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
        from django.db.utils import OperationalError
    except ImportError as error:
        refuse(
            f"{error}: this Python lacks the project's packages. "
            "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt, then use .venv/bin/python"
        )
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if "--traceback" in sys.argv:
            raise
        refuse(str(error))
    except OperationalError as error:
        # An error code means that a database answered, so it is the code's doing and worth its traceback.
        if getattr(error.__cause__, "pgcode", None) or "--traceback" in sys.argv:
            raise
        refuse(f"the database can't be reached: {error}")


def refuse(reason: str) -> None:
    """Say why in one line and leave with the exit code for wrong use."""
    print(f"manage.py: {' '.join(reason.split())}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()

"""The command: reads its arguments, makes the database, and only then lets Django load."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "site"))

from tests.bench import peers_environment  # noqa: E402 - `project` is found below site
from tests.bench.database import owned  # noqa: E402
from tests.bench.measures import NAMES  # noqa: E402

ROUNDS, QUICK_ROUNDS, LEAST_ROUNDS = 5, 3, 5


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """What was asked for; wrong use ends the program with status 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what things cost.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; none: all")
    parser.add_argument("--rounds", type=int, help=f"how often each contestant plays (default {ROUNDS})")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds with short windows: a look, no figure"
    )
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    parser.add_argument("--install-peers", action="store_true", help="install what `peers` compares with, beside")
    parser.add_argument("--seed", type=int, default=None, help="for the order in the rounds")
    asked = parser.parse_args(given)
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
    asked.rounds = asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS)
    if asked.readme and (asked.names or asked.quick or asked.rounds < LEAST_ROUNDS):
        parser.error(f"README gets the table of a whole run of at least {LEAST_ROUNDS} rounds")
    return asked


def main() -> int:
    asked = arguments()
    if asked.install_peers:
        peers_environment.install()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    # In a shell's background it is ignored, and so would it be by all that is started here and told by it to stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with owned() as mine:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
            "DATABASE_URL": mine.url,
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "BULKOPS_SSL_REDIRECT": "0",
        }
        import django
        from django.core.management import call_command
        from django.db import connections

        django.setup()
        logging.getLogger("bulkops").setLevel(logging.WARNING)  # each submission would be a line
        call_command("migrate", verbosity=0)
        from tests.bench.running import run

        try:
            return run(asked, mine)
        finally:
            connections.close_all()


if __name__ == "__main__":
    sys.exit(main())

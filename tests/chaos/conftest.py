"""What the tests share that harm the database itself."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.databases import OwnDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def own_database(django_db_blocker: Any) -> Iterator[OwnDatabase]:
    """A new, migrated PostgreSQL; it is Django's default database while the module's tests run.

    Nothing here skips: where no PostgreSQL can be started, the tests fail.
    """
    folder = Path(tempfile.mkdtemp(prefix="bulkops-chaos-", dir="/tmp"))  # pytest's own are closed to other accounts
    folder.chmod(0o755)
    database = OwnDatabase(folder / "home")
    database.start()
    with django_db_blocker.unblock(), database.used():
        database.empty()
        yield database
    database.remove()
    shutil.rmtree(folder)

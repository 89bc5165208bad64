"""A crash of the server is told from an item's own failure, also where the driver has not noticed it yet."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from django.db import connection

from bulkops.engine.faults import Fault, classify
from tests.chaos.databases import patiently

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.databases import OwnDatabase

pytestmark = pytest.mark.slow

SESSIONS, MOST_CRASHES = 8, 20


@pytest.fixture(autouse=True)
def _recovered(own_database: OwnDatabase) -> Iterator[None]:
    """A server that is asked to stop while it recovers from a crash may never do so."""
    yield
    patiently(connection.ensure_connection)


def sessions() -> list[Any]:
    """Sessions of their own, outside any transaction."""
    connection.close()
    patiently(connection.ensure_connection)
    given = {name: connection.get_connection_params()[name] for name in ("dbname", "user", "host", "port")}
    drivers = [psycopg2.connect(**given) for _ in range(SESSIONS)]
    for driver in drivers:
        driver.autocommit = True
    return drivers


def ask(driver: Any) -> psycopg2.Error | None:
    """What comes of a statement."""
    try:
        with driver.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        return error
    return None


def test_whoever_speaks_to_a_crashed_server_has_lost_the_connection(own_database: OwnDatabase) -> None:
    unnoticed = crashes = 0
    # How a driver meets a crash is a matter of milliseconds: until one has not noticed it.
    while not unnoticed and crashes < MOST_CRASHES:
        crashes += 1
        first, *others = sessions()
        os.kill(first.info.backend_pid, signal.SIGKILL)
        for driver in others:
            time.sleep(0.002)
            if (error := ask(driver)) is not None:
                unnoticed += not driver.closed
                assert classify(error, driver) is Fault.CONNECTION
    assert unnoticed


def test_a_living_connection_is_not_lost_for_another_ones_sake(own_database: OwnDatabase) -> None:
    mine, other, *_ = sessions()
    with mine.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [other.info.backend_pid])
    error = ask(other)
    assert error is not None
    assert classify(error, other) is Fault.CONNECTION
    assert classify(error, mine) is Fault.ITEM
    assert ask(mine) is None

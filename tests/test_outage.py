"""A database that is away is told from an error of our own making."""

from __future__ import annotations

import logging
import os
import socket

import pytest
from django.db import DatabaseError, connection

from bulkops.outage import Outage, is_away

pytestmark = pytest.mark.django_db(transaction=True)


def error_of(sql):
    with pytest.raises(DatabaseError) as caught, connection.cursor() as cursor:
        cursor.execute(sql)
    return caught.value


def test_a_session_that_the_server_ends_is_away():
    assert is_away(error_of("SELECT pg_terminate_backend(pg_backend_pid())"))
    connection.close()


def test_a_server_that_cuts_the_line_is_away():
    connection.ensure_connection()
    line = socket.socket(fileno=os.dup(connection.connection.fileno()))
    line.shutdown(socket.SHUT_RDWR)
    line.close()
    assert is_away(error_of("SELECT 1"))
    connection.close()


@pytest.mark.parametrize("sql", ["SELECT nonsense", "SELECT 1/0", "SELECT 'x'::int"])
def test_a_wrong_statement_is_our_own(sql):
    assert not is_away(error_of(sql))


def test_an_outage_is_told_once_and_its_end_too(caplog):
    caplog.set_level("INFO", logger="test")
    outage = Outage(logging.getLogger("test"), "worker=1")
    outage.over()
    for _ in range(3):
        outage.met(DatabaseError("refused\n\tIs it running?"))
    outage.over()
    outage.over()
    away, back = caplog.messages
    assert away == "worker=1 event=database_away DatabaseError: refused Is it running?"
    assert back == "worker=1 event=database_back"

"""A worker's way to the queue: it outlives whatever happens to its connection while it waits."""

from __future__ import annotations

import os
import socket

import pytest
from django.db import connection

from bulkops import dispatch
from bulkops.cluster import inbox

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_connection_that_breaks_without_a_word_while_it_waits_is_opened_anew(transactional_db, monkeypatch):
    looks: list[int] = []

    monkeypatch.setattr(inbox, "DATABASE_AWAY_SECONDS", 0)
    box = inbox.Inbox(dispatch.queue_keys(["default"]), lambda: len(looks) > 2 or bool(looks.append(1)))
    box.leader = os.getppid()
    monkeypatch.setattr(box, "_wait", lambda: (wire_cut(), inbox.Inbox._wait(box)))
    assert box.get() == inbox.STOP
    assert len(looks) == 3
    connection.close()


def wire_cut() -> None:
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)

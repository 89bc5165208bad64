"""Somebody restarts the embedded server by hand while its users, who start it themselves where it is away, go on."""

import time

import psycopg2
import pytest

pytestmark = pytest.mark.slow

USERS = 4
LONGEST_WAIT_SECONDS = 20
"""Of a user: a start and a stop, on a busy machine; a start that fails is tried again for a minute."""


def test_a_restart_by_hand_keeps_no_user_waiting(server, child, open_connection):
    def use():
        longest, ends = 0.0, time.monotonic() + 3
        while time.monotonic() < ends:
            began = time.monotonic()
            try:
                open_connection(server).close()
            except psycopg2.OperationalError:
                server.ensure()
            longest = max(longest, time.monotonic() - began)
        return longest

    users = [child(use) for _ in range(USERS)]
    for mode in ("immediate", "fast", "immediate"):
        time.sleep(0.3)
        # It may fail, because a user was faster than its own start: then that user's server is the one.
        places = server.places
        restart = ("-D", places.data, "-l", places.log, "-t", "2", "-m", mode, "restart")
        server.programs.run("pg_ctl", *restart, check=False)
    assert max(user.result() for user in users) < LONGEST_WAIT_SECONDS
    server.ensure()
    open_connection(server).close()

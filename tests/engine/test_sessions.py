"""What the sessions of workers and leaders are called, and what limits they have, as the server itself shows them."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.signals import connection_created
from django_q.tasks import async_task

from bulkops import Operation, dispatch, register, registry, services
from bulkops.cluster.inbox import Inbox
from bulkops.engine import sessions
from project.embedded.places import choose_places
from project.embedded.server import EmbeddedServer

pytestmark = pytest.mark.django_db(transaction=True)

IDLE = "idle_in_transaction_session_timeout"


@pytest.fixture(autouse=True)
def _as_before(transactional_db):
    yield
    connection_created.disconnect(dispatch_uid="bulkops-sessions")
    sessions._settings.clear()
    sessions._limited = False
    connection.close()


def show(name: str, using=connection) -> str:
    with using.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return cursor.fetchone()[0]


@pytest.fixture
def reconnect():
    """Open a new session; return the statements that this took."""

    def reconnect() -> list[str]:
        said: list[str] = []

        def note(execute, sql, params, many, context):
            said.append(sql)
            return execute(sql, params, many, context)

        connection.close()
        with connection.execute_wrapper(note):
            connection.ensure_connection()
        return said

    return reconnect


def test_a_workers_session_is_named_and_limited_in_one_round_trip(reconnect):
    without = reconnect()
    sessions.of_worker(7, 3)
    assert len(reconnect()) == len(without) + 1
    assert show("application_name") == "bulkops 7/3"
    longest = max(operation.item_timeout_seconds for operation in registry.every())
    assert show(IDLE) == f"{longest + sessions.IDLE_MARGIN_SECONDS:.0f}s"


def test_a_later_worker_of_the_same_process_is_named_anew(reconnect):
    for worker in (3, 4):
        sessions.of_worker(7, worker)
        reconnect()
        assert show("application_name") == f"bulkops 7/{worker}"


def test_a_leader_waits_for_a_lock_for_a_second_only_and_may_stand_idle(reconnect):
    usual = show(IDLE)
    sessions.of_leader()
    reconnect()
    assert (show("lock_timeout"), show(IDLE)) == ("1s", usual)


@pytest.mark.parametrize(("limit", "shown"), [(0, None), (3600.5, "3631s"), (10**9, "2000000s")])
def test_the_longest_item_sets_the_limit_and_one_without_a_limit_leaves_it_to_the_server(reconnect, limit, shown):
    class Long(Operation):
        name = "long"
        item_timeout_seconds = limit

        def process(self, item, params, context): ...

    usual = show(IDLE)
    register(Long)
    try:
        sessions.of_worker(7, 3)
        reconnect()
        assert show(IDLE) == (shown or usual)
    finally:
        registry.unregister("long")


def test_a_task_of_the_projects_own_may_keep_a_transaction_idle_and_a_turn_may_not(owner, reconnect):
    usual = show(IDLE)
    sessions.of_worker(7, 3)
    reconnect()
    limited = show(IDLE)
    inbox = Inbox(dispatch.queue_keys(["default"]), lambda: False)
    async_task("math.sqrt", 4)
    inbox.get()
    assert show(IDLE) == usual != limited
    reconnect()  # as django-q2's worker may before each task
    assert show(IDLE) == usual
    services.submit(user=owner, operation="note", items=["a"])
    inbox.get()
    assert show(IDLE) == limited


class OnTcp(EmbeddedServer):
    """A private server that listens on TCP too."""

    def __init__(self, home: Path, tcp_port: str) -> None:
        super().__init__(choose_places(home))
        self._tcp_port = tcp_port

    def _options(self) -> dict[str, str | Path]:
        options = super()._options()
        with Path(options["hba_file"]).open("a") as access:
            access.write("host all bulkops 127.0.0.1/32 trust\n")
        return options | {"listen_addresses": "127.0.0.1", "port": self._tcp_port}


@pytest.fixture
def tcp_settings():
    """Django's settings of a database that is reached by TCP."""
    folder = Path(tempfile.mkdtemp(prefix="bulkops-test-", dir="/tmp"))
    folder.chmod(0o755)  # the server may run under another account
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = OnTcp(folder / "home", port)
    server.places.__dict__["port"] = port
    server.ensure()
    yield {**connection.settings_dict, "HOST": "127.0.0.1", "PORT": port, "NAME": "bulkops", "USER": "bulkops"}
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_over_tcp_both_ends_notice_a_vanished_other_within_a_minute(tcp_settings):
    sessions.of_worker(7, 3)
    wrapper = DatabaseWrapper({**tcp_settings, "OPTIONS": {}}, alias="default")
    wrapper.ensure_connection()
    try:
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        assert [show(name, wrapper) for name in names] == ["30", "10", "3", "60000"]
        with socket.socket(fileno=os.dup(wrapper.connection.fileno())) as line:
            kept = [
                line.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            ]
            assert kept == [30, 10, 3, 60_000]
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    finally:
        wrapper.close()

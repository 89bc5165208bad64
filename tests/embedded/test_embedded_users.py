"""The embedded server is stopped only when nobody else uses it, and counts no dead user."""

import time

import pytest

pytestmark = pytest.mark.slow


def stay(server, note):
    """Join, say so, and stay."""
    server.join()
    note.touch()
    time.sleep(60)


def wait_for(path):
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_another_process_uses_goes_on(server, child, folder, connect):
    other = child(lambda: stay(server, folder / "joined"))
    wait_for(folder / "joined")
    assert server.stop_if_unused() is False
    connect(server)
    other.kill()


def test_a_user_that_was_killed_does_not_count(server, child, folder):
    other = child(lambda: stay(server, folder / "joined"))
    wait_for(folder / "joined")
    other.kill()
    assert server.stop_if_unused() is True
    assert not server.places.pid_file.exists()


def test_asking_in_vain_keeps_ones_own_place(server, child, folder):
    """Converting a lock in vain drops it: it must be taken back."""
    first = child(lambda: stay(server, folder / "first"))
    wait_for(folder / "first")
    assert server.stop_if_unused() is False
    first.kill()
    assert child(server.stop_if_unused).result() is False
    assert server.stop_if_unused() is True


def test_a_fork_of_a_user_is_a_user_of_its_own(server, child, folder):
    server.join()
    fork = child(lambda: stay(server, folder / "forked"))
    wait_for(folder / "forked")
    assert server.stop_if_unused() is False
    fork.kill()
    assert server.stop_if_unused() is True


def test_nothing_to_stop_is_no_error(make_server, folder):
    assert make_server().stop_if_unused() is False
    assert not (folder / "home").exists()


def test_coming_and_going_at_once_never_meets_a_stopped_server(make_server, child, open_connection):
    server = make_server()

    def come_and_go() -> int:
        server.join()
        server.ensure()
        connection = open_connection(server)
        time.sleep(0.02)
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        connection.close()
        server.stop_if_unused()
        return 1

    for _ in range(5):
        crowd = [child(come_and_go) for _ in range(4)]
        assert sum(each.result() for each in crowd) == 4

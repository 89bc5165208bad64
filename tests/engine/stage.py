"""A stage on which players act one step at a time: each is a thread that moves only when it is told to."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from django.db import connection, connections
from psycopg2 import extensions

if TYPE_CHECKING:
    from collections.abc import Callable


PATIENCE_SECONDS = 60
"""For one step; only a thread that waits for a lock which nobody will release takes so long."""
LOOK_SECONDS = 0.005
"""How soon it is asked whether one that does not come to a stand waits for a lock."""

_here = threading.local()


class Killed(BaseException):
    """The process is gone: nothing of what unwinds reaches the database."""


def stand_still() -> None:
    """Called in an author's code: the worker that runs it may be left here, or killed."""
    if (player := present_player()) is not None:
        player.pause()


def present_player() -> Player | None:
    return getattr(_here, "player", None)


class Stage:
    """Where players stand: lends them database sessions, and sees who waits for whom."""

    def __init__(self) -> None:
        self._free: list[Any] = []
        self._looking: Any = None
        self.players: list[Player] = []

    @property
    def locked(self) -> bool:
        """Whether somebody stands still inside a transaction, so that others may have to wait."""
        return any(player.locks or player.waits for player in self.players)

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits."""
        return any(player.waits for player in self.players)

    def lend(self, wrapper: Any) -> Any:
        """A session outside any transaction, whose commits do not wait for the disk."""
        return self._free.pop() if self._free else self._open(wrapper)

    def _open(self, wrapper: Any) -> Any:
        driver = type(wrapper).get_new_connection(wrapper, wrapper.get_connection_params())
        driver.autocommit = True
        with driver.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off")
        return driver

    def give_back(self, driver: Any) -> None:
        """A session costs more than a slice, so it is used again. What it had begun is rolled back."""
        if driver is not None and not driver.closed:
            driver.rollback()
            self._free.append(driver)

    def _ask(self, question: str, pid: int) -> Any:
        if self._looking is None:
            self._looking = self._open(connections["default"])
        with self._looking.cursor() as cursor:
            cursor.execute(question, [pid])
            return cursor.fetchone()[0]

    def waits(self, driver: Any) -> bool:
        """Whether a session waits for a lock that another one has."""
        return driver is not None and self._ask("SELECT cardinality(pg_blocking_pids(%s)) > 0", driver.info.backend_pid)

    def cancel(self, driver: Any) -> None:
        """End what the session waits for."""
        self._ask("SELECT pg_cancel_backend(%s)", driver.info.backend_pid)

    def settle(self) -> None:
        """Wait until each player stands still, or waits for a lock."""
        for player in list(self.players):
            if player.waits:
                player.stop()

    def leave(self, player: Player) -> None:
        """It is over, or dead."""
        if player in self.players:
            self.players.remove(player)

    def clear(self) -> None:
        """Everybody goes home, those that wait first."""
        for player in self.players:
            player.dead = True
        for player in sorted(self.players, key=lambda player: not player.waits):
            player.die()

    def close(self) -> None:
        """End all sessions."""
        for driver in (*self._free, self._looking):
            if driver is not None:
                driver.close()
        self._free.clear()
        self._looking = None


class Player:
    """Runs `play` in a thread, a step at a time."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        stage.players.append(self)
        self.dead = False
        self.over = False
        self.locks = False
        """Stands still inside a transaction."""
        self.waits = False
        """Waits for a lock of one that stands inside a transaction."""
        self.error: BaseException | None = None
        self._inside = False
        self._thread: threading.Thread | None = None
        self._go = threading.Semaphore(0)
        self._stood = threading.Semaphore(0)
        self._wrapper: Any = None
        self._driver: Any = None

    def play(self) -> None:
        """What it does."""
        raise NotImplementedError

    def step(self, *, inside: bool = False) -> None:
        """Go on until before the next transaction; if `inside`, before the next statement or COMMIT.

        While one waits, nobody begins a transaction: which of two that wait for the same lock gets it is not the
        same in every play.
        """
        if self.over or (self.stage.waited_for and not self.locks and not self.waits):
            return
        if not self.waits:
            self._inside = inside
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            else:
                self._go.release()
            self.stop()
        self.stage.settle()

    def stop(self) -> None:
        """Wait until it stands still, or waits itself."""
        others = any(player.locks or player.waits for player in self.stage.players if player is not self)
        ends = time.monotonic() + PATIENCE_SECONDS
        while not self._stood.acquire(timeout=LOOK_SECONDS if others else PATIENCE_SECONDS):
            if self.stage.waits(self._driver):
                self.waits = self._inside = True
                return
            assert time.monotonic() < ends, "it does not come to a stand"
        self.waits = False
        if self.over:
            self.locks = False
            self.stage.leave(self)
        if self.error is not None and not self.dead:
            raise self.error

    def die(self) -> None:
        """As by SIGKILL: its transaction is rolled back, and it writes nothing more."""
        self.dead = True
        self.stage.leave(self)
        if self._thread is None or self.over:
            return
        if self.waits:
            self.stage.cancel(self._driver)
        else:
            driver, self._driver = self._driver, None
            self._wrapper.connection = None
            self.stage.give_back(driver)
            self._go.release()
        self._thread.join(PATIENCE_SECONDS)
        assert self.over, "it does not die"
        self.stage.settle()

    def pause(self, *, locks: bool = False) -> None:
        """Stand still here until it is told to go on."""
        if not self.dead:
            self.locks = locks
            self._stood.release()
            self._go.acquire()
            self.locks = False
        if self.dead:
            raise Killed

    def pause_before_a_statement(self) -> None:
        """Stand still if it would begin a transaction, or where the steps are small."""
        begins = self.dead or connection.connection.status == extensions.STATUS_READY
        if begins or self._inside:
            self.pause(locks=not begins)

    def _run(self) -> None:
        _here.player = self
        wrapper = self._wrapper = connections["default"]
        wrapper.get_new_connection = self._connect
        commit = wrapper._commit

        def commit_stepwise() -> None:
            if self.dead or (self._inside and wrapper.connection.status != extensions.STATUS_READY):
                self.pause(locks=True)
            commit()

        wrapper._commit = commit_stepwise
        try:
            with wrapper.execute_wrapper(self._before):
                self.play()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            driver, self._driver = self._driver, None
            wrapper.connection = None
            self.stage.give_back(driver)
            self.over = True
            self._stood.release()

    def _connect(self, _: Any) -> Any:
        if self.dead:
            raise Killed
        self._driver = self.stage.lend(self._wrapper)
        return self._driver

    def _before(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.pause_before_a_statement()
        return execute(sql, params, many, context)

"""Starts and stops the embedded PostgreSQL, whoever asks, however many ask at once, whatever was killed before."""

import functools
import logging
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from project.embedded.locks import Users, exclusive
from project.embedded.places import EmbeddedPostgresError, Places, own_folder, write_whole
from project.embedded.programs import Programs, caller, find_programs

logger = logging.getLogger("bulkops.embedded")

START_SECONDS = 60
LONGEST_LOG_BYTES = 10_000_000

# Why a start may fail that will soon succeed: an old server or somebody else's is in the way, or was stopped meanwhile.
PASSING = "pre-existing shared memory|already exists|shutdown request"

ACCEPTS, REJECTS = 0, 1  # pg_isready's exit codes; anything else: no answer


@functools.cache
def server_for(places: Places, programs: str, *, forgetful: bool = False) -> "EmbeddedServer":
    """The one object of this process for the server that lives there."""
    return EmbeddedServer(places, programs, forgetful=forgetful)


class EmbeddedServer:
    """One private server: its role and its database are both named bulkops.

    A forgetful one never waits for the disk. Whatever kills its processes, it keeps what was committed; a power cut may
    cost all of its data.
    """

    def __init__(self, places: Places, programs: str = "", *, forgetful: bool = False) -> None:
        self.places = places
        self.forgetful = forgetful
        self.users = Users(places.users)
        self._chosen = programs
        self._announced = False

    @functools.cached_property
    def programs(self) -> Programs:
        """Looked for at the first need, because looking runs a program."""
        return find_programs(self.places, self._chosen)

    def join(self) -> None:
        """Count this process among the server's users, before it connects."""
        self._make_home()
        self.users.join()

    def ensure(self) -> None:
        """Come back when the server answers; start it where it doesn't."""
        self._make_home()
        with exclusive(self.places.lock):
            state = self._wait_while_rejecting()
            if state != ACCEPTS:
                self._forget_dead_server()
                if self._runs():  # without a socket to reach it by (a cleaned /tmp): only a new start makes one
                    self._pg_ctl("stop", "-m", "fast")
                self._start()
            if state != ACCEPTS or not self._announced:
                self._announce("runs already" if state == ACCEPTS else "started")

    def stop(self) -> None:
        """Stop the server, whoever is connected."""
        if not self.places.pid_file.exists():
            return
        with exclusive(self.places.lock):
            self._forget_dead_server()  # pg_ctl signals whatever process the pid file names
            if self._runs():
                self._pg_ctl("stop", "-m", "fast")

    def stop_if_unused(self) -> bool:
        """Stop the server unless another process has connected and is still alive; whether it was stopped."""
        if not self.places.pid_file.exists():
            return False
        with self.users.alone() as alone:
            if alone:
                self.stop()
        return alone

    def _announce(self, what: str) -> None:
        self._announced = True
        programs = self.programs
        logger.info(
            "PostgreSQL %s (%s, %s) %s, data in %s",
            programs.version, programs.origin, programs.folder, what, self.places.data,
        )  # fmt: skip

    @property
    def _owner(self) -> tuple[int, int] | None:
        account = self.programs.account
        return (account.pw_uid, account.pw_gid) if account else None

    def _make_home(self) -> None:
        # Another account's server must walk through; its folders inside are closed.
        own_folder(self.places.home, 0o711 if os.geteuid() == 0 else 0o700)

    def _wait_while_rejecting(self) -> int:
        """A server that recovers from a crash answers "not yet": it needs patience, not a restart."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            state, _ = self.programs.run(
                "pg_isready", "-q", "-h", self.places.sockets, "-p", self.places.port, "-d", "postgres", check=False
            )
            if state != REJECTS or time.monotonic() > deadline:
                return state
            time.sleep(0.1)

    def _pg_ctl(self, verb: str, *arguments: str | Path, check: bool = True) -> tuple[int, str]:
        return self.programs.run("pg_ctl", "-D", self.places.data, "-w", *arguments, verb, check=check)

    def _runs(self) -> bool:
        return self.places.data.exists() and self._pg_ctl("status", check=False)[0] == 0

    def _start(self) -> None:
        places = self.places
        passable = 0o711 if self._owner else 0o700
        if places.sockets.parent != places.home:
            own_folder(places.sockets.parent, passable)
        own_folder(places.sockets, 0o700, self._owner)
        if places.major() is None:
            self._create()
        self._prepare_log()
        options = shlex.join(f for name, value in self._options().items() for f in ("-c", f"{name}={value}"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._forget_dead_server()
            logged = places.log.stat().st_size
            code, said = self._pg_ctl("start", "-l", places.log, "-t", "50", "-o", options, check=False)
            # Somebody who starts it by hand does not know our lock, and may be faster.
            if code == 0 or self._wait_while_rejecting() == ACCEPTS:
                return
            # After a kill -9 the old server's backends may hold its shared memory for a moment.
            told = places.log.read_bytes()[logged:].decode(errors="replace")
            if time.monotonic() > deadline or not re.search(PASSING, told):
                raise EmbeddedPostgresError(f"PostgreSQL did not start: {said.strip()}\n{told[-1500:]}")
            time.sleep(0.5)

    def _options(self) -> dict[str, str | Path]:
        """Told on the command line, so that a data folder made by an older version of this code follows too."""
        readable = 0o644 if self._owner else 0o600
        access, names = self.places.home / "pg_hba.conf", self.places.home / "pg_ident.conf"
        # One line each: this account, proved by the kernel, is bulkops; nobody else is anybody.
        write_whole(access, "local all bulkops peer map=bulkops\n", readable)
        write_whole(names, f'bulkops "{caller()}" bulkops\n', readable)
        return {
            "listen_addresses": "",
            "unix_socket_directories": '"{}"'.format(str(self.places.sockets).replace('"', '""')),
            "unix_socket_permissions": "0700",
            "port": self.places.port,
            "hba_file": access,
            "ident_file": names,
            "max_connections": "200",
            **({"fsync": "off", "full_page_writes": "off"} if self.forgetful else {}),
        }

    def _create(self) -> None:
        """Make the cluster and its database beside the real place: what is killed half-way never counts."""
        draft = self.places.data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        own_folder(draft, 0o700, self._owner)
        locale = ["--locale=C.UTF-8"]
        if self.programs.major >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self.programs.run("initdb", "-D", draft, "-U", "bulkops", "-A", "peer", "-E", "UTF8", *locale)
        self.programs.run("postgres", "--single", "-D", draft, "postgres", stdin="CREATE DATABASE bulkops\n")
        draft.rename(self.places.data)

    def _prepare_log(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        handle = os.open(self.places.log, flags, 0o600)
        try:
            if os.fstat(handle).st_size > LONGEST_LOG_BYTES:
                os.ftruncate(handle, 0)
            if self._owner:
                os.fchown(handle, *self._owner)
        finally:
            os.close(handle)

    def _forget_dead_server(self) -> None:
        """Name a dead process in the pid file where the one in it is a zombie or not this server.

        That happens after a kill -9 under an init that never reaps, and in a container that was started again. The
        file's other lines stay: by them the next server makes sure that no old backend still holds the shared memory.
        """
        try:
            first, rest = self.places.pid_file.read_text().split("\n", 1)
            pid = int(first)
        except (FileNotFoundError, ValueError):
            return
        if not _is_alive(pid) or _is_server_of(pid, self.places.data):
            return
        corpse = subprocess.Popen(["true"])  # noqa: S607 - any program that ends
        corpse.wait()
        # The file lies in a folder of the server's account, which root must not be led out of by a link.
        handle = os.open(self.places.pid_file, os.O_WRONLY | os.O_NOFOLLOW)
        with os.fdopen(handle, "w") as file:
            file.truncate()
            file.write(f"{corpse.pid}\n{rest}")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_server_of(pid: int, data: Path) -> bool:
    """Whether the living process is the server of this data folder; where that can't be seen, it is taken to be.

    By its command line, which everybody may read; its working folder needs a right that root in a container lacks.
    """
    process = Path("/proc") / str(pid)
    try:
        if (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        arguments = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return not Path("/proc/self").exists() or process.exists()
    return os.fsencode(data) in arguments

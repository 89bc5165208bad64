"""`manage.py up`: the database, the migrations, the static files, web and worker, on this machine, until Ctrl-C."""

import argparse
import contextlib
import errno
import http.client
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, connections
from django.db.utils import OperationalError

from project.embedded import stop_if_unused
from project.embedded.places import DATABASE_ENGINE, EmbeddedPostgresError
from project.supervisor import Process, Supervisor, read_procfile

HOST = "127.0.0.1"
TICK_SECONDS = 0.1
PROBE_SECONDS = 0.5
PATIENCE_SECONDS = 30
PROBES = ("/healthz", "/healthz/workers", "/")


class Command(BaseCommand):
    """Sets everything up, runs it in the foreground, and takes it down again."""

    help = "Run everything on this machine until Ctrl-C: database, migrations, static files, web and worker."

    def add_arguments(self, parser: CommandParser) -> None:
        """The port, the workers, and whether to show something at once."""
        parser.add_argument("--port", type=_port, default=settings.PORT, help="default: $PORT, else 8000")
        parser.add_argument("--workers", type=_workers, help="worker processes; default: $BULKOPS_WORKERS, else 2")
        parser.add_argument("--demo", action="store_true", help="start a job of the user demo at once")

    def handle(self, *args: Any, port: int, workers: int | None, demo: bool, **options: Any) -> None:
        """Run until a signal says stop; everything that was started is stopped, also where setting up fails."""
        self.signals = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                signal.signal(number, self._note_signal)
        _claim(port)
        try:
            for step in (self._connect, self._migrate, self._fill, self._collect):
                step()
                if self.signals:
                    return
            self._serve(port, workers, demo=demo)
        finally:
            self._release()

    def _release(self) -> None:
        try:
            if stop_if_unused():
                self._say("the embedded database is stopped")
        except EmbeddedPostgresError as error:
            self.stderr.write(f"the embedded database was not stopped: {error}")

    def _note_signal(self, *_: object) -> None:
        self.signals += 1

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _connect(self) -> None:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            reason = " ".join(str(error).split())
            raise CommandError(f"the database can't be reached: {reason}", returncode=2) from None

    def _migrate(self) -> None:
        call_command("migrate", interactive=False, verbosity=0)

    def _collect(self) -> None:
        settings.STATIC_ROOT.mkdir(exist_ok=True)
        call_command("collectstatic", interactive=False, verbosity=0)

    def _fill(self) -> None:
        """The users and the data of a newcomer's first start; never in a database that somebody named."""
        from project.newcomers import OPERATOR, ORDINARY, present, welcome

        if settings.DATABASES["default"]["ENGINE"] != DATABASE_ENGINE:
            return
        if not (given := welcome()):
            if present():
                another = f"manage.py changepassword {OPERATOR} sets another"
                self._say(f"Log in as {OPERATOR} or {ORDINARY}, with the password of the first start; {another}")
            return
        password, loaded = given
        self._say(f"Demo data: {', '.join(f'{count} {what}' for what, count in loaded.items())}")
        self._say(f"Log in as {OPERATOR} (superuser) or {ORDINARY} (ordinary); password: {password}")

    def _serve(self, port: int, workers: int | None, *, demo: bool) -> None:
        root = Path(settings.BASE_DIR)
        environment = {
            **os.environ,
            # `python` and `gunicorn` in the Procfile are those of this Python's environment.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "BULKOPS_HOST": HOST,
            "PORT": str(port),
            "PYTHONUNBUFFERED": "1",
        }
        if workers:
            environment["BULKOPS_WORKERS"] = str(workers)
        commands = read_procfile(root / "Procfile", ("web", "worker"))
        supervisor = Supervisor([Process(name, c, root, environment) for name, c in commands.items()], self._say)
        connections.close_all()
        try:
            supervisor.start()
            self._watch(supervisor, port, demo=demo)
        finally:
            asked = self.signals
            supervisor.stop(hurry=lambda: self.signals > asked)

    def _watch(self, supervisor: Supervisor, port: int, *, demo: bool) -> None:
        ready, started = False, time.monotonic()
        probe_at, complain_at = started, started + PATIENCE_SECONDS
        while not self.signals:
            supervisor.tick()
            time.sleep(TICK_SECONDS)
            now = time.monotonic()
            if ready or now < probe_at:
                continue
            if not (missing := _missing(port)):
                ready = True
                if demo:
                    self._start_demo()
                self._say(f"Ready: http://{HOST}:{port}")
            elif now > complain_at:
                complain_at = now + PATIENCE_SECONDS
                self._say(f"not ready after {now - started:.0f} s: {missing}")
            probe_at = time.monotonic() + PROBE_SECONDS

    def _start_demo(self) -> None:
        from project.newcomers import OPERATOR
        from ticketing.demo import start_job

        user = User.objects.filter(username=OPERATOR).first()
        if user is None:
            self._say(f"--demo: this database has no user {OPERATOR}, so no job was started")
        elif (job := start_job(user)) is None:
            self._say(f"--demo: no job was started; {OPERATOR} may have one already")
        else:
            self._say(f"--demo: started {job}")
        connections.close_all()


def _port(text: str) -> int:
    return _whole(text, 65535)


def _workers(text: str) -> int:
    return _whole(text, 256)


def _whole(text: str, most: int) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}, not {text!r}")


def _claim(port: int) -> None:
    """Find out before anything is started whether the port can be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"can't be used ({error.strerror})"
            raise CommandError(f"port {port} {why}; another one: manage.py up --port N", returncode=2) from None


def _missing(port: int) -> str:
    """What keeps the site from being ready, as a visitor sees it; nothing: an empty string."""
    headers = {"Host": settings.ALLOWED_HOSTS[0].lstrip(".").replace("*", HOST)}
    for path in PROBES:
        http_connection = http.client.HTTPConnection(HOST, port, timeout=2)
        with contextlib.closing(http_connection):
            try:
                http_connection.request("GET", path, headers=headers)
                status = http_connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                return f"{path}: {error}"
        # The front page may send visitors to the login; the probes themselves say yes or no.
        if status != 200 and not (path == "/" and status < 400):
            return f"{path} answers {status}"
    return ""

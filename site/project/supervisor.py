"""Runs the Procfile's processes side by side: starts one that died again, and leaves nothing behind at the end.

Each runs in a session of its own, so Ctrl-C in the terminal reaches the supervisor alone, and what a process has
started can be found by its group. To stop, the leader gets SIGTERM and tells its own children: the group as a whole is
only ever killed, after the leader has gone or had its time.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

GRACE_SECONDS = 20.0
# A process that died is started again this soon, and its deaths within the window are counted as a loop.
RESTART_SECONDS = 0.5
LOOP_WINDOW_SECONDS = 30.0
LOOP_DEATHS = 3

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def read_procfile(path: Path, names: Iterable[str]) -> dict[str, str]:
    """The commands of these process types."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    commands = {name.strip(): command.strip() for name, colon, command in lines if colon}
    return {name: commands[name] for name in names}


class Process:
    """One process type: its command, and the leader that runs now."""

    def __init__(self, name: str, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._folder = folder
        self._environment = environment
        self._leader: subprocess.Popen[bytes] | None = None
        self._deaths: list[float] = []

    @property
    def pid(self) -> int | None:
        """The leader's process id, None while there is none."""
        return self._leader.pid if self._leader else None

    def start(self) -> None:
        """Start the leader; it gets SIGTERM from the kernel should the supervisor be killed."""
        parent = os.getpid()

        def follow_parent() -> None:
            if sys.platform == "linux":
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != parent:  # killed before the line above: no signal will come
                    os._exit(1)

        self._leader = subprocess.Popen(  # noqa: S603 - the project's own Procfile
            ["/bin/sh", "-c", f"exec {self._command}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=follow_parent,
        )

    def has_ended(self) -> bool:
        """Whether the leader is gone. It is not reaped yet, so its number still names its group and nothing else."""
        if self._leader is None:
            return True
        return os.waitid(os.P_PID, self._leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def terminate(self) -> None:
        """Ask the leader alone."""
        if self._leader and not self.has_ended():
            self._leader.send_signal(signal.SIGTERM)

    def clear(self) -> int:
        """Kill whatever the group still holds, reap the leader, and say how it ended."""
        if self._leader is None:
            return 0
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a dead group
            os.killpg(self._leader.pid, signal.SIGKILL)
        code = self._leader.wait()
        self._leader = None
        return code

    def deaths(self, now: float) -> int:
        """Count one more; how many there were of late."""
        self._deaths = [at for at in self._deaths if now - at < LOOP_WINDOW_SECONDS] + [now]
        return len(self._deaths)


class Supervisor:
    """All the processes, and the one loop that watches them."""

    def __init__(self, processes: list[Process], say: Callable[[str], None]) -> None:
        self._processes = processes
        self._say = say
        self._again: dict[str, float] = {}

    def start(self) -> None:
        """Start every process."""
        for process in self._processes:
            process.start()

    def tick(self) -> None:
        """Look at each process once; bring back what has died."""
        now = time.monotonic()
        for process in self._processes:
            if process.name in self._again:
                if now >= self._again[process.name]:
                    del self._again[process.name]
                    process.start()
            elif process.has_ended():
                # First its orphans: they may still hold the port.
                self._report(process, process.clear(), process.deaths(now))
                self._again[process.name] = now + RESTART_SECONDS

    def stop(self, hurry: Callable[[], bool]) -> None:
        """End every process: ask, wait, and kill what is left of it. `hurry` cuts the waiting short."""
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while not all(process.has_ended() for process in self._processes):
            if time.monotonic() > deadline or hurry():
                break
            time.sleep(0.05)
        for process in self._processes:
            process.clear()

    def _report(self, process: Process, code: int, deaths: int) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        loop = f"; {deaths} times within {LOOP_WINDOW_SECONDS:.0f} s, so look above for why" * (deaths >= LOOP_DEATHS)
        self._say(f"{process.name} {how}, starting it again{loop}")

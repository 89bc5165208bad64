"""Where the embedded server lives on disk. Only looks; importing the settings comes this far and no further."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

DATABASE_ENGINE = "project.embedded"

# The kernel takes 107 bytes for a socket's path (macOS 103), and the socket's own name is 14 of them.
LONGEST_SOCKET_FOLDER = 80


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL can't be used; the message says why and what helps."""


@dataclass(frozen=True)
class Places:
    """The files of one embedded server."""

    home: Path
    sockets: Path
    away: Path
    port: str = "5432"  # names the socket's file; nothing listens on TCP

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.home / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "postgres.log"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or stops the server."""
        return self.home / "lock"

    @property
    def users(self) -> Path:
        """Held, shared, by every process that has connected."""
        return self.home / "users"

    @property
    def pid_file(self) -> Path:
        """Written by the server; its first line is the process id."""
        return self.data / "postmaster.pid"

    def major(self) -> int | None:
        """The major version that made the data, None where there is no data yet."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None


def choose_places(home: Path) -> Places:
    """Settle where the server of this home lives, for this account; the same answer in every process."""
    home = home.resolve()
    account = os.geteuid()
    name = f"bulkops-pg-{account}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    away = Path("/var/tmp") / name  # noqa: S108 - who owns it is checked before it is used
    # Root's server runs under another account, which must be able to walk to its data. And pg_ctl hands its paths to a
    # shell between double quotes.
    if (account == 0 and not open_to_all(home)) or set(str(home)) & set('"$`\\\n'):
        home = away
    sockets = home / "run"
    if len(os.fsencode(sockets)) > LONGEST_SOCKET_FOLDER:
        # Not TMPDIR: two processes that disagree about it would look for two sockets.
        sockets = Path("/tmp") / name / "run"  # noqa: S108 - as above
    return Places(home, sockets, away)


def open_to_all(path: Path) -> bool:
    """Whether any account may walk from / to this folder."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents) if folder.exists())


def own_folder(path: Path, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Make the folder, or make sure that it is ours and nobody's trap, and set its mode and owner."""
    ours = {os.geteuid()} | ({owner[0]} if owner else set())
    try:
        for parent in reversed(path.parents):
            if not parent.exists():
                parent.mkdir(exist_ok=True)
                if owner or os.geteuid() == 0:  # the server's account must get through, whatever the umask says
                    parent.chmod(0o755)
        path.mkdir(mode=0o700, exist_ok=True)
        _check_owner(path, path.lstat(), ours)  # here for its message: another account's folder may not even open
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise EmbeddedPostgresError(f"{path} can't be used: {error.strerror}") from None
    try:
        # Everything on the handle: a name in a shared folder could come to mean something else in between.
        _check_owner(path, os.fstat(handle), ours)
        if owner:
            os.fchown(handle, *owner)
        os.fchmod(handle, mode)
    finally:
        os.close(handle)


def _check_owner(path: Path, status: os.stat_result, ours: set[int]) -> None:
    if status.st_uid not in ours:
        raise EmbeddedPostgresError(
            f"{path} belongs to account {status.st_uid}, not to {os.geteuid()}: run as that account, remove it, "
            "or set BULKOPS_POSTGRES_HOME or DATABASE_URL"
        )


def write_whole(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step, so that no reader sees half of it."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as draft:
        draft.write(text)
        os.fchmod(draft.fileno(), mode)
    Path(draft.name).replace(path)

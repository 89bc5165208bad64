"""Who works: the identity under which a worker process holds turns and chunks, and its wish to stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Holder:
    """A worker of a cluster; `draining` is true once the process was asked to stop."""

    cluster_id: int
    worker: int
    draining: Callable[[], bool] = field(default=_never, compare=False)


_current: Holder | None = None


def become(holder: Holder | None) -> None:
    """Set this process's identity, once, when a worker process begins."""
    global _current
    _current = holder


def current() -> Holder:
    """This process's identity. Raises RuntimeError outside a worker of `manage.py qcluster`."""
    if _current is None:
        raise RuntimeError("Jobs are worked by `manage.py qcluster` only; this process belongs to no cluster.")
    return _current

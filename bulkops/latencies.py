"""How long polls and submissions take in the web's processes: counted in memory, stored every few seconds.

It is stored once a response has been sent, on the connection that its request had, at most every `STORE_SECONDS` and
with one statement. So no poll waits for it, and there is neither a thread nor a folder that processes would share; any
of them can tell what all of them together have counted. A process that ends takes a few seconds of counts with it.
"""

from __future__ import annotations

import time
from functools import wraps
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.core.signals import request_finished
from django.db import Error, connection

from bulkops import tallies
from bulkops.histograms import REQUEST_SECONDS, Histogram
from bulkops.tallies import Count

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

POLL, SUBMIT = "poll", "submit"
STORE_SECONDS = 5.0
FOLD_SECONDS = 60.0


class Latencies:
    """What this process has measured and not stored yet; used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._measured: dict[tuple[str, str], Histogram] = {}
        self._store_at = self._fold_at = 0.0

    def observe(self, name: str, face: str, seconds: float) -> None:
        """Count a request that took so long."""
        with self._lock:
            if not self._measured:
                self._store_at = max(self._store_at, time.monotonic() + STORE_SECONDS)
            self._measured.setdefault((name, face), Histogram(REQUEST_SECONDS)).observe(seconds)

    def store_if_due(self) -> None:
        """Add what was measured to the totals; left for later where that would need a new connection, or fails."""
        if not self._measured or time.monotonic() < self._store_at:
            return
        if connection.connection is None or connection.in_atomic_block:
            return  # a transaction may be rolled back, and this with it
        with self._lock:
            measured, self._measured = self._measured, {}
            self._store_at = time.monotonic() + STORE_SECONDS
        if not measured:
            return  # another thread was faster
        try:
            tallies.add(*(Count.of(name, (face,), one) for (name, face), one in measured.items()))
            if time.monotonic() >= self._fold_at:
                self._fold_at = time.monotonic() + FOLD_SECONDS
                tallies.fold()
        except Error:
            # A few seconds of measurements are not worth a line for each request while the database is away.
            connection.close()


_latencies = Latencies()


def timed(name: str, face: str, *, method: str = "GET") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a view: how long each answer to that method takes, from the view's beginning to its response."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def measured(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method != method:
                return view(request, *args, **kwargs)
            began = time.perf_counter()
            try:
                return view(request, *args, **kwargs)
            finally:
                _latencies.observe(name, face, time.perf_counter() - began)

        return measured

    return decorate


def _after_a_response(**_: Any) -> None:
    _latencies.store_if_due()


request_finished.connect(_after_a_response, dispatch_uid="bulkops.latencies")

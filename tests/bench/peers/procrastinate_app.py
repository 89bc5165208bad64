"""procrastinate on PostgreSQL: what its worker runs."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector

app = App(connector=PsycopgConnector(conninfo=os.environ["PEER_DATABASE_URL"]))


@app.task(name="nothing")
def nothing(item: int) -> None:
    """One job for one item."""

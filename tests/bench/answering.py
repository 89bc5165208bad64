"""The helper programs' loop: a line of JSON says what to do, a line of JSON says what came of it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(deeds: dict[str, Callable[..., Any]]) -> None:
    """Until the input ends."""
    out, sys.stdout = sys.stdout, sys.stderr  # whatever else prints, prints into the log
    for line in sys.stdin:
        asked = json.loads(line)
        given = deeds[asked.pop("do")](**asked)
        out.write(json.dumps(given) + "\n")
        out.flush()

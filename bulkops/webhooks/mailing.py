"""Makes one attempt by e-mail, through Django's mail: plain text, with figures and the job's address."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core import mail

from bulkops import storable
from bulkops.conf import conf
from bulkops.states import JobState
from bulkops.webhooks.models import ERROR_CHARS, Event
from bulkops.webhooks.saying import Said

NO_ADDRESS = "The user has no e-mail address."
_COUNTS = (
    ("succeeded", "succeeded"),
    ("skipped", "skipped"),
    ("failed", "failed"),
    ("in_doubt", "in doubt"),
)


def send(address: str, message_id: str, body: str) -> Said:
    """One attempt; touches no database. At least once: the same Message-ID tells a repeat."""
    if not address:
        return Said(0.0, NO_ADDRESS)
    subject, text = letter(json.loads(body))
    began = time.monotonic()
    try:
        # Without a limit of its own, a mail server that hangs would be waited for by the hour.
        connection = mail.get_connection(timeout=conf().webhook_timeout_seconds)
        headers = {"Message-ID": f"<{message_id}@bulkops>", "Auto-Submitted": "auto-generated"}
        mail.EmailMessage(subject, text, None, [address], connection=connection, headers=headers).send()
    except Exception as error:  # whatever the site's backend raises
        return Said(time.monotonic() - began, storable.text(f"{type(error).__name__}: {error}", ERROR_CHARS))
    return Said(time.monotonic() - began)


def letter(said: dict[str, Any]) -> tuple[str, str]:
    """Subject and text."""
    data = said["data"]
    if said["type"] == Event.DISABLED:
        return "Your webhook was switched off", (
            f"Nothing is sent to {data['url']} any more.\n\n{data['reason']}\n\nSwitch it on again on your page of"
            " webhooks once it answers.\n"
        )
    state = JobState(data["state"]).label
    # A name is somebody's text: on one line, it cannot add a header.
    name = " ".join((data["name"] or data["operation"]).split())
    lines = [f"The job “{name}” is {state}.", ""]
    if data["total"] is not None:
        noun, verb = "item" if data["total"] == 1 else "items", "was" if data["processed"] == 1 else "were"
        lines.append(f"{data['processed']:,} of {data['total']:,} {noun} {verb} processed.")
    lines += [f"{data[key]:,} {word}" for key, word in _COUNTS if data[key]]
    return f"{name}: {state}", "\n".join([*lines, "", data["url"], ""])

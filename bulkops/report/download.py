"""The report over HTTP: what its address may ask for, and the headers it is sent with; the same for page and API."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

from bulkops.exceptions import InvalidReport
from bulkops.report.document import Wanted, file_name, read_states

if TYPE_CHECKING:
    from django.http import QueryDict

    from bulkops.models import Job

CSV = "text/csv; charset=utf-8; header=present"
PARAMETERS = ("state", "folded", "raw", "bom")
"""What the address may say."""
SWITCHES = {"": False, "0": False, "1": True}


def read_query(query: QueryDict) -> Wanted:
    """What the address asks for. Raises InvalidReport."""
    return Wanted(
        states=read_states(query.getlist("state")),
        folded=_switch(query, "folded"),
        raw=_switch(query, "raw"),
        bom=_switch(query, "bom"),
    )


def _switch(query: QueryDict, name: str) -> bool:
    value = query.get(name, "")
    if value not in SWITCHES:
        raise InvalidReport(f"“{name}” is 1 or 0.")
    return SWITCHES[value]


def attachment(job: Job, wanted: Wanted) -> str:
    """The header that has the file saved under that name: in ASCII for old clients, in full for all others."""
    name = file_name(job, wanted)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lstrip("-. ")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

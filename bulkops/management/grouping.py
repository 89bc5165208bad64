"""`manage.py job ID failures`: what failed, group by group, as a table or as JSON like the API's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bulkops import what_failed
from bulkops.management.terminal import table

if TYPE_CHECKING:
    from bulkops.models import Job
    from bulkops.what_failed import Group, WhatFailed


def described(job: Job, *, as_json: bool) -> str:
    """The groups of a job, the largest first."""
    found = what_failed.of(job)
    if as_json:
        return json.dumps(what_failed.resource(found), ensure_ascii=False, indent=2)
    rows = [_row(found, group) for group in found.groups]
    parts = [table(("FINGERPRINT", "FAILED", "TO RETRY", "ITEMS", "ERROR", "MESSAGE"), rows)] if rows else []
    if found.ungrouped:
        parts.append(f"Failures without a group, from before there were groups: {found.ungrouped:,}.")
    return "\n\n".join(parts) or "Nothing has failed."


def _row(found: WhatFailed, group: Group) -> tuple[str, ...]:
    samples = ", ".join(map(str, group.positions))
    more = ", …" if group.count > len(group.positions) else ""
    left = found.left.get(group.fingerprint, 0)
    return group.fingerprint, f"{group.count:,}", f"{left:,}", f"{samples}{more}", group.error_code, found.told(group)

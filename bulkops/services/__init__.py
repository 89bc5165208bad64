"""The verbs that all faces share. Each is one transaction: lock, check, move, dispatch.

Services never meet the engine but in the tables.
"""

from bulkops.services.controlling import cancel, pause, resume
from bulkops.services.deciding import decide, is_decided
from bulkops.services.locking import lock_user
from bulkops.services.retrying import retry
from bulkops.services.submitting import Submission, check, record, submit
from bulkops.services.throttling import set_rate

__all__ = [
    "Submission",
    "cancel",
    "check",
    "decide",
    "is_decided",
    "lock_user",
    "pause",
    "record",
    "resume",
    "retry",
    "set_rate",
    "submit",
]

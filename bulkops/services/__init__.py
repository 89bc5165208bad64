"""The verbs that all faces share. Each is one transaction: lock, check, move, dispatch.

Services never meet the engine but in the tables.
"""

from bulkops.services.controlling import cancel, pause, resume
from bulkops.services.locking import lock_user
from bulkops.services.submitting import Submission, check, record, submit

__all__ = ["Submission", "cancel", "check", "lock_user", "pause", "record", "resume", "submit"]

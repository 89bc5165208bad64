"""Schedules: an operation begun again and again, each by a row of django-q2's Schedule whose function is `run` here.

A schedule has a slot of its own: its job neither takes nor waits for its owner's. Where the run before is still active,
the new one is skipped, and the running job's trail says so. A run that cannot begin is a failed task of django-q2,
which `every` and `faults` show until the next run.
"""

from bulkops.scheduling.defining import pause, resume, schedule, unschedule
from bulkops.scheduling.listing import Scheduled, every, faults, find
from bulkops.scheduling.plans import RUN, RunRefused, UnknownSchedule
from bulkops.scheduling.running import run, run_now

__all__ = [
    "RUN",
    "RunRefused",
    "Scheduled",
    "UnknownSchedule",
    "every",
    "faults",
    "find",
    "pause",
    "resume",
    "run",
    "run_now",
    "schedule",
    "unschedule",
]

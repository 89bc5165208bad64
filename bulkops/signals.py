"""What bulkops tells the project's code."""

from __future__ import annotations

from django.dispatch import Signal

job_pruned = Signal()
"""A job is being deleted because it is old: delete what it left elsewhere, such as result files.

Receivers get `job_id`, `operation` (its name, which need not be registered any more) and `results`: the items' results,
read page by page, as often as one likes. It is sent before the first of them is deleted, and again where a run was
interrupted; a receiver that raises keeps the rest of the job for the next run. By then the job exists for nobody else.
"""

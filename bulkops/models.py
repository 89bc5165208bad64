"""The tables, which are the truth: fields, constraints and indexes, each with the query it serves. No workflow.

Rows that every item touches are narrow, and no index covers a column that an item changes, so that PostgreSQL can
update them in place (HOT). Beyond its key an outcome is indexed only where it did not succeed.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from bulkops import job_ids
from bulkops.attempts import Attempts
from bulkops.idempotency import IdempotencyKey
from bulkops.querysets import JobManager, JobQuerySet
from bulkops.states import ACTIVE, EventKind, JobState, OutcomeState
from bulkops.tallies import Tally
from bulkops.tokens import ApiToken
from bulkops.webhooks.models import Delivery, DeliveryAttempt, Endpoint

__all__ = [
    "ApiToken",
    "Attempts",
    "Chunk",
    "Cluster",
    "Delivery",
    "DeliveryAttempt",
    "Endpoint",
    "Event",
    "FailureGroup",
    "IdempotencyKey",
    "Job",
    "Manifest",
    "Outcome",
    "Pace",
    "Tally",
    "Turn",
]


class Cluster(models.Model):
    """A worker cluster: its leader renews this row, and whoever the row calls dead holds nothing any more."""

    name = models.CharField(max_length=200)
    started_at = models.DateTimeField(default=timezone.now)
    alive_until = models.DateTimeField(help_text="By the database's clock_timestamp().")
    workers = models.PositiveIntegerField(default=0)
    queues = ArrayField(models.CharField(max_length=100), default=list)

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    """One run of an operation, owned by a user."""

    State = JobState

    id = models.UUIDField(primary_key=True, default=job_ids.new, editable=False)
    operation = models.CharField(max_length=100)
    # An audit trail outlives its people: deactivate a user rather than deleting one who has jobs.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="bulkops_jobs")
    name = models.CharField(max_length=200, blank=True)
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    input_name = models.CharField(max_length=255, blank=True)
    upload = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="The folder of the files that came with it."
    )
    schedule = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        help_text="The schedule that began it, whose slot it holds.",
    )

    state = models.CharField(max_length=25, choices=JobState.choices)
    slot = models.CharField(max_length=100, null=True, unique=True, editable=False)  # noqa: DJ001 - NULLs never collide
    params = models.JSONField(default=dict, blank=True)
    total = models.PositiveIntegerField(null=True)
    limit = models.PositiveIntegerField(null=True, blank=True)
    parallelism = models.PositiveSmallIntegerField(default=1)
    queue = models.CharField(max_length=100, default="default")

    collects = models.BooleanField(default=False, help_text="The operation finds its items itself.")
    prepare_epoch = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0, help_text="Workers that died in `items` or `finish`.")
    prepared = models.PositiveIntegerField(default=0, help_text="Items collected or checked so far.")

    operation_missing_since = models.DateTimeField(null=True, help_text="No worker has known the operation since.")
    message = models.TextField(blank=True)
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    error_code = models.CharField(max_length=100, blank=True)
    cancel_reason = models.TextField(blank=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    retry_count = models.PositiveIntegerField(default=0)
    # No constraint: it only makes the items' keys, which outlive the ancestor.
    root = models.ForeignKey(
        "self", on_delete=models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="+"
    )
    retry_items = models.CharField(
        max_length=20, blank=True, default="", db_default="", help_text="Which items of its parent it took."
    )
    retry_fingerprint = models.CharField(
        max_length=12, blank=True, default="", db_default="", help_text="Of which group of failures; empty: of all."
    )
    took = models.JSONField(null=True, editable=False, help_text="Failed items taken of its parent, by fingerprint.")

    rate_per_second = models.FloatField(null=True, help_text="Items begun per second at most, by all its workers.")
    rate_from = models.DateTimeField(null=True, help_text="Not before this may its next items begin.")
    failed_before = models.PositiveIntegerField(default=0, db_default=0, help_text="Failures up to the last resume.")
    processed_before = models.PositiveIntegerField(default=0, db_default=0, help_text="Items up to the last resume.")

    email_at_end = models.BooleanField(
        default=False, db_default=False, help_text="Its owner wants an e-mail when it has ended."
    )

    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    pruned_at = models.DateTimeField(null=True, editable=False, help_text="Since then it is being deleted.")

    objects = JobManager()
    with_pruned = JobQuerySet.as_manager()

    replayed = False
    """Set by `submit` where an idempotency key named a job that was there already."""

    class Meta:
        ordering = ("-created_at", "pk")
        indexes = (
            models.Index(fields=["owner", "-created_at"], name="bulkops_job_history"),
            models.Index(fields=["-created_at"], name="bulkops_job_newest"),
            # Rescue and the queue look at active jobs only; ended ones pile up for ever.
            models.Index(fields=["state"], name="bulkops_job_active", condition=Q(state__in=sorted(ACTIVE))),
        )
        constraints = (
            # A dead job never keeps the slot, an active one never loses it.
            models.CheckConstraint(
                name="bulkops_slot_while_active",
                condition=(Q(state__in=sorted(ACTIVE)) & Q(slot__isnull=False))
                | (~Q(state__in=sorted(ACTIVE)) & Q(slot__isnull=True)),
            ),
        )

    def __str__(self) -> str:
        return f"{self.name or self.operation} ({self.pk})"

    def get_absolute_url(self) -> str:
        return reverse("bulkops:job", args=[self.pk])

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def retried_items(self) -> str:
        """Which items of its parent it took, in words."""
        return f"{self.retried_kind}{f' of group {self.retry_fingerprint}' if self.retry_fingerprint else ''}"

    @property
    def retried_kind(self) -> str:
        """The same without the name of a group, which only the shell and programs know."""
        return f"{self.retry_items.replace('in_doubt', 'in-doubt')} items"


class Turn(models.Model):
    """A job's right to one worker."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveSmallIntegerField()
    seq = models.PositiveIntegerField(default=0, help_text="Raised at every use, so that a doubled message is inert.")
    due = models.DateTimeField(null=True, help_text="Not before; NULL: nothing to do for it.")
    message_id = models.BigIntegerField(null=True, help_text="The queue's row that carries it.")
    holder = models.ForeignKey(Cluster, on_delete=models.SET_NULL, null=True, db_index=False, related_name="+")
    worker = models.PositiveIntegerField(null=True, help_text="Number of the worker within its cluster.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["job", "number"], name="bulkops_turn_once"),)
        indexes = (
            models.Index(fields=["due"], name="bulkops_turn_due", condition=Q(due__isnull=False)),
            models.Index(fields=["holder"], name="bulkops_turn_held", condition=Q(holder__isnull=False)),
        )

    def __str__(self) -> str:
        return f"turn {self.number} of {self.job_id}"


class Chunk(models.Model):
    """A contiguous range of a job's items with its cursor, counters and fence; the row that every item moves.

    Its numbers are no `PositiveIntegerField`s, and an outcome's neither: the server reads a table's CHECK constraints
    anew at every statement, and those of fifteen such fields were a quarter of an item's.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    number = models.IntegerField()
    start = models.IntegerField(help_text="Position of its first item.")
    size = models.IntegerField()
    cursor = models.IntegerField(default=0, help_text="Items tried so far.")
    succeeded = models.IntegerField(default=0)
    skipped = models.IntegerField(default=0)
    failed = models.IntegerField(default=0)
    in_doubt = models.IntegerField(default=0)
    deferred = models.IntegerField(default=0)
    epoch = models.IntegerField(default=0, help_text="Fence: each claim and each rescue raises it.")
    stop = models.BooleanField(default=False, help_text="Pause or cancel was asked.")
    finished = models.BooleanField(default=False)
    holder = models.ForeignKey(Cluster, on_delete=models.SET_NULL, null=True, db_index=False, related_name="+")
    worker = models.IntegerField(null=True)
    due = models.DateTimeField(null=True, help_text="When its first deferred item comes round.")
    crashes = models.SmallIntegerField(default=0, db_default=0, help_text="Workers that died with one item.")
    crash_position = models.IntegerField(null=True, help_text="That item.")
    in_hand = models.IntegerField(null=True, help_text="The item begun, where a second try needs a person.")
    in_hand_attempt = models.SmallIntegerField(null=True, help_text="Which try of it that is.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job", "number"], name="bulkops_chunk_once"),
            models.CheckConstraint(name="bulkops_chunk_cursor_inside", condition=Q(cursor__lte=models.F("size"))),
            models.CheckConstraint(
                name="bulkops_chunk_counts_add_up",
                condition=Q(
                    cursor=models.F("succeeded")
                    + models.F("skipped")
                    + models.F("failed")
                    + models.F("in_doubt")
                    + models.F("deferred")
                ),
            ),
        )
        # `finished` and `holder` change once in a while; an index over the cursor would cost every item its HOT update.
        indexes = (
            models.Index(fields=["job", "number"], name="bulkops_chunk_open", condition=Q(finished=False)),
            # Rescue asks every two seconds what dead clusters hold.
            models.Index(fields=["holder"], name="bulkops_chunk_held", condition=Q(holder__isnull=False)),
        )

    def __str__(self) -> str:
        return f"chunk {self.number} of {self.job_id}"


class Manifest(models.Model):
    """The items of one chunk, immutable and compressed (see manifests.py for the format)."""

    pk = models.CompositePrimaryKey("job_id", "number")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveIntegerField(help_text="The chunk's number.")
    payload = models.BinaryField()

    def __str__(self) -> str:
        return f"items of chunk {self.number} of {self.job_id}"


class Outcome(models.Model):
    """What became of one item: the ledger."""

    pk = models.CompositePrimaryKey("job_id", "position")
    # No constraint in the database: its check would lock the job's row once per item.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="outcomes", db_index=False, db_constraint=False)
    position = models.IntegerField()
    state = models.CharField(max_length=10, choices=OutcomeState.choices)
    attempt = models.SmallIntegerField(default=1)
    error_code = models.CharField(max_length=100, blank=True, db_default="")
    message = models.TextField(blank=True, db_default="")
    result = models.JSONField(null=True)
    finished_at = models.DateTimeField()
    due = models.DateTimeField(null=True, help_text="Of a deferred item: not before.")
    fingerprint = models.CharField(
        max_length=12, blank=True, default="", db_default="", help_text="Of a failed item: its group."
    )

    class Meta:
        # The lists of failed, skipped, in-doubt and deferred items; the many that succeeded cost nothing here.
        indexes = (
            models.Index(
                fields=["job", "state", "position"],
                name="bulkops_outcome_notable",
                condition=~Q(state=OutcomeState.SUCCEEDED),
            ),
            # The pages of one group, and retrying it.
            models.Index(
                fields=["job", "fingerprint", "position"],
                name="bulkops_outcome_alike",
                condition=~Q(fingerprint=""),
            ),
        )

    def __str__(self) -> str:
        return f"item {self.position} of {self.job_id}: {self.state}"


class FailureGroup(models.Model):
    """One shard's count of failures that are alike (see failure_groups.py)."""

    pk = models.CompositePrimaryKey("job_id", "fingerprint", "shard")
    # No constraint, as with outcomes.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    fingerprint = models.CharField(max_length=12)
    shard = models.PositiveSmallIntegerField()
    count = models.PositiveIntegerField()
    error_code = models.CharField(max_length=100, blank=True)
    words = models.CharField(max_length=300, help_text="Their message without what varies.")
    samples = ArrayField(models.PositiveIntegerField(), help_text="Positions of its first ones.")

    def __str__(self) -> str:
        return f"{self.count} failures of {self.job_id}: {self.words}"


class Pace(models.Model):
    """How fast a job was: items processed at moments of its work, one bounded row whatever the job's size."""

    # No constraint in the database: the code before it deletes jobs and does not know this table.
    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="pace", db_constraint=False
    )
    seconds = ArrayField(models.FloatField(), help_text="Of work, at each sample.")
    items = ArrayField(models.IntegerField(), help_text="Processed by then.")
    sampled_at = models.DateTimeField(help_text="From when on the next sample counts its seconds.")
    fresh_from = models.FloatField(
        default=0.0, db_default=0.0, help_text="Seconds from which on samples tell what is to come."
    )

    def __str__(self) -> str:
        return f"pace of {self.job_id}"


class Event(models.Model):
    """A line of a job's audit trail."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=30, choices=EventKind.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    from_state = models.CharField(max_length=25, blank=True)
    to_state = models.CharField(max_length=25, blank=True)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ("pk",)
        indexes = (models.Index(fields=["job", "id"], name="bulkops_event_of_job"),)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.kind} {self.from_state} {self.to_state}".strip()

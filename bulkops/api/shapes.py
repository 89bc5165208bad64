"""The shapes of what is sent and answered. Those that are sent are checked strictly: a number is no text."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from bulkops import fingerprints, lineage
from bulkops.operation import FASTEST, SLOWEST
from bulkops.services.deciding import DECISIONS
from bulkops.states import EventKind, JobState, OutcomeState

LARGEST = 2**31 - 1


class Text(serializers.CharField):
    """A text, as it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, allow_blank=True, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Fingerprint(serializers.RegexField):
    """The name of a group of failures."""

    def __init__(self, **options: Any) -> None:
        super().__init__(rf"^(?:{fingerprints.PATTERN})\Z", trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    """One of some texts."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A whole number."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, float) and data.is_integer():
            data = int(data)
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class Number(serializers.FloatField):
    """A number."""

    def to_internal_value(self, data: Any) -> float:
        if not isinstance(data, int | float) or isinstance(data, bool):
            self.fail("invalid")
        return data


class Flag(serializers.BooleanField):
    """True or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


@extend_schema_field({})
class AnyValue(serializers.Field):
    """Any JSON value; what it must be is the operation's to say."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"allow_null": True} | options))

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(OpenApiTypes.OBJECT)
class AnyObject(AnyValue):
    """Any JSON object."""

    default_error_messages = {"invalid": "This must be an object."}  # noqa: RUF012 - DRF's way

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=False, **options)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            self.fail("invalid")
        return data


@extend_schema_field({"type": "array", "items": {}})
class AnyList(AnyValue):
    """Any JSON list. Not DRF's ListField, which looks at each of a hundred thousand items."""

    default_error_messages = {"invalid": "This must be a list."}  # noqa: RUF012

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, list):
            self.fail("invalid")
        return data


class Submission(serializers.Serializer):
    """A job that is asked for."""

    operation = Text(max_length=100)
    params = AnyObject(required=False)
    items = AnyList(required=False, help_text="Left out or null: the operation finds its items itself.")
    name = Text(required=False, max_length=200)
    tags = serializers.ListField(child=Text(max_length=50), required=False, max_length=100)
    metadata = AnyObject(required=False)
    parallelism = Whole(required=False, allow_null=True, min_value=1, max_value=32767)
    limit = Whole(required=False, allow_null=True, min_value=1, max_value=LARGEST)
    rate_per_second = Number(required=False, allow_null=True, min_value=SLOWEST, max_value=FASTEST)
    email_at_end = Flag(required=False, help_text="Tell its owner, who needs an address, by e-mail when it has ended.")


class FileSubmission(serializers.Serializer):
    """The same with a file; parts other than texts are JSON."""

    operation = serializers.CharField()
    file = serializers.FileField(help_text="Several, each a part of its own, where the operation takes files.")
    params = AnyObject(required=False)
    name = serializers.CharField(required=False)
    tags = serializers.ListField(child=serializers.CharField(), required=False)
    metadata = AnyObject(required=False)
    parallelism = serializers.IntegerField(required=False)
    limit = serializers.IntegerField(required=False)
    rate_per_second = serializers.FloatField(required=False)
    email_at_end = serializers.BooleanField(required=False)


class Stop(serializers.Serializer):
    """Why, and whether an item that hangs is taken away from its worker."""

    reason = Text(required=False, max_length=2_000)
    force = Flag(required=False)


class Reason(serializers.Serializer):
    """Why."""

    reason = Text(required=False, max_length=2_000)


class Retry(serializers.Serializer):
    """Which items the child job takes; left out: those that failed, else those never processed."""

    items = Choice(choices=lineage.KINDS, required=False)
    fingerprint = Fingerprint(required=False, help_text="Only the failed items of this group.")
    reason = Text(required=False, max_length=2_000)


class Decision(serializers.Serializer):
    """What became of an item in doubt."""

    decision = Choice(choices=tuple(DECISIONS))
    reason = Text(required=False, max_length=2_000)


class Rate(serializers.Serializer):
    """Items that may begin per second; null: no limit."""

    rate_per_second = Number(allow_null=True, min_value=SLOWEST, max_value=FASTEST)


class Eta(serializers.Serializer):
    """Seconds until the end."""

    low = serializers.FloatField()
    high = serializers.FloatField()


class Status(serializers.Serializer):
    """The status resource: one job as programs see it."""

    id = serializers.UUIDField()
    url = serializers.URLField()
    operation = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    tags = serializers.ListField(child=serializers.CharField())
    metadata = AnyObject()
    owner = serializers.CharField()
    state = serializers.ChoiceField(choices=JobState.values)
    message = serializers.CharField(allow_blank=True)
    total = serializers.IntegerField(allow_null=True, help_text="Null while items are being collected.")
    processed = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    deferred = serializers.IntegerField()
    in_doubt = serializers.IntegerField()
    percent = serializers.IntegerField(min_value=0, max_value=100)
    rate_per_second = serializers.FloatField(
        allow_null=True, help_text="Of the last seconds; of a job that has ended, the average of its time at work."
    )
    rate_limit_per_second = serializers.FloatField(allow_null=True)
    eta_seconds = Eta(
        allow_null=True, help_text="The end is expected in between. Null where none is better than a wrong one."
    )
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    elapsed_seconds = serializers.FloatField(allow_null=True)
    params = AnyObject()
    result = AnyValue()
    error = serializers.CharField(allow_blank=True)
    error_code = serializers.CharField(allow_blank=True)
    cancel_reason = serializers.CharField(allow_blank=True)
    retry_count = serializers.IntegerField()
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]
    schedule = serializers.CharField(allow_null=True)
    cancellable = serializers.BooleanField()
    pausable = serializers.BooleanField()
    resumable = serializers.BooleanField()
    retryable = serializers.BooleanField()
    queue_position = serializers.IntegerField(allow_null=True)
    stalled = serializers.BooleanField()


class StatusPage(serializers.Serializer):
    """One page of jobs."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = Status(many=True)


class ItemOutcome(serializers.Serializer):
    """An item that was tried, and what became of it."""

    position = serializers.IntegerField()
    item = AnyValue()
    key = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=OutcomeState.values)
    attempt = serializers.IntegerField()
    error_code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    fingerprint = serializers.CharField(allow_blank=True, help_text="Of a failed item: its group.")
    result = AnyValue()
    finished_at = serializers.DateTimeField()


class ItemPage(serializers.Serializer):
    """Items by position."""

    next = serializers.URLField(allow_null=True)
    results = ItemOutcome(many=True)


class FailedSample(serializers.Serializer):
    """One failure of a group."""

    position = serializers.IntegerField()
    message = serializers.CharField(allow_blank=True)


class GroupOfFailures(serializers.Serializer):
    """Failures that are alike."""

    fingerprint = serializers.CharField()
    count = serializers.IntegerField()
    error_code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(help_text="With … in place of what varies.")
    samples = FailedSample(many=True, help_text="Three at most.")
    left = serializers.IntegerField(help_text="What a retry can still take; 0 while the job is active.")
    retryable = serializers.BooleanField()


class Failures(serializers.Serializer):
    """What failed in a job, the largest group first."""

    ungrouped = serializers.IntegerField(help_text="Failures that no group counts, from before there were groups.")
    results = GroupOfFailures(many=True)


class JobEvent(serializers.Serializer):
    """A line of the audit trail."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=EventKind.values)
    actor = serializers.CharField(allow_null=True)
    from_state = serializers.CharField(allow_blank=True)
    to_state = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)


class EventPage(serializers.Serializer):
    """The audit trail, the oldest first."""

    next = serializers.URLField(allow_null=True)
    results = JobEvent(many=True)


class Summary(serializers.Serializer):
    """Jobs by state."""

    total = serializers.IntegerField()
    vars().update({state: serializers.IntegerField() for state in JobState.values})


class OperationShape(serializers.Serializer):
    """What can be run."""

    name = serializers.CharField()
    url = serializers.URLField()
    title = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    collects_items = serializers.BooleanField(help_text="Whether items may be left out.")
    takes_files = serializers.BooleanField()
    parallelism = serializers.IntegerField()
    rate_per_second = serializers.FloatField(allow_null=True)
    params = AnyObject(help_text="A JSON Schema.")
    item = AnyObject(help_text="A JSON Schema.")


class OperationPage(serializers.Serializer):
    """All that I may run."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = OperationShape(many=True)


class Tried(serializers.Serializer):
    """An item that a dry run tried."""

    position = serializers.IntegerField()
    item = AnyValue()
    state = serializers.CharField()
    result = AnyValue()
    error_code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    said = serializers.CharField(allow_blank=True)


class DryRun(serializers.Serializer):
    """What a submission would come to; nothing of it was stored."""

    operation = serializers.CharField()
    owner = serializers.CharField()
    params = AnyObject()
    total = serializers.IntegerField(allow_null=True, help_text="Null: a worker would collect the items.")
    limit = serializers.IntegerField(allow_null=True)
    collects = serializers.BooleanField()
    first_items = AnyList()
    outcomes = Tried(many=True)
    not_run = serializers.CharField(allow_null=True, help_text="Why the items were not tried.")
    problem = serializers.CharField(allow_null=True, help_text="Why the job would fail before any item ran.")


class ErrorPlace(serializers.Serializer):
    """One thing that is wrong."""

    pointer = serializers.CharField(help_text="Where in the body, as a JSON Pointer; # alone is the whole of it.")
    parameter = serializers.CharField(required=False, help_text="Which of the address is meant instead.")
    detail = serializers.CharField()


class ProblemShape(serializers.Serializer):
    """A refusal (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    errors = ErrorPlace(many=True, required=False)  # type: ignore[assignment]
    active_job = Status(required=False)
    job = Status(required=False)

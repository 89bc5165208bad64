"""What the provider was asked, what it did, what it remembers, and how it is told to behave."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

KEY_CHARS = 255
ORDER_CHARS = 100


class Ask(models.Model):
    """A request as it came in; written before anything is done about it, and completed with its answer."""

    key = models.CharField(max_length=KEY_CHARS, blank=True, db_index=True, help_text="The idempotency key it bore.")
    order_number = models.CharField(max_length=ORDER_CHARS, db_index=True)
    amount = models.PositiveIntegerField(help_text="In cents.")
    asked_at = models.DateTimeField(auto_now_add=True)
    status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer; empty while there is none.")
    words = models.CharField(max_length=200, blank=True, help_text="What was answered, in short.")
    repeat = models.BooleanField(default=False, help_text="Its key was known, and nothing was done a second time.")
    cut = models.BooleanField(default=False, help_text="The connection was cut in place of the answer.")

    class Meta:
        ordering = ("-pk",)
        verbose_name = "request"

    def __str__(self) -> str:
        return f"{self.order_number}: {self.words or 'no answer'}"


class Refund(models.Model):
    """Money that was given back: a row is a movement, also where it should not have happened."""

    reference = models.CharField(max_length=40, unique=True)
    key = models.CharField(max_length=KEY_CHARS, blank=True, db_index=True)
    keyed = models.BooleanField(default=True, help_text="Made while keys were honoured.")
    order_number = models.CharField(max_length=ORDER_CHARS, db_index=True)
    amount = models.PositiveIntegerField(help_text="In cents.")
    reason = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(fields=["key"], condition=Q(keyed=True), name="payments_refund_once_a_key"),
        )

    def __str__(self) -> str:
        return self.reference


class FirstAnswer(models.Model):
    """What a key was answered the first time; whoever sends it again is told the same."""

    key = models.CharField(max_length=KEY_CHARS, primary_key=True)
    body_digest = models.CharField(max_length=64, help_text="Of what was asked with it.")
    status = models.PositiveSmallIntegerField()
    answer = models.JSONField()

    class Meta:
        verbose_name = "first answer"

    def __str__(self) -> str:
        return self.key


def _share(default: float, help_text: str) -> models.FloatField:
    return models.FloatField(
        default=default, validators=[MinValueValidator(0), MaxValueValidator(1)], help_text=f"{help_text} (0 to 1)"
    )


class Conduct(models.Model):
    """How the provider behaves; the first row counts, and without one these defaults do."""

    seed = models.BigIntegerField(default=1, help_text="The same seed, orders and repeats meet the same luck.")
    latency_ms = models.PositiveIntegerField(default=30, help_text="Of an answer on average, in milliseconds.")
    busy = _share(0.01, "Share of requests answered 429")
    down = _share(0.01, "Share of requests answered 503")
    refused = _share(0.02, "Share of orders that are refused")
    cut = _share(0.005, "Share of requests that are done, and the connection cut before the answer")
    retry_after_seconds = models.PositiveIntegerField(default=1, help_text="What 429 and 503 ask for.")

    class Meta:
        verbose_name_plural = "conduct"

    def __str__(self) -> str:
        return f"seed {self.seed}"

    @classmethod
    def current(cls) -> "Conduct":
        """The row that counts, or the defaults."""
        return cls.objects.order_by("pk").first() or cls()

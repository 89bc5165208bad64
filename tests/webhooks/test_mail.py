"""Who wished for it gets an e-mail at the end, with figures and the job's address; a mail server away loses none."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.core.management import call_command

from bulkops import services
from bulkops.exceptions import InvalidSubmission
from bulkops.models import Delivery, DeliveryAttempt, Endpoint, Job
from bulkops.webhooks import mailing, outbox, recording

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def addressed(owner: Any, site: Any) -> Any:
    owner.email = "owner@example.org"
    owner.save()
    return owner


class BrokenBackend(EmailBackend):
    """A mail server that refuses twice."""

    refusals = 2

    def send_messages(self, messages: Any) -> int:
        if BrokenBackend.refusals:
            BrokenBackend.refusals -= 1
            raise ConnectionRefusedError("no mail today")
        return super().send_messages(messages)


def test_the_owner_is_told_with_figures_and_the_address(addressed: Any, ended: Any, deliver: Any):
    job = ended(["a", "bad"], operation="failing", name="Autumn\nprices", email_at_end=True)
    assert mail.outbox == [], "never within the job's own transaction"
    deliver()
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (["owner@example.org"], "Autumn prices: completed with errors")
    assert "2 of 2 items were processed." in sent.body
    assert "1 succeeded" in sent.body
    assert "1 failed" in sent.body
    assert f"https://bulk.example.org/jobs/{job.pk}/" in sent.body
    assert sent.extra_headers["Message-ID"] == f"<{Delivery.objects.get().pk}@bulkops>"
    assert deliver() == 0


def test_a_single_item_is_told_as_one(addressed: Any, ended: Any, deliver: Any):
    ended(["a"], email_at_end=True)
    deliver()
    assert "1 of 1 item was processed." in mail.outbox[0].body


def test_who_did_not_wish_for_one_gets_none(addressed: Any, ended: Any, deliver: Any):
    ended(email_at_end=True)
    ended()
    deliver()
    assert len(mail.outbox) == 1


def test_only_the_end_is_told(addressed: Any):
    job = services.submit(user=addressed, operation="note", items=["1"], email_at_end=True)
    services.pause(job=job, actor=addressed)
    assert not Delivery.objects.exists()
    services.cancel(job=job, actor=addressed)
    assert Delivery.objects.get().event == "job.cancelled"


def test_a_mail_server_that_refuses_is_asked_again_with_the_same_message_id(
    addressed: Any, ended: Any, deliver: Any, come_due: Any, settings: Any
):
    settings.EMAIL_BACKEND = f"{__name__}.BrokenBackend"
    ended(email_at_end=True)
    for _ in range(3):
        deliver()
        come_due()
    errors = list(DeliveryAttempt.objects.values_list("error", flat=True))
    assert errors == ["ConnectionRefusedError: no mail today"] * 2 + [""]
    assert len(mail.outbox) == 1


def test_nothing_switches_e_mails_off(addressed: Any, ended: Any, deliver: Any, come_due: Any):
    ended(email_at_end=True)
    addressed.email = ""
    addressed.save()
    for _ in range(12):
        deliver()
        come_due()
    assert (Delivery.objects.get().state, Endpoint.objects.get().disabled_at) == ("failed", None)
    assert set(DeliveryAttempt.objects.values_list("error", flat=True)) == {mailing.NO_ADDRESS}


def test_who_has_no_address_cannot_wish_for_one(owner: Any, tmp_path: Any):
    with pytest.raises(InvalidSubmission, match="no e-mail address"):
        services.submit(user=owner, operation="note", items=["1"], email_at_end=True)
    items = tmp_path / "items.txt"
    items.write_text("1\n")
    with pytest.raises(SystemExit) as refusal:
        call_command("enqueue", "note", "--user", "owner", "--items", str(items), "--email", stderr=io.StringIO())
    assert refusal.value.code == 2
    assert not Job.objects.exists()


def test_from_the_shell_and_in_a_retry(addressed: Any, worker: Any, tmp_path: Any):
    items = tmp_path / "items.txt"
    items.write_text("a\nbad\n")
    out = io.StringIO()
    call_command("enqueue", "failing", "--user", "owner", "--items", str(items), "--email", stdout=out)
    job = worker.finish(Job.objects.get(pk=out.getvalue().strip()))
    child = services.retry(job=job, actor=addressed)
    assert (job.email_at_end, child.email_at_end) == (True, True)


def test_a_webhook_that_was_switched_off_is_told_by_e_mail(
    addressed: Any, endpoint: Any, receiver: Any, ended: Any, deliver: Any
):
    to = receiver(410)
    endpoint(to.url)
    ended()
    deliver()
    deliver()
    (sent,) = mail.outbox
    assert sent.subject == "Your webhook was switched off"
    assert to.url in sent.body
    assert recording.GONE in sent.body
    assert Delivery.objects.get(endpoint=outbox.email_endpoint(addressed)).state == "delivered"

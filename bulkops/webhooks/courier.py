"""Goes round with deliveries: claims, sends several at once, records; one slow receiver holds up nobody but itself.

The database is used by one thread alone. The others only send, outside any transaction.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from bulkops.conf import conf
from bulkops.webhooks import calling, claiming, mailing, outbox, recording
from bulkops.webhooks.models import Kind
from bulkops.webhooks.saying import Said

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkops.webhooks.claiming import Claimed

LOOK_SECONDS = 0.25
LINGER_SECONDS = 8.0
"""It stays so long after its last delivery, so that the first retry, and another job's end, find it there."""


OTHERS = 4
"""One owner's receivers leave this part of the places to those of others, however many they are and however slow."""


def go_round(cluster_id: int, *, stopping: Callable[[], bool], linger_seconds: float = LINGER_SECONDS) -> int:
    """Send what is due until nothing has been for a while; return the number of attempts.

    Commits by itself. Raises the database's errors; what was in hand then is sent once more by somebody else.
    """
    attempts = 0
    most = conf().webhook_parallel
    in_hand: dict[Future[Said], Claimed] = {}
    began = last = time.monotonic()
    pool = ThreadPoolExecutor(most, thread_name_prefix="send")
    try:
        while True:
            leaving = stopping() or time.monotonic() - began > claiming.ROUND_SECONDS
            room = most - len(in_hand)
            if room and not leaving:
                failing = sum(one.endpoint.failing_since is not None for one in in_hand.values())
                claimed = claiming.claim(
                    cluster_id,
                    room,
                    max(1, most // 2) - failing,
                    most_each=max(1, most - max(1, most // OTHERS)),
                    held=[one.endpoint.owner_id for one in in_hand.values()],
                )
                in_hand |= {pool.submit(send, one): one for one in claimed}
            if not in_hand:
                if leaving or time.monotonic() - last >= linger_seconds:
                    return attempts
                time.sleep(LOOK_SECONDS)
                continue
            done, _ = wait(in_hand, LOOK_SECONDS, FIRST_COMPLETED)
            for future in done:
                recording.record(in_hand.pop(future), future.result())
                attempts, last = attempts + 1, time.monotonic()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def send(claimed: Claimed) -> Said:
    """One attempt. Asks the database nothing: all it needs was read with the claim."""
    endpoint, delivery = claimed.endpoint, claimed.delivery
    try:
        if endpoint.kind == Kind.EMAIL:
            return mailing.send(outbox.address_of(endpoint.owner), str(delivery.pk), delivery.body)
        return calling.post(endpoint.url, str(delivery.pk), delivery.body, [endpoint.secret, *endpoint.former_secrets])
    except Exception as error:  # a mistake here must not keep the others from being sent
        return Said(0.0, f"It could not be sent: {type(error).__name__}.")

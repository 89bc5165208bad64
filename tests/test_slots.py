"""The shared memory in which a worker notes what it has in hand."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from uuid import uuid4

import pytest

from bulkops.cluster.slots import Slots
from bulkops.engine import hand
from bulkops.engine.hand import Doing, InHand


def some(**what) -> InHand:
    given = {"doing": Doing.ITEM, "job_id": uuid4(), "limit_seconds": 2.5, "chunk_id": 2**40, "epoch": 7}
    return InHand(**(given | {"position": 123_456, "attempt": 2} | what))


def test_what_is_written_is_read_and_what_is_cleared_is_gone():
    slot = Slots(3).take(17)
    assert slot.read() is None
    slot.write(in_hand := some())
    assert slot.read().in_hand == in_hand
    slot.clear()
    assert slot.read() is None


def test_a_slot_that_was_given_back_is_empty_for_the_next_worker():
    of_one = Slots(1)
    of_one.take(1).write(some())
    of_one.give_back(1)
    assert of_one.take(2).read() is None


def test_a_worker_that_died_while_it_wrote_is_not_blamed():
    slot = Slots(1).take(1)
    slot.write(some())
    slot._memory[slot._offset + 5] ^= 0xFF  # as far as it got
    assert slot.read() is None
    slot.write(in_hand := some())
    assert slot.read().in_hand == in_hand


@pytest.mark.parametrize(("limit", "overdue"), [(0.001, True), (60, False), (0, False)])
def test_overdue_is_what_took_longer_than_it_may(limit, overdue):
    slot = Slots(1).take(1)
    slot.write(some(limit_seconds=limit))
    time.sleep(0.01)  # the limit itself is what passes here
    assert slot.read().overdue is overdue


def test_a_forked_worker_writes_what_its_leader_reads_and_never_half_of_it():
    slot = Slots(1).take(1)
    whole = [some(position=number, epoch=number, chunk_id=number, limit_seconds=number) for number in range(50)]

    def write_for_ever() -> None:
        while True:
            for in_hand in whole:
                slot.write(in_hand)

    writer = multiprocessing.get_context("fork").Process(target=write_for_ever, daemon=True)
    writer.start()
    seen = [found.in_hand for _ in range(20_000) if (found := slot.read()) is not None]
    writer.kill()
    writer.join()
    # Where the machine is busy, the writer may be made to stand still in the middle of a write for many reads.
    assert len(seen) > 1_000, "a writer that never rests must not make its slot unreadable"
    assert len(set(seen)) > 10
    assert set(seen) <= set(whole)


def test_holding_notes_and_takes_back_also_when_the_code_raises():
    slot = Slots(1).take(1)
    hand.use(slot)
    try:
        held = []
        with contextlib.suppress(ZeroDivisionError), hand.Holding(some()):
            held.append(slot.read())
            held.append(1 / 0)
        assert held[0] is not None
        assert len(held) == 1
        assert slot.read() is None
    finally:
        hand.use(None)

"""Ids that sort by the time of their making, so that jobs of the same time can be kept together."""

from __future__ import annotations

import time
from uuid import RFC_4122

from bulkops import job_ids


def test_an_id_is_a_uuid_of_version_7_that_begins_with_its_moment():
    before = time.time_ns() // 1_000_000
    made = job_ids.new()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_a_later_one_sorts_after_an_earlier_one():
    made = []
    for _ in range(3):
        made.append(job_ids.new())
        time.sleep(0.002)  # the moment is told in milliseconds
    assert made == sorted(made)


def test_of_many_made_at_once_none_is_like_another_in_full_or_in_short():
    made = [job_ids.new() for _ in range(200)]
    assert len(set(made)) == len({job_ids.short(one) for one in made}) == 200
    random_bits = [one.int & (1 << 62) - 1 for one in made]
    assert len({bits >> 54 for bits in random_bits}) > 50, "their chance is not in their end alone"

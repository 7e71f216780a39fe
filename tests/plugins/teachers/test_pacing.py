"""Waits: token buckets keep the rate, backoff grows and obeys the server, however it writes its wish."""

import pytest

from aya_plugins.teachers.runtime.pacing import LONGEST_BACKOFF, Bucket, asked_to_wait, backoff

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("per_minute", [6, 60, 6000])
def test_no_minute_sees_more_than_a_second_above_the_limit(per_minute):
    bucket = Bucket(per_minute, Clock())
    sent = sorted(bucket.reserve(1) for _ in range(3 * per_minute))
    for start in sent[:: max(1, per_minute // 10)]:
        assert sum(start <= time < start + 60 for time in sent) <= per_minute + max(1, per_minute / 60)
    assert sent[-1] == pytest.approx(180, rel=0.1, abs=10)  # and it is not slower than it may be


def test_a_bucket_fills_up_again_to_one_second_and_no_more():
    clock = Clock()
    bucket = Bucket(600, clock)
    assert [bucket.reserve(1) for _ in range(12)] == pytest.approx([0] * 10 + [0.1, 0.2])
    clock.now = 1000.0
    assert [bucket.reserve(1) for _ in range(12)] == pytest.approx([0] * 10 + [0.1, 0.2])


def test_what_was_reserved_and_not_used_lets_others_through():
    bucket = Bucket(600, Clock())
    assert bucket.reserve(110) == pytest.approx(10)
    bucket.give_back(95)
    assert bucket.reserve(5) == pytest.approx(1)


def test_backoff_doubles_up_to_a_minute_and_comes_on_top_of_what_the_server_asks():
    def longest(low, high):
        return high

    assert [backoff(attempt, 0.5, None, longest) for attempt in range(4)] == [0.5, 1, 2, 4]
    assert backoff(10**6, 0.5, None, longest) == LONGEST_BACKOFF
    assert backoff(0, 0.5, 20.0, longest) == 20.5
    draws = [backoff(2, 1.0, None) for _ in range(200)]
    assert 0 <= min(draws) < 1
    assert 3 < max(draws) <= 4  # full jitter: anywhere below


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:27 GMT"}, 7),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "60", "retry-after-ms": "1500"}, 1.5),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2.5s"}, 62.5),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1m2.5s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
    ],
)
def test_a_server_can_ask_to_wait_in_many_ways(headers, seconds):
    assert asked_to_wait(headers, NOW) == (None if seconds is None else pytest.approx(seconds))

"""How fast a server is asked: laws of `Pace` against servers that count seconds of their own."""

import heapq
import itertools
import math

import pytest

from aya_plugins.teachers.runtime.pace import FIRST_PAUSE, Pace


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Limited:
    """Takes so many requests a second, and as many at once (`burst`); the answer comes after `latency` seconds."""

    def __init__(self, per_second, burst, latency, retry_after):
        self.per_second, self.burst, self.latency, self.retry_after = per_second, burst, latency, retry_after
        self.level, self.seen = burst, 0.0

    def takes(self, now):
        self.level = min(self.burst, self.level + (now - self.seen) * self.per_second)
        self.seen = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


def ask(server, requests, most=64):
    """Ask until all are answered; returns the seconds it took, the requests in vain, and when each went."""
    clock = Clock()
    pace = Pace(most, clock)
    coming, sent, left, answered, in_vain = [], [], requests, 0, 0
    number = itertools.count()
    while answered < requests:
        wait = pace.wait() if left else math.inf
        if wait <= 0:
            is_taken = server.takes(clock.now)
            left -= 1
            sent.append(clock.now)
            reply = clock.now + (server.latency if is_taken else 0.003)
            heapq.heappush(coming, (reply, next(number), is_taken, pace.sent()))
            assert pace.in_flight <= most
        elif coming and coming[0][0] <= clock.now + wait:
            clock.now, _, is_taken, went = heapq.heappop(coming)
            if is_taken:
                pace.answered()
                answered += 1
            else:
                pace.busy(went, server.retry_after)
                in_vain += 1
                left += 1
        else:
            clock.now += wait + 1e-9
    return clock.now, in_vain, sent


@pytest.mark.parametrize("retry_after", [1.0, None])
def test_a_server_of_two_requests_a_second_answers_at_that_rate_and_is_seldom_asked_in_vain(retry_after):
    seconds, in_vain, _ = ask(Limited(2, 2, 0.002, retry_after), 150)
    assert seconds < 1.12 * 75
    assert in_vain < 0.1 * 150


@pytest.mark.parametrize(("per_second", "latency"), [(20, 0.5), (10, 3.0), (500, 0.05)])
def test_the_pace_of_a_server_is_found_whatever_its_latency(per_second, latency):
    requests = 50 * per_second
    seconds, in_vain, _ = ask(Limited(per_second, per_second, latency, 1.0), requests)
    assert seconds < 1.35 * 50
    assert in_vain < 0.03 * requests


def test_a_server_without_a_limit_is_soon_asked_as_much_as_may_be():
    seconds, in_vain, _ = ask(Limited(1e9, 1e9, 0.1, 1.0), 5000)
    assert in_vain == 0
    assert seconds < 1.1 * 5000 / 64 * 0.1


class BusyAtFirst(Limited):
    """Has no limit, but tells the first few requests to come back."""

    def __init__(self, few, latency):
        super().__init__(1e9, 1e9, latency, None)
        self.few = few

    def takes(self, now):
        self.few -= 1
        return self.few < 0


@pytest.mark.parametrize("few", [1, 4])
def test_a_few_busy_replies_before_the_first_answer_are_soon_forgotten(few):
    seconds, in_vain, _ = ask(BusyAtFirst(few, 0.1), 1000)
    assert in_vain == few
    assert seconds < 12  # 1.6 without them


def test_nothing_is_sent_in_a_pause():
    clock = Clock()
    pace = Pace(8, clock)
    first, second = pace.sent(), pace.sent()
    clock.now = 0.01
    pace.busy(first, 5.0)
    assert pace.wait() == pytest.approx(5.0)
    pace.busy(second, 7.0)  # of before the pause: it makes it longer, and no more
    assert pace.wait() == pytest.approx(7.0)
    clock.now = 7.02
    assert pace.wait() == 0


def test_pauses_that_nobody_named_double_until_something_is_answered():
    clock = Clock()
    pace = Pace(8, clock)
    pauses = []
    for _ in range(1100):  # a weekend, after which the doubling would leave the floats
        clock.now += pace.wait() + 1e-6
        went = pace.sent()
        pace.busy(went, None)
        pauses.append(pace.wait())
    assert pauses[:3] == pytest.approx([FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE])
    assert pauses[-1] == pytest.approx(60)


def test_fewer_are_in_flight_after_a_server_was_busy():
    clock = Clock()
    pace = Pace(16, clock)
    clock.now = 10.0
    went = [pace.sent() for _ in range(16)]
    pace.busy(went[0], 1.0)
    for _ in range(7):
        pace.failed()
    clock.now = 60.0
    assert pace.in_flight == 8
    assert pace.wait() == math.inf  # no more than half
    pace.answered()
    clock.now = 120.0
    assert pace.wait() == 0

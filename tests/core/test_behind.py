"""Work that is done in a thread while the caller goes on."""

import threading

import pytest

from aya_core.running.asking.behind import Behind


def test_pieces_are_done_one_at_a_time_in_their_order_and_all_of_them_by_the_end():
    done, at_work = [], threading.Lock()

    def piece(number):
        assert at_work.acquire(blocking=False)
        done.append(number)
        at_work.release()

    with Behind() as behind:
        for number in range(50):
            behind.do(lambda number=number: piece(number))
    assert done == list(range(50))


def test_the_caller_goes_on_while_a_piece_is_done_and_waits_before_the_next():
    may_end, ended = threading.Event(), []

    def piece():
        may_end.wait(10)
        ended.append(True)

    with Behind() as behind:
        behind.do(piece)
        assert not ended
        threading.Timer(0.1, may_end.set).start()
        behind.do(lambda: None)
        assert ended


@pytest.mark.parametrize("more", [0, 1])
def test_what_a_piece_raises_is_raised_by_the_next_call_or_at_the_end(more):
    done = []

    def fail():
        with Behind() as behind:
            behind.do(lambda: 1 // 0)
            for _ in range(more):
                behind.do(lambda: done.append(True))

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not done


def test_where_the_caller_fails_that_is_told_and_the_last_piece_is_done_all_the_same():
    done = []

    def fail():
        with Behind() as behind:
            behind.do(lambda: done.append(True))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert done

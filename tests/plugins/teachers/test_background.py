"""An asynchronous producer as an iterator: order, bounded room, errors after items, clean ends."""

import asyncio
import threading

import pytest

from aya_plugins.teachers.runtime.background import in_background


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "in_background"]


def test_items_come_in_the_order_in_which_they_were_given():
    async def produce(give):
        for item in range(100):
            await give(item)

    assert list(in_background(produce, room=3)) == list(range(100))
    assert not threads()


def test_nothing_is_produced_before_it_is_asked_for_nor_beyond_the_room():
    given = []

    async def produce(give):
        for item in range(1000):
            given.append(item)
            await give(item)

    items = in_background(produce, room=5)
    assert not given
    for taken in range(1, 50):
        next(items)
        assert len(given) <= taken + 5 + 1
    items.close()
    assert len(given) < 60
    assert not threads()


def test_an_error_comes_after_what_was_given_before_it():
    async def produce(give):
        await give("paid for")
        raise ValueError("broken")

    items = in_background(produce, room=1)
    assert next(items) == "paid for"
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert not threads()


def test_what_is_given_beside_a_failure_is_not_lost():
    """Many tasks wait for room when one fails: all that they gave is delivered."""

    async def produce(give):
        async def fail():
            await asyncio.sleep(0)
            raise ValueError("broken")

        await asyncio.gather(*(give(item) for item in range(20)), fail())

    items = in_background(produce, room=2)
    assert [next(items) for _ in range(20)] == list(range(20))
    with pytest.raises(ValueError, match="broken"):
        next(items)


def test_closing_early_lets_the_producer_clean_up():
    cleaned = []

    async def produce(give):
        try:
            await give(1)
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    items = in_background(produce, room=1)
    assert next(items) == 1
    items.close()
    assert cleaned == [True]
    assert not threads()


def test_it_works_in_a_thread_that_runs_a_loop_already():
    async def produce(give):
        await give(1)

    async def notebook():
        return list(in_background(produce, room=1))

    assert asyncio.run(notebook()) == [1]


def test_a_loop_that_cannot_be_had_is_an_error(monkeypatch):
    def no_files_left(main):
        main.close()
        raise OSError(24, "Too many open files")

    async def produce(give):
        await give(1)

    monkeypatch.setattr(asyncio, "run", no_files_left)
    with pytest.raises(OSError, match="Too many open files"):
        next(in_background(produce, room=1))

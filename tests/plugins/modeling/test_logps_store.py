"""The store of log-probabilities: what is put in is found again, by any number of processes, damage or not."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
from hypothesis import given, strategies as st

from aya_core.api import AyaError
from aya_plugins.modeling.logps_store import LogpsStore, row_keys
from aya_plugins.modeling.rows import RowGatherer


def encode(rows):
    gatherer = RowGatherer(100)
    for ids, answer in rows:
        gatherer.add(ids, answer)
    return gatherer.encoded()


def draw(seed, many):
    """Names and values of random rows; a row's values follow from its number, whoever draws it."""
    numbers = numpy.random.default_rng(seed).choice(200, many, replace=False)
    lengths = 1 + numbers % 7
    logps = numpy.concatenate([-numpy.arange(length) - number for number, length in zip(numbers, lengths, strict=True)])
    names = row_keys(encode([([int(number)] * 8, 1) for number in numbers]))
    return names, lengths, logps.astype(numpy.float32)


def found(store, names):
    """What a store says of some rows: a list of values for each name that stands there."""
    values = {}
    ordered = numpy.unique(names)
    for places, lengths, logps in store.find(ordered):
        for place, row in zip(places, numpy.split(logps, numpy.cumsum(lengths))[:-1], strict=True):
            values[ordered[place]] = row.tolist()
    return values


def expected(names, lengths, logps):
    rows = numpy.split(logps, numpy.cumsum(lengths))[:-1]
    return {name: row.tolist() for name, row in zip(names, rows, strict=True)}


rows = st.lists(st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(0, 5)), max_size=8)


@given(rows)
def test_rows_have_one_name_if_and_only_if_ids_and_answer_start_are_the_same(drawn):
    clipped = [(ids, min(answer, len(ids))) for ids, answer in drawn]
    names = row_keys(encode(clipped)).tolist()
    assert len(names) == len(clipped)
    for i, one in enumerate(clipped):
        for j, other in enumerate(clipped):
            assert (names[i] == names[j]) == (one == other)


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 60))
def test_what_is_put_in_is_found_and_nothing_else(tmp_path_factory, seed, many, asked):
    store = LogpsStore(tmp_path_factory.mktemp("store") / "new")
    put, wanted = draw(seed, many), draw(seed + 1, asked)
    assert found(store, wanted[0]) == {}
    store.add(*put)
    both = set(put[0]) & set(wanted[0])
    assert found(store, wanted[0]) == {name: row for name, row in expected(*put).items() if name in both}


def test_a_shard_that_is_written_twice_is_one_file(tmp_path):
    store = LogpsStore(tmp_path)
    store.add(*draw(0, 20))
    store.add(*draw(0, 20))
    assert len(list(tmp_path.iterdir())) == 1


def test_writers_and_readers_do_not_disturb_one_another(tmp_path):
    store = LogpsStore(tmp_path / "store")
    drawn = [draw(seed % 6, 30) for seed in range(24)]  # the same shards several times, and rows in several shards
    whole = {name: row for one in drawn for name, row in expected(*one).items()}

    def write_and_read(one):
        store.add(*one)
        seen = found(store, numpy.array(list(whole)))
        assert seen.items() >= expected(*one).items()
        assert seen.items() <= whole.items()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_and_read, drawn))
    assert found(store, numpy.array(list(whole))) == whole
    assert not list((tmp_path / "store").glob(".*"))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap"])
def test_a_damaged_shard_is_not_believed_but_set_aside(tmp_path, damage):
    store = LogpsStore(tmp_path)
    store.add(*draw(0, 20))
    (first,) = tmp_path.iterdir()
    store.add(*draw(1, 20))
    (second,) = set(tmp_path.iterdir()) - {first}
    data = bytearray(first.read_bytes())
    data[-3] ^= 1
    first.write_bytes({"flip": data, "cut": data[:-8], "empty": b"", "swap": second.read_bytes()}[damage])
    both = numpy.concatenate([draw(0, 20)[0], draw(1, 20)[0]])
    assert found(store, both) == expected(*draw(1, 20))
    assert set(tmp_path.iterdir()) == {second, first.with_name(first.name + ".damaged")}


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy
from aya_plugins.modeling.logps_store import LogpsStore, row_keys

write = Path.write_bytes
def half(self, data):
    write(self, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
Path.write_bytes = half
LogpsStore(Path(sys.argv[1])).add(numpy.array([b"0" * 16]), numpy.array([3]), numpy.zeros(3))
"""


def test_a_writer_that_is_killed_leaves_no_shard(tmp_path):
    ended = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    assert ended.returncode == -9
    assert len(list(tmp_path.iterdir())) == 1  # half a file, under a name that is no shard's
    assert found(LogpsStore(tmp_path), numpy.array([b"0" * 16])) == {}


def test_a_store_that_cannot_be_written_says_where_and_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        AyaError, match=r"file/store: cannot keep log-probabilities here \(Not a directory\); make room"
    ):
        LogpsStore(tmp_path / "file" / "store").add(*draw(0, 3))

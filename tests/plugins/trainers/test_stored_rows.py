"""Rows that are read as they are needed are those of a list, and tokens on disk those in memory."""

from array import array

import numpy
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from aya_core.api import Demonstration, read_rows, user_prompt, write_rows
from aya_plugins.modeling import rows as rows_module
from aya_plugins.modeling.logps_store import row_keys
from aya_plugins.modeling.rows import OnDisk, RowGatherer, collate
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime.stored_rows import Seen, StoredRows, joined, languages_of, of_all, some_of
from aya_plugins.trainers.sft import Sft

MANY = 9000
"""More than a row group, and than is read at a time."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Rows in two files, as a list and as they lie on disk."""
    folder = tmp_path_factory.mktemp("stored")
    listed = [Demonstration(user_prompt(str(n), "de" if n % 3 else "tr", f"{n}?"), f"{n}!") for n in range(MANY)]
    write_rows(folder, Demonstration, listed[:8500], "a.parquet")
    write_rows(folder, Demonstration, listed[8500:], "b.parquet")
    return listed, folder


@pytest.mark.parametrize("first", [0, 1, 1023, 1024, 8191, 8192, 8499, 8500, 8999, 9000, 9001])
def test_reading_begins_with_any_row(stored, first):
    listed, folder = stored
    assert list(read_rows(folder, Demonstration, first)) == listed[first:]


@pytest.mark.parametrize("some", [False, True])
def test_stored_rows_are_those_of_a_list(stored, some):
    listed, folder = stored
    rows = StoredRows(folder, Demonstration)
    if some:
        places = array("q", [place for place in range(MANY) if place % 7 in (2, 3)])
        rows, listed = some_of(rows, places), [listed[place] for place in places]
    assert len(rows) == len(listed)
    assert list(rows) == list(rows) == listed
    for place in (0, 1, 1500, len(listed) - 1, -1):
        assert rows[place] == listed[place]
    for start in range(0, len(listed), 4096):
        assert rows[start : start + 4096] == listed[start : start + 4096]
    assert rows[10:12] == listed[10:12]
    assert rows[30:10:-7] == listed[30:10:-7]
    with pytest.raises(IndexError):
        rows[len(listed)]
    twice = joined(rows, listed)
    assert list(twice) == [*listed, *listed]
    assert twice[len(listed) - 1 : len(listed) + 2] == [listed[-1], *listed[:2]]
    assert twice[len(listed)] == listed[0]
    assert languages_of(StoredRows(folder, Demonstration)) == {"de", "tr"}


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 3))
def test_what_is_seen_of_rows_is_what_a_list_of_it_holds(start, stop, each):
    rows = ["a", "b", "c"]
    listed = [(row, one) for row in rows for one in range(each)]
    seen = Seen(rows, lambda row: [(row, one) for one in range(each)], each)
    assert list(seen) == listed
    assert seen[start:stop] == listed[start:stop]
    assert [seen[place] for place in range(len(seen))] == listed
    chosen = of_all(seen, numpy.arange(0, len(listed), 2))
    assert list(chosen) == listed[::2]
    assert chosen[start:stop] == listed[::2][start:stop]


@given(st.lists(st.lists(st.integers(0, 50), max_size=9), max_size=40), st.integers(0, 30))
@hypothesis_settings(deadline=None)
def test_tokens_on_disk_are_those_in_memory(tmp_path_factory, ids, at_once):
    gatherers = [RowGatherer(7), RowGatherer(7, tmp_path_factory.getbasetemp())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "AT_ONCE", at_once)
        for gatherer in gatherers:
            for row in ids:
                gatherer.add(row, min(2, len(row)))
        memory, disk = (gatherer.encoded() for gatherer in gatherers)
        if sum(min(7, len(row)) for row in ids) > at_once:
            assert isinstance(disk.ids, OnDisk)
        for name in ("starts", "answers", "truncated", "lengths", "answer_tokens", "scored_tokens"):
            assert (getattr(memory, name) == getattr(disk, name)).all()
        assert [memory.row(place) for place in range(len(ids))] == [disk.row(place) for place in range(len(ids))]
        assert (row_keys(memory) == row_keys(disk)).all()
        wanted = numpy.arange(0, len(ids), 2)
        assert [memory.take(wanted).row(n) for n in range(len(wanted))] == [
            disk.take(wanted).row(n) for n in range(len(wanted))
        ]
        filled = numpy.flatnonzero(memory.lengths)
        if len(filled):
            for one, other in zip(collate(memory, filled, 0)[:4], collate(disk, filled, 0)[:4], strict=True):
                assert one.equal(other)


@pytest.mark.parametrize("trainer", [Sft, PreferenceTraining])
def test_training_from_disk_is_training_from_memory(
    checkpoint, counting, pairs, rows_folder, run_trainer, monkeypatch, trainer
):
    rows = rows_folder(pairs if trainer is PreferenceTraining else counting)
    settings = trainer(steps=3, batch_rows=9, validation={"hold_back": 0.3})
    found = []
    for at_once in (rows_module.AT_ONCE, 5):
        monkeypatch.setattr(rows_module, "AT_ONCE", at_once)
        out, measures = run_trainer(settings, rows, start=checkpoint(), objective=Dpo().build())
        found.append(((out / "model.safetensors").read_bytes(), measures["loss"], measures["validation/loss"]))
    assert found[0] == found[1]

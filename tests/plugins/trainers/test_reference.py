"""The reference: scored once, found by anybody who needs the same rows, and gone from memory."""

import gc
import json
import shutil
import weakref

import numpy
import pytest
import torch
from accelerate.state import AcceleratorState
from hypothesis import given, strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from aya_core.api import TrainingJob
from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import RowGatherer, collate, length_sorted
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.ipo import Ipo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime import reference as module
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.reference import batches, reference_logps
from aya_plugins.trainers.sft import Sft

SETTINGS = Sft(forward_tokens=64, checkpoint_seconds=0, max_tokens=100)
"""Many small batches, a shard for each."""


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def passes(monkeypatch):
    """The number of rows of each forward pass, as they are made; `stop` names the pass that a kill interrupts."""

    class Passes(list):
        stop = None

    seen, forward = Passes(), AnswerLogps.forward

    def counting_forward(self, batch):
        if len(seen) == seen.stop:
            raise KilledError
        seen.append(batch.rows)
        return forward(self, batch)

    monkeypatch.setattr(AnswerLogps, "forward", counting_forward)
    return seen


@pytest.fixture
def look_up(checkpoint, tmp_path):
    """Ask for the reference of demonstrations; returns it and the encoded rows."""

    def run(rows, *, where=None, settings=SETTINGS, store=tmp_path / "store", by_token=True, contents=None):
        where = where or checkpoint()
        encoder = load_encoder(where, max_tokens=settings.max_tokens)
        encoded = encoder.answers([(row.prompt, row.completion) for row in rows])
        job = TrainingJob(
            rows=tmp_path,
            out=tmp_path,
            work=tmp_path / "work",
            seed=0,
            start=where,
            store=store,
            contents=contents or {},
        )
        accelerator = start_accelerator(settings)
        return reference_logps(job, where, encoded, encoder.pad_id, accelerator, settings, by_token=by_token), encoded

    return run


def every(encoded):
    return numpy.arange(len(encoded))


def test_sums_and_tokens_are_those_of_the_model(checkpoint, counting, look_up):
    found, encoded = look_up(counting)
    model = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    with torch.no_grad():
        table = model(collate(encoded, every(encoded), 0)).numpy()
    rows = numpy.array([5, 0, 5, 26])
    assert found.tokens(every(encoded)).shape == table.shape
    numpy.testing.assert_allclose(found.tokens(every(encoded)), table, rtol=1e-5, atol=1e-5)
    numpy.testing.assert_allclose(found.sums(rows), table[rows].sum(1), rtol=1e-5)
    numpy.testing.assert_allclose(found.tokens(rows).sum(1), found.sums(rows), rtol=1e-6)


def test_a_filled_store_gives_the_same_bits_and_no_model_is_loaded(counting, look_up, monkeypatch):
    first, encoded = look_up(counting)
    monkeypatch.setattr(module, "load_causal_lm", lambda *_, **__: pytest.fail("the reference was loaded"))
    for by_token in (True, False):
        again, _ = look_up(counting, by_token=by_token)
        numpy.testing.assert_array_equal(again.sums(every(encoded)), first.sums(every(encoded)))
    numpy.testing.assert_array_equal(look_up(counting)[0].tokens(every(encoded)), first.tokens(every(encoded)))
    with pytest.raises(AssertionError, match="only sums were asked for"):
        again.tokens(every(encoded))


def test_rows_are_found_in_any_order_and_company_and_only_new_ones_are_scored(counting, look_up, passes):
    whole, _ = look_up(counting[:20])
    assert sum(passes) == 20
    passes.clear()
    order = [3, 19, 3, 0, 7]
    some, _ = look_up([counting[place] for place in order])
    assert passes == []
    numpy.testing.assert_array_equal(some.sums(numpy.arange(5)), whole.sums(numpy.array(order)))
    more, _ = look_up(counting[::-1])
    assert sum(passes) == 7
    numpy.testing.assert_array_equal(more.sums(numpy.arange(7, 27)), whole.sums(numpy.arange(20))[::-1])


def test_bits_do_not_depend_on_the_order_of_rows_nor_on_repetitions(counting, look_up, tmp_path):
    one, encoded = look_up(counting, store=tmp_path / "one")
    other, _ = look_up([*counting[::-1], *counting], store=tmp_path / "other")
    numpy.testing.assert_array_equal(other.sums(numpy.arange(27, 54)), one.sums(every(encoded)))
    numpy.testing.assert_array_equal(other.sums(numpy.arange(27))[::-1], one.sums(every(encoded)))


def test_a_pass_killed_at_any_batch_goes_on_there_and_ends_with_the_same_bits(counting, look_up, passes, tmp_path):
    whole, encoded = look_up(counting, store=tmp_path / "undisturbed")
    total = len(passes)
    assert total > 4
    for killed_at in range(total):
        passes.clear()
        passes.stop = killed_at
        with pytest.raises(KilledError):
            look_up(counting, store=tmp_path / str(killed_at))
        passes.clear()
        passes.stop = None
        resumed, _ = look_up(counting, store=tmp_path / str(killed_at))
        assert len(passes) == total - killed_at
        numpy.testing.assert_array_equal(resumed.tokens(every(encoded)), whole.tokens(every(encoded)))


def test_between_two_shards_a_kill_costs_the_batches_since_the_last_one(
    counting, look_up, passes, tmp_path, monkeypatch
):
    look_up(counting, store=tmp_path / "undisturbed")
    total = len(passes)
    monkeypatch.setattr(module, "SHARD_TOKENS", 25)  # of 81 answer tokens, end of turn included
    settings = SETTINGS.model_copy(update={"checkpoint_seconds": 1000.0})
    passes.clear()
    passes.stop = total - 1
    with pytest.raises(KilledError):
        look_up(counting, settings=settings)
    passes.clear()
    passes.stop = None
    look_up(counting, settings=settings)
    assert 1 < len(passes) < total - 1


KILLED = """
import os, signal, sys
from pathlib import Path
from aya_core.api import TrainingJob
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining

rows, start, work, store = map(Path, sys.argv[1:])
forward, seen = AnswerLogps.forward, []

def killing_forward(self, batch):
    seen.append(batch.rows)
    if len(seen) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, batch)

AnswerLogps.forward = killing_forward
settings = PreferenceTraining(steps=2, batch_rows=8, learning_rate=1e-3, forward_tokens=64, checkpoint_seconds=0)
job = TrainingJob(rows=rows, start=start, out=work, work=work, store=store, seed=0, objective=Dpo().build())
settings.build().train(job)
"""


def test_a_process_killed_in_the_pass_loses_one_batch_and_training_ends_as_if_undisturbed(
    checkpoint, pairs, rows_folder, run_trainer, passes, forked, tmp_path
):
    rows, work, store = rows_folder(pairs), tmp_path / "work", tmp_path / "store"
    work.mkdir()
    settings = PreferenceTraining(steps=2, batch_rows=8, learning_rate=1e-3, forward_tokens=64, checkpoint_seconds=0)
    job = {"start": checkpoint(), "objective": Dpo().build()}
    undisturbed, _ = run_trainer(settings, rows, **job)
    total = len(passes)
    ended = forked(KILLED, rows, checkpoint(), work, store)
    assert ended.returncode == -9, ended.stderr
    passes.clear()
    resumed, _ = run_trainer(settings, rows, work=work, store=store, **job)
    assert len(passes) == total - 4
    assert same_weights(undisturbed, resumed)


def same_weights(one, other):
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_trainer_gives_the_same_weights_without_a_store_with_an_empty_one_and_with_a_full_one(
    checkpoint, pairs, rows_folder, run_trainer, tmp_path, passes
):
    settings, rows = PreferenceTraining(steps=3, batch_rows=8, learning_rate=1e-3), rows_folder(pairs)
    job = {"start": checkpoint(), "objective": Dpo().build()}
    folders = [run_trainer(settings, rows, store=store, **job)[0] for store in (None, tmp_path, tmp_path)]
    assert same_weights(folders[0], folders[1])
    assert same_weights(folders[0], folders[2])
    assert not (folders[0] / "reference").exists()


def test_stages_with_other_objectives_lengths_and_seeds_share_what_was_scored(
    checkpoint, pairs, rows_folder, run_trainer, tmp_path, monkeypatch
):
    start = checkpoint()
    run_trainer(PreferenceTraining(steps=1), rows_folder(pairs), start=start, objective=Dpo().build(), store=tmp_path)
    loads = []

    def load(where, **options):
        loads.append(where)
        return load_causal_lm(where, **options)

    monkeypatch.setattr(module, "load_causal_lm", load)
    settings = PreferenceTraining(epochs=2, batch_rows=4, learning_rate=1e-4, sft_weight=0.1)
    job = {"start": start, "store": tmp_path, "objective": Ipo(beta=0.3).build(), "seed": 5}
    run_trainer(settings, rows_folder(pairs[5:]), **job)
    assert loads == []
    other = run_trainer(Sft(steps=1), rows_folder([pair_as_demonstration(pairs[0])]), start=start)[0]
    run_trainer(settings, rows_folder(pairs[5:]), **job, reference=other)
    assert loads == [other]


def pair_as_demonstration(pair):
    from aya_core.api import Demonstration

    return Demonstration(pair.prompt, pair.chosen)


def keys(store):
    return {path.parent.name for path in store.glob("reference/*/key.json")}


def test_weights_template_tokenizer_truncation_and_precision_each_make_another_key(
    checkpoint, counting, look_up, tmp_path
):
    store = tmp_path / "keys"

    def copy(change):
        folder = shutil.copytree(checkpoint(), tmp_path / change.__name__)
        change(folder)
        return folder

    def weights(folder):
        tensors = load_file(folder / "model.safetensors")
        tensors["model.norm.weight"] += 1e-3
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    def template(folder):
        file = folder / "chat_template.jinja"
        file.write_text("{# another #}" + file.read_text())

    def tokenizer(folder):
        made = AutoTokenizer.from_pretrained(folder)
        made.add_tokens(["more"])
        made.save_pretrained(folder)

    def nothing(folder):
        pass

    look_up(counting[:2], store=store)
    look_up(counting[:2], store=store, where=copy(nothing))  # the same content under another path
    assert len(keys(store)) == 1
    for change in (weights, template, tokenizer):
        before = keys(store)
        look_up(counting[:2], store=store, where=copy(change))
        assert len(keys(store) - before) == 1, change.__name__
    for change in ({"max_tokens": 50}, {"precision": "bf16"}):
        before = keys(store)
        AcceleratorState._reset_state()
        look_up(counting[:2], store=store, settings=SETTINGS.model_copy(update=change))
        assert len(keys(store) - before) == 1, change
    AcceleratorState._reset_state()
    look_up(counting[:2], store=store, settings=SETTINGS.model_copy(update={"forward_tokens": 16}))
    assert len(keys(store)) == 6
    AcceleratorState._reset_state()


def test_what_the_run_knows_of_a_models_content_names_it_and_no_file_is_read(counting, look_up, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "content_of", lambda path: pytest.fail("the files were read"))
    look_up(counting[:2], contents={"start": "abc", "rows": "def"})
    (key,) = (tmp_path / "store").glob("reference/*/key.json")
    assert json.loads(key.read_text())["model"] == "abc"


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_damaged_shard_is_scored_again(counting, look_up, passes, tmp_path, damage):
    whole, encoded = look_up(counting)
    shards = sorted((tmp_path / "store").glob("reference/*/*.safetensors"))
    assert len(shards) == len(passes)
    shards[1].write_bytes(damage(shards[1].read_bytes()))
    passes.clear()
    again, _ = look_up(counting)
    assert len(passes) == 1
    numpy.testing.assert_array_equal(again.tokens(every(encoded)), whole.tokens(every(encoded)))
    assert sorted((tmp_path / "store").glob("reference/*/*.safetensors")) == shards


def test_the_model_is_gone_from_memory_after_the_pass(counting, look_up, monkeypatch):
    loaded = []

    def load(where, **options):
        model = load_causal_lm(where, **options)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(module, "load_causal_lm", load)
    gc.disable()  # that it goes is not left to chance
    try:
        kept = look_up(counting)
        assert [model() for model in loaded] == [None]
    finally:
        gc.enable()
    assert len(kept[1]) == 27


def test_a_row_without_an_answer_is_all_zeros_and_costs_nothing(checkpoint, tmp_path, passes):
    rows = RowGatherer(100)
    for ids, answer in (([3, 4], 2), ([3, 4, 5], 1), ([4], 0)):
        rows.add(ids, answer)
    job = TrainingJob(rows=tmp_path, out=tmp_path, work=tmp_path, seed=0, start=checkpoint())
    found = reference_logps(job, checkpoint(), rows.encoded(), 0, start_accelerator(SETTINGS), SETTINGS)
    assert passes == [1]
    assert found.sums(numpy.arange(3))[[0, 2]].tolist() == [0, 0]
    assert (found.tokens(numpy.arange(3)) != 0).tolist() == [[False, False], [True, True], [False, False]]
    assert found.tokens(numpy.array([0])).tolist() == [[0]]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(1, 80), st.data())
def test_batches_hold_what_is_missing_once_and_whole_ones_are_those_of_an_undisturbed_pass(lengths, tokens, data):
    lengths = numpy.array(lengths)
    is_missing = numpy.array(data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))))
    has_tokens = numpy.ones(len(lengths), dtype=bool)
    found = batches(lengths, has_tokens, numpy.flatnonzero(is_missing), tokens)
    assert sorted(numpy.concatenate([*found, []]).tolist()) == numpy.flatnonzero(is_missing).tolist()
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens for batch in found)
    undisturbed = [batch.tolist() for batch in length_sorted(lengths, tokens)]
    whole = [batch for batch in undisturbed if is_missing[batch].all()]
    assert [batch.tolist() for batch in found][: len(whole)] == whole


SHARED = """
import os, sys
from pathlib import Path
import numpy
from aya_core.api import Demonstration, TrainingJob, read_rows
from aya_plugins.modeling.checkpoint import load_encoder
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.reference import reference_logps
from aya_plugins.trainers.sft import Sft

rows, start, out = map(Path, sys.argv[1:])
settings = Sft(forward_tokens=64, checkpoint_seconds=0, max_tokens=100)
encoder = load_encoder(start, max_tokens=100)
encoded = encoder.answers([(row.prompt, row.completion) for row in read_rows(rows, Demonstration)])
accelerator = start_accelerator(settings)
rank = accelerator.process_index
os.environ.update(ACCELERATE_USE_FSDP="true", FSDP_CPU_RAM_EFFICIENT_LOADING="true")  # rank 1 would load zeros
forward, seen = AnswerLogps.forward, []
AnswerLogps.forward = lambda self, batch: seen.append(batch.rows) or forward(self, batch)
everything = numpy.arange(len(encoded))

def look_up(store):
    seen.clear()
    job = TrainingJob(rows=rows, out=out, work=out, seed=0, start=start, store=store)
    found = reference_logps(job, start, encoded, encoder.pad_id, accelerator, settings)
    sums = reference_logps(job, start, encoded, encoder.pad_id, accelerator, settings, by_token=False)
    assert (sums.sums(everything) == found.sums(everything)).all()
    return found.tokens(everything)

shared = look_up(out / "shared")
passes = len(seen)
apart = look_up(out / f"apart-{rank}")  # a disk of its own for each process
numpy.savez(out / f"{rank}.npz", shared=shared, apart=apart, passes=passes, repeated=len(seen))
"""


@pytest.mark.slow
def test_two_processes_share_a_pass_and_both_have_all_of_it(
    checkpoint, counting, rows_folder, look_up, passes, forked, tmp_path
):
    alone, encoded = look_up(counting, store=tmp_path / "alone")
    ended = forked(SHARED, rows_folder(counting), checkpoint(), tmp_path, processes=2, ACCELERATE_USE_CPU="true")
    assert ended.returncode == 0, ended.stderr[:6000]
    replied = [numpy.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    for one in replied:
        numpy.testing.assert_array_equal(one["shared"], alone.tokens(every(encoded)))
        numpy.testing.assert_array_equal(one["apart"], alone.tokens(every(encoded)))
    assert sum(int(one["passes"]) for one in replied) == len(passes)
    # Each found half on its own disk: what either lacks is scored once more by the two together.
    assert sum(int(one["repeated"]) for one in replied) == 2 * len(passes)

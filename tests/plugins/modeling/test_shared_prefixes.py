"""What rows have in common is read once, and their log-probabilities are those of rows read whole."""

import numpy
import pytest
import torch
from hypothesis import given, strategies as st

from aya_core.testing.tiny import tiny_causal_lm
from aya_plugins.modeling import continuations, past
from aya_plugins.modeling.checkpoint import load_causal_lm
from aya_plugins.modeling.continuations import ContinuationScorer
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import RowGatherer
from aya_plugins.modeling.scoring import answer_logps
from aya_plugins.modeling.sharing import distinct_inputs, shared

FAMILIES = {
    "cohere": {}, "cohere2": {"sliding_window": 8}, "llama": {"tie_word_embeddings": False}, "qwen3": {"head_dim": 8},
    "gemma2": {"sliding_window": 8, "final_logit_softcapping": 3.0}, "gemma3_text": {"sliding_window": 8, "head_dim": 8},
    "mistral": {"sliding_window": 6}, "gpt2": {}, "bloom": {}, "mamba": {}, "jamba": {},
}  # fmt: skip
SEPARATE = {"mamba", "jamba"}


def encode(rows):
    gatherer = RowGatherer(1 << 30)
    for ids, first in rows:
        gatherer.add(list(ids), first)
    return gatherer.encoded()


@pytest.fixture(scope="module")
def rows():
    """Two prefixes of 60 tokens for 20 questions each, some with one-token options; 30 pairs; and odd ones."""
    draw = numpy.random.default_rng(0)

    def tokens(most):
        return draw.integers(0, 20, draw.integers(1, most)).tolist()

    found = []
    for _ in range(2):
        shots = draw.integers(0, 20, 60).tolist()
        for question in range(20):
            context = shots + tokens(12)
            found += [(context + (tokens(5) if question % 2 else tokens(2)), len(context)) for _ in range(4)]
    for _ in range(30):
        context = tokens(30)
        found += [(context + tokens(9), len(context)) for _ in range(2)]
    found += [
        ([1], 1),
        ([1, 2], 0),
        (shots + shots[:5], 30),
        (shots, 20),
        ([1, 2, 3], 3),
        (shots[:-1], 30),
        (shots, 20),
    ]
    return encode(found)


def score(model, encoded, batch_tokens=2000):
    found = numpy.full(len(encoded), numpy.nan)
    for row, nats in ContinuationScorer(model, batch_tokens=batch_tokens).score(encoded):
        assert numpy.isnan(found[row])
        found[row] = nats
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def load(family):
        if family not in made:
            folder = tiny_causal_lm(tmp_path_factory.mktemp(family), family, **FAMILIES[family])
            made[family] = load_causal_lm(folder, dtype=torch.float32)
        return made[family]

    return load


@pytest.mark.parametrize("family", FAMILIES)
def test_shared_prefixes_change_no_log_probability(models, rows, family):
    model = models(family)
    expected = answer_logps(AnswerLogps(model), rows, 0, batch_tokens=4096)
    assert score(model, rows) == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert ContinuationScorer(model, batch_tokens=1).can_share is (family not in SEPARATE)


@pytest.mark.parametrize("batch_tokens", [1, 300])
def test_log_probabilities_do_not_depend_on_batches(models, rows, batch_tokens):
    assert score(models("cohere"), rows, batch_tokens) == pytest.approx(
        score(models("cohere"), rows), rel=1e-5, nan_ok=True
    )


def test_every_token_is_read_about_once_and_the_head_runs_where_tokens_differ(models, rows, monkeypatch):
    model, seen, heads = models("llama"), [], []
    monkeypatch.setattr(continuations, "read", lambda *a, **k: seen.append(a[1].numel()) or past.read(*a, **k))
    plain = continuations.token_logps
    monkeypatch.setattr(continuations, "token_logps", lambda *a, **k: heads.append(len(a[0])) or plain(*a, **k))
    scorer = ContinuationScorer(model, batch_tokens=1)  # no padding
    assert scorer.can_share
    seen.clear()
    heads.clear()
    assert len(list(scorer.score(rows))) == len(rows)
    reads = {tuple(row[:end]) for row in map(rows.row, range(len(rows))) for end in range(1, len(row))}
    assert sum(seen) < 1.2 * len(
        reads
    )  # what two options begin with beside their question is not worth a batch of its own
    assert sum(seen) < 0.15 * rows.lengths.sum()
    predicting = {
        tuple(row[:end]) for number, row in enumerate(map(rows.row, range(len(rows))))
        for end in range(max(1, rows.answers[number]), len(row))
    }  # fmt: skip
    assert sum(heads) <= len(predicting) * 1.05


def test_batches_are_halved_where_memory_runs_out(models, rows, monkeypatch):
    expected = score(models("llama"), rows)

    def read(model, ids, *others, **how):
        if ids.shape[0] > 3:
            raise torch.OutOfMemoryError("no room")
        return past.read(model, ids, *others, **how)

    monkeypatch.setattr(continuations, "read", read)
    assert score(models("llama"), rows) == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_a_model_in_half_precision_shares_prefixes(models, rows, tmp_path):
    model = load_causal_lm(tiny_causal_lm(tmp_path, "cohere"), dtype=torch.bfloat16)
    assert ContinuationScorer(model, batch_tokens=2000).can_share
    assert score(model, rows) == pytest.approx(score(models("cohere"), rows), abs=0.5, nan_ok=True)


def test_rotations_that_depend_on_the_length_of_a_row_are_computed_whole(tmp_path):
    scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = load_causal_lm(tiny_causal_lm(tmp_path, "llama", rope_parameters=scaled), dtype=torch.float32)
    assert not ContinuationScorer(model, batch_tokens=2000).can_share


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=12), min_size=1, max_size=40),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_segments_end_to_end_are_the_inputs(rows, many, prefix_tokens):
    encoded = encode((row, 1) for row in rows)
    inputs = distinct_inputs(encoded)
    groups = shared(inputs, many=many, prefix_tokens=prefix_tokens, worthwhile=0.1)
    found = {}

    def text(segment):
        return encoded.row(inputs.rows[segment.input])[segment.begin : segment.end]

    for group in groups:
        prefix = text(group.prefix) if group.prefix else []
        for stem in group.stems:
            leaves = {leaf.input: text(leaf) for leaf in stem.leaves}
            for member in stem.inputs:
                assert member not in found
                found[member] = prefix + text(stem.own) + leaves.get(member, [])
    assert [found[inputs.of_row[place]] for place in range(len(rows))] == [row[:-1] for row in rows]
    assert len(found) == len({tuple(row[:-1]) for row in rows})

"""Log-probabilities through the fused head equal those of the model's own logits, in any batch."""

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM

from aya_core.api import AyaError
from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder
from aya_plugins.modeling.head import AnswerLogps, check_head, output_head
from aya_plugins.modeling.rows import collate, length_sorted
from aya_plugins.modeling.scoring import answer_logps

FAMILIES = ["cohere", "llama", "gemma2"]


def encode(folder, counting):
    encoder = load_encoder(folder, max_tokens=100)
    return encoder, encoder.answers([(row.prompt, row.completion) for row in counting])


def own_logps(model, encoded, row):
    """Sum the answer's log-probabilities one row at a time, from the logits that the model itself gives."""
    ids = torch.tensor([encoded.row(row)])
    logps = model(ids).logits[0].log_softmax(-1)
    first = int(encoded.answers[row])
    return logps[first - 1 : -1].gather(1, ids[0, first:, None]).sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_values_and_gradients_equal_those_of_the_models_own_logits(checkpoint, counting, family):
    encoder, encoded = encode(checkpoint(family), counting)
    rows = numpy.arange(6)
    fused, own = (load_causal_lm(checkpoint(family), dtype=torch.float32) for _ in range(2))
    ours = AnswerLogps(fused)(collate(encoded, rows, encoder.pad_id)).sum(1)
    theirs = torch.stack([own_logps(own, encoded, row) for row in rows])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ours.sum().backward()
    theirs.sum().backward()
    for (name, a), b in zip(fused.named_parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4, msg=name)


def test_the_heads_of_three_families_are_read_with_their_scale_and_cap(checkpoint):
    heads = {name: output_head(load_causal_lm(checkpoint(name), dtype=torch.float32)) for name in FAMILIES}
    assert {name: head.logit_scale for name, head in heads.items()} == {"cohere": 0.25, "llama": 1.0, "gemma2": 1.0}
    assert {name: head.softcap for name, head in heads.items()} == {"cohere": None, "llama": None, "gemma2": 3.0}


def test_the_head_of_cohere_is_tied_to_its_embeddings(checkpoint):
    model = load_causal_lm(checkpoint("cohere"), dtype=torch.float32)
    assert output_head(model).weight is model.get_input_embeddings().weight


def test_a_family_with_divided_logits_is_read_too(checkpoint):
    head = output_head(load_causal_lm(checkpoint("granite", logits_scaling=4.0), dtype=torch.float32))
    assert head.logit_scale == 0.25


def test_logits_that_we_would_get_wrong_are_refused(checkpoint):
    model = AutoModelForCausalLM.from_pretrained(checkpoint("cohere"))
    model.logit_scale = 0.5  # as a family would that hides its scale
    with pytest.raises(AyaError, match="models/odd: the logits of CohereForCausalLM are not what"):
        check_head(model, "models/odd")


@pytest.mark.parametrize("batch_tokens", [1, 40, 100, 10_000])
def test_sums_do_not_depend_on_batches_or_padding(checkpoint, counting, batch_tokens):
    encoder, encoded = encode(checkpoint(), counting)
    module = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    alone = answer_logps(module, encoded, encoder.pad_id, batch_tokens=1)
    found = answer_logps(module, encoded, encoder.pad_id, batch_tokens=batch_tokens)
    numpy.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-5)


def test_sums_come_in_the_order_of_the_rows(checkpoint, counting):
    encoder, encoded = encode(checkpoint(), counting)
    _, backwards = encode(checkpoint(), counting[::-1])
    module = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    sums = [answer_logps(module, rows, encoder.pad_id, batch_tokens=64) for rows in (encoded, backwards)]
    numpy.testing.assert_allclose(sums[0], sums[1][::-1], rtol=1e-5, atol=1e-5)


def test_batches_shrink_when_memory_runs_out(checkpoint, counting, monkeypatch):
    encoder, encoded = encode(checkpoint(), counting)
    module = AnswerLogps(load_causal_lm(checkpoint(), dtype=torch.float32))
    whole = answer_logps(module, encoded, encoder.pad_id, batch_tokens=64)
    forward = AnswerLogps.forward

    def scarce(self, batch):
        if len(batch.input_ids) > 2:
            raise torch.OutOfMemoryError
        return forward(self, batch)

    monkeypatch.setattr(AnswerLogps, "forward", scarce)
    found = answer_logps(module, encoded, encoder.pad_id, batch_tokens=10_000)
    numpy.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-5)


def test_length_sorted_batches_hold_every_row_once_within_the_budget():
    lengths = numpy.array([3, 50, 7, 7, 1, 20, 9])
    batches = list(length_sorted(lengths, 30))
    assert sorted(numpy.concatenate(batches).tolist()) == list(range(7))
    assert all(len(batch) * lengths[batch].max() <= 30 or len(batch) == 1 for batch in batches)
    assert batches[0].tolist() == [1]

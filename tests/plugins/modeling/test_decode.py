"""Answers token by token in place are those of transformers' `generate`, whatever the lengths, copies and ends of rows."""

import numpy
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from aya_plugins.modeling import decode as decoding
from aya_plugins.modeling.decode import can_decode, decode
from aya_plugins.modeling.grouped_attention import use_grouped_attention
from aya_plugins.modeling.rows import RowGatherer, left_padded

SMALL = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "initializer_range": 0.3,
}  # fmt: skip
FAMILIES = {
    "llama": {},
    "cohere2": {"sliding_window": 5, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]},
    "gemma3_text": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
    "bloom": {"n_layer": 2, "n_head": 4},
}
LENGTHS = (3, 17, 4, 1, 16, 9)
END = 7


def model_of(family, **more):
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **{**SMALL, **FAMILIES.get(family, {}), **more})
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@pytest.fixture(params=FAMILIES)
def model(request):
    model = model_of(request.param)
    use_grouped_attention(model)
    return model


@pytest.fixture(scope="module")
def prompts():
    gatherer, draw = RowGatherer(1 << 30), numpy.random.default_rng(4)
    for length in LENGTHS:
        gatherer.add(draw.integers(8, 61, length).tolist(), length)
    return gatherer.encoded()


def greedy(scores, here, step):
    return scores.argmax(-1)


def ends(made):
    return made[:, -1] == END


def decoded(model, prompts, rows, steps=20, copies=1, choose=greedy, has_ended=ends):
    with torch.inference_mode():
        return decode(
            model, prompts, numpy.array(rows), copies=copies, steps=steps, pad_id=0, choose=choose, has_ended=has_ended
        )


def generated(model, prompts, row, steps):
    ids, _ = left_padded(prompts, numpy.array([row]), 0)
    with torch.inference_mode():
        found = model.generate(
            torch.from_numpy(ids), attention_mask=torch.ones(ids.shape), max_new_tokens=steps, do_sample=False,
            eos_token_id=END, pad_token_id=0,
        )  # fmt: skip
    return found[0, ids.shape[1] :].tolist()


def cut(row):
    """A row up to its end."""
    row = row.tolist()
    return row[: row.index(END) + 1] if END in row else row


def test_rows_are_those_of_generate_on_each_prompt_alone(model, prompts):
    assert can_decode(model)
    made = decoded(model, prompts, range(len(LENGTHS)))
    for row in range(len(LENGTHS)):
        expected = generated(model, prompts, row, 20)
        assert cut(made[row])[: len(expected)] == expected


def test_rows_that_have_ended_leave_and_change_nothing(prompts, monkeypatch):
    """Rows end after 1, 2, ... tokens; how many of them wait until they leave makes no difference."""
    model = model_of("llama")
    after = torch.tensor([1, 9, 2, 5, 12, 3])

    def run(staying):
        monkeypatch.setattr(decoding, "STAYING", staying)
        sizes, drawn = [], {}

        def choose(scores, here, step):
            sizes.append(len(here))
            drawn.update({(int(row), step): int(token) for row, token in zip(here, scores.argmax(-1), strict=True)})
            return torch.where(after[here] == step + 1, END, scores.argmax(-1))

        return decoded(model, prompts, range(6), choose=choose).tolist(), sizes, drawn

    together, sizes, all_drawn = run(0.0)
    apart, fewer, few_drawn = run(1.0)
    assert together == apart
    assert [row.index(END) + 1 for row in together] == after.tolist()
    assert sizes == [6] * 12
    assert fewer == [6, 5, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1]
    assert few_drawn.items() <= all_drawn.items()


def test_a_prompt_is_read_once_for_all_of_its_copies(prompts):
    model = model_of("llama")

    def choose(scores, here, step):  # the likeliest token of each first copy, the second likeliest of each second one
        return scores.topk(2).indices.gather(1, (here % 2)[:, None])[:, 0]

    made = decoded(model, prompts, [4, 0], copies=2, choose=choose)
    assert made.shape[0] == 4
    assert cut(made[0]) == cut(decoded(model, prompts, [4])[0])
    assert cut(made[2]) == cut(decoded(model, prompts, [0])[0])
    assert made[0].tolist() != made[1].tolist()


@pytest.mark.parametrize("few", [1, 1 << 20])
def test_how_prompts_are_read_together_makes_no_difference(few, prompts, monkeypatch):
    model = model_of("gemma3_text")
    monkeypatch.setattr(decoding, "FEW_TOKENS", few)
    made = decoded(model, prompts, [5, 1, 3, 0, 2, 4])
    for place, row in enumerate([5, 1, 3, 0, 2, 4]):
        expected = generated(model, prompts, row, 20)
        assert cut(made[place])[: len(expected)] == expected


@pytest.mark.parametrize("family", ["mamba", "jamba", "falcon_h1"])
def test_models_that_keep_other_things_than_keys_and_values_are_left_to_generate(family):
    assert not can_decode(model_of(family))


def test_a_rotation_that_changes_with_the_length_is_left_to_generate():
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert not can_decode(model_of("llama", rope_parameters=rope))

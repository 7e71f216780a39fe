"""Dropout is off in preference training unless it is asked for."""

import json
import math

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.kto import Kto
from aya_plugins.trainers.policy_gradient import PolicyGradient
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.router import RouterTraining
from aya_plugins.trainers.runtime.dropout import no_dropout
from aya_plugins.trainers.sft import Sft

SMALL = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS = {
    "gpt2": {"vocab_size": 30, "n_embd": 16, "n_layer": 2, "n_head": 2, "resid_pdrop": 0.3, "embd_pdrop": 0.3, "attn_pdrop": 0.3},
    "opt": {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.3, "attention_dropout": 0.3, "layerdrop": 0.5},
    "llama": {**SMALL, "attention_dropout": 0.5},
    "bloom": {"vocab_size": 30, "hidden_size": 16, "n_layer": 2, "n_head": 2, "hidden_dropout": 0.3, "attention_dropout": 0.3},
    "falcon": {**SMALL, "hidden_dropout": 0.3, "attention_dropout": 0.3},
    "gpt_neox": {**SMALL, "hidden_dropout": 0.3, "attention_dropout": 0.3},
    "phi": {**SMALL, "resid_pdrop": 0.3, "embd_pdrop": 0.3, "attention_dropout": 0.3},
    "mixtral": {**SMALL, "num_key_value_heads": 2, "num_local_experts": 2, "router_jitter_noise": 0.5, "attention_dropout": 0.3},
    "gptj": {"vocab_size": 30, "n_embd": 16, "n_layer": 2, "n_head": 2, "rotary_dim": 4, "resid_pdrop": 0.3, "attn_pdrop": 0.3},
}  # fmt: skip


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", MODELS)
def test_without_dropout_a_model_computes_in_training_what_it_computes_in_evaluation(family, attention):
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **MODELS[family])
    try:
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    except ValueError:
        pytest.skip(f"{family} has no {attention}")
    before = json.dumps(model.config.to_dict(), sort_keys=True, default=str)
    ids = torch.arange(12)[None] % 30
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).logits
        model.train()
        assert not torch.allclose(model(input_ids=ids).logits, expected)
        with no_dropout(model):
            torch.testing.assert_close(model(input_ids=ids).logits, expected)
        assert not torch.allclose(model(input_ids=ids).logits, expected)
    assert json.dumps(model.config.to_dict(), sort_keys=True, default=str) == before


def test_encoders_keep_none_either():
    torch.manual_seed(0)
    shares = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.5}
    config = AutoConfig.for_model("bert", **SMALL, **shares)
    model = AutoModelForSequenceClassification.from_config(config)
    ids = torch.arange(12)[None]
    with torch.no_grad(), no_dropout(model):
        torch.testing.assert_close(model.train()(input_ids=ids).logits, model.eval()(input_ids=ids).logits)


def test_it_is_off_where_policies_are_compared_and_on_elsewhere():
    for strategy in (PreferenceTraining, RewardTraining, PolicyGradient):
        assert strategy().disable_dropout
    assert not Sft().disable_dropout
    assert not RouterTraining(prompts="./rows").disable_dropout


@pytest.fixture
def dropping(checkpoint):
    """A checkpoint whose configuration sets dropout."""
    return checkpoint("llama", attention_dropout=0.4)


def first_loss(run_trainer, settings, rows, start, objective):
    found = []
    out, _ = run_trainer(
        settings,
        rows,
        start=start,
        objective=objective.build(),
        report=lambda *replied: found.append(replied[2]["loss"]),
    )
    return found[0], out


@pytest.mark.parametrize(("objective", "expected"), [(Dpo(), math.log(2)), (Kto(), 0.5)])
def test_the_first_loss_of_an_untrained_policy_is_that_of_equal_models(
    dropping, pairs, rows_folder, run_trainer, objective, expected
):
    rows, loop = rows_folder(pairs), {"steps": 1, "batch_rows": 27, "log_every": 1}
    loss, out = first_loss(run_trainer, PreferenceTraining(**loop), rows, dropping, objective)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert json.loads((out / "config.json").read_text())["attention_dropout"] == 0.4
    asked, _ = first_loss(run_trainer, PreferenceTraining(**loop, disable_dropout=False), rows, dropping, objective)
    assert asked != pytest.approx(expected, abs=1e-4)


def test_the_dropout_of_a_lora_stays(dropping, pairs, rows_folder, run_trainer):
    """Its matrices begin as no change, so the second step is the first that shows it."""
    rows, loop = rows_folder(pairs), {"steps": 2, "batch_rows": 27, "log_every": 1, "learning_rate": 1e-2}
    found = {}
    for share in (0.0, 0.5):
        settings = PreferenceTraining(**loop, lora={"rank": 4, "dropout": share})
        _, measures = run_trainer(settings, rows, start=dropping, objective=Dpo().build())
        found[share] = measures["loss"]
    assert found[0.0] != found[0.5]

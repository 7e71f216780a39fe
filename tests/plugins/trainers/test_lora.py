"""LoRA: what is trained, what is written, and what is refused."""

import json

import pytest
import torch
from accelerate.state import AcceleratorState
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from aya_core.api import AyaError, MergeInput
from aya_plugins.merges.runtime.inputs import Inputs
from aya_plugins.modeling.checkpoint import load_causal_lm, load_encoder, load_unscored
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import collate
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.runtime.lora import add_lora
from aya_plugins.trainers.runtime.settings import Lora
from aya_plugins.trainers.sft import Sft


@pytest.fixture
def other_precision():
    """Let this test train in another precision: accelerate takes one a process."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


SETTINGS = {"steps": 12, "batch_rows": 27, "learning_rate": 1e-2, "schedule": "constant"}


def weights(folder):
    return load_file(folder / "model.safetensors")


def moved(module, seed=1):
    """Fill what is trained with random values, as if it had been trained."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.2)


@pytest.mark.parametrize("family", ["cohere", "llama"])  # with tied embeddings, and without
@pytest.mark.parametrize("rslora", [False, True])
def test_a_merged_state_is_what_peft_merges(checkpoint, family, rslora):
    tied = family == "cohere"
    start = checkpoint(family, tie_word_embeddings=tied)
    module = AnswerLogps(load_causal_lm(start, dtype=torch.float32))
    whole = () if tied else ("lm_head",)
    adapter = add_lora(module, Lora(rank=3, alpha=5, rslora=rslora, modules_to_save=whole), seed=0)
    moved(module)
    merged = adapter.merged(module.state_dict())
    expected = AnswerLogps(adapter.adapted.merge_and_unload()).state_dict()
    assert merged.keys() == expected.keys()
    assert merged.keys() == AnswerLogps(load_causal_lm(start, dtype=torch.float32)).state_dict().keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(merged[name], tensor, rtol=0, atol=1e-6)


def test_embeddings_that_are_not_the_head_may_have_a_lora(checkpoint):
    module = AnswerLogps(load_causal_lm(checkpoint("llama", tie_word_embeddings=False), dtype=torch.float32))
    adapter = add_lora(module, Lora(target_modules=("embed_tokens", "q_proj")), seed=0)
    moved(module)
    merged = adapter.merged(module.state_dict())
    expected = AnswerLogps(adapter.adapted.merge_and_unload()).state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(merged[name], tensor, rtol=0, atol=1e-6)


def test_a_head_that_is_trained_whole_is_the_one_that_log_probabilities_are_taken_with(checkpoint, counting):
    start = checkpoint("llama", tie_word_embeddings=False)
    encoder = load_encoder(start, max_tokens=100)
    encoded = encoder.answers([(row.prompt, row.completion) for row in counting[:3]])
    module = AnswerLogps(load_causal_lm(start, dtype=torch.float32))
    add_lora(module, Lora(modules_to_save=("lm_head",)), seed=0)
    moved(module)
    batch = collate(encoded, torch.arange(3).numpy(), encoder.pad_id)
    logits = module.model(input_ids=batch.input_ids).logits.flatten(0, 1)[batch.predictors]
    expected = logits.log_softmax(-1).gather(1, batch.targets[:, None]).squeeze(1)
    torch.testing.assert_close(module(batch).flatten()[batch.slots], expected, rtol=1e-4, atol=1e-5)
    (module(batch).sum()).backward()
    assert module.model.lm_head.modules_to_save["default"].weight.grad.abs().sum() > 0


def test_training_changes_the_linear_layers_by_low_rank_and_nothing_else(
    checkpoint, counting, rows_folder, run_trainer
):
    settings = Sft(**SETTINGS, lora={"rank": 2, "alpha": 16})
    folder, measures = run_trainer(settings, rows_folder(counting), start=checkpoint())
    before, after = weights(checkpoint()), weights(folder)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.endswith("proj.weight")}
    for name in changed:
        assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-5) <= 2
    first = run_trainer(Sft(steps=1, batch_rows=27), rows_folder(counting), start=checkpoint())[1]["loss"]
    assert measures["loss"] < first - 0.5
    _, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values())
    assert (folder / "config.json").read_text() == (checkpoint() / "config.json").read_text()


def test_the_first_step_of_a_lora_sees_the_start_itself(checkpoint, pairs, rows_folder, run_trainer):
    job = {"rows": rows_folder(pairs), "start": checkpoint(), "objective": Dpo().build()}
    _, whole = run_trainer(PreferenceTraining(steps=1, batch_rows=27), **job)
    _, thin = run_trainer(PreferenceTraining(steps=1, batch_rows=27, lora={}), **job)
    for name in ("loss", "rewards/margins", "logps/chosen"):
        assert thin[name] == pytest.approx(whole[name], abs=1e-5)


@pytest.mark.parametrize("flag", [False, True])
def test_a_lora_learns_pairs_with_and_without_activations_computed_again(
    checkpoint, pairs, rows_folder, run_trainer, flag
):
    settings = PreferenceTraining(**SETTINGS, lora={}, activation_checkpointing=flag, forward_tokens=200)
    job = {"rows": rows_folder(pairs), "start": checkpoint(), "objective": Dpo().build()}
    _, measures = run_trainer(settings, **job)
    assert measures["rewards/margins"] > 0.5
    _, plain = run_trainer(PreferenceTraining(**SETTINGS, lora={}), **job)
    assert measures["rewards/margins"] == pytest.approx(plain["rewards/margins"], rel=1e-3)


def test_dropout_of_a_lora_acts_in_training_and_depends_on_the_seed_alone(
    checkpoint, counting, rows_folder, run_trainer
):
    rows = rows_folder(counting)
    settings = Sft(**SETTINGS, lora={"dropout": 0.5})
    one, again = (weights(run_trainer(settings, rows, start=checkpoint())[0]) for _ in range(2))
    without = weights(run_trainer(Sft(**SETTINGS, lora={}), rows, start=checkpoint())[0])
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(one[name], again[name])
    assert not torch.equal(one[name], without[name])


def test_an_adapter_is_the_merged_checkpoint_once_it_is_merged(checkpoint, counting, rows_folder, run_trainer):
    """peft loads it, and the merge engine adapts the base with it, which it finds by the path in the adapter."""
    rows = rows_folder(counting)
    merged, _ = run_trainer(Sft(**SETTINGS, lora={}), rows, start=checkpoint())
    folder, _ = run_trainer(Sft(**SETTINGS, lora={"save": "adapter"}), rows, start=checkpoint())
    names = {path.name for path in folder.iterdir()}
    assert names >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md"}
    assert "model.safetensors" not in names
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(checkpoint().resolve())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name: transformers\n")
    base = AutoModelForCausalLM.from_pretrained(checkpoint())
    loaded = PeftModel.from_pretrained(base, folder).merge_and_unload().state_dict()
    opened = Inputs().open(MergeInput("lora", folder))
    for name, tensor in weights(merged).items():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=1e-6)
        values = opened.source(name).read(0, tensor.numel())
        torch.testing.assert_close(values.view_as(tensor), tensor, rtol=0, atol=1e-6)


def test_a_reward_model_with_a_lora_trains_its_new_head_whole(checkpoint, pairs, rows_folder, run_trainer):
    start = checkpoint("llama")
    settings = RewardTraining(**{**SETTINGS, "steps": 40}, lora={"rank": 4})
    folder, measures = run_trainer(settings, rows_folder(pairs), start=start)
    _, loading = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values())
    torch.manual_seed(0)
    fresh = load_unscored(start, 0).state_dict()
    assert not torch.equal(fresh["score.weight"], weights(folder)["score.weight"])
    assert measures["rewards/accuracies"] > 0.9


def test_frozen_weights_stay_in_bfloat16_under_autocast_and_nothing_changes(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, monkeypatch, other_precision
):
    start = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(checkpoint("llama"), dtype=torch.bfloat16).save_pretrained(start)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (start / name).write_bytes((checkpoint("llama") / name).read_bytes())
    kept = []
    settings = Sft(steps=3, batch_rows=9, learning_rate=1e-2, precision="bf16", lora={})
    loop = "aya_plugins.trainers.runtime.loop.keep_frozen_in"
    with monkeypatch.context() as patch:
        patch.setattr(loop, lambda adapter, dtype: kept.append(dtype))
        wide, _ = run_trainer(settings, rows_folder(counting), start=start)
    assert kept == [torch.bfloat16]
    narrow, _ = run_trainer(settings, rows_folder(counting), start=start)
    for name, tensor in weights(wide).items():
        assert torch.equal(tensor, weights(narrow)[name])


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"target_modules": ["q_prj"]}, "the model has no module 'q_prj'; expected some of .*q_proj"),
        ({"target_modules": ["lm_head"]}, "'lm_head' is the output head"),
        ({"modules_to_save": ["lm_head"]}, "'lm_head' holds the weights of the embeddings and of the output head at once"),
        ({"target_modules": ["embed_tokens"]}, "'embed_tokens' holds the weights of the embeddings and of the output"),
    ],
)  # fmt: skip
def test_modules_that_cannot_have_a_lora_are_refused(checkpoint, counting, rows_folder, run_trainer, lora, message):
    with pytest.raises(AyaError, match=message):
        run_trainer(Sft(steps=1, lora=lora), rows_folder(counting), start=checkpoint())

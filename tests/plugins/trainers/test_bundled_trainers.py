"""What each bundled trainer makes of a tiny model."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from aya_core.api import AyaError, Case, Completion, DataError, Demonstration, Preference, Sampling, user_prompt
from aya_core.contract.artifacts import write_rows
from aya_plugins.arbiters.likelihood import Likelihood
from aya_plugins.arbiters.reward_model import RewardModel
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.ipo import Ipo
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.trainers.initialize import Initialize
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.runtime.reward import bradley_terry_loss
from aya_plugins.trainers.sft import Sft

FILES = {
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
    "tokenizer_config.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(checkpoint, counting, rows_folder, run_trainer):
    """Make a model that knows the counting rows by heart."""
    settings = Sft(steps=100, batch_rows=27, learning_rate=1e-2, schedule="constant", log_every=1)
    losses = []
    folder, measures = run_trainer(
        settings, rows_folder(counting), start=checkpoint(),
        report=lambda done, total, replied: losses.append(replied["loss"]),
    )  # fmt: skip
    return folder, measures, losses


def test_sft_learns_its_rows_by_heart(trained, counting):
    folder, measures, losses = trained
    assert losses[-1] < 0.05 < losses[0]
    assert measures["steps"] == 100
    assert (measures["rows"], measures["truncated_rows"], measures["dropped_rows"]) == (27, 0, 0)
    answers = (
        Transformers(model=str(folder)).build().answer([row.prompt for row in counting], Sampling(temperature=0), 0)
    )
    assert {answer.prompt_id: answer.text for answer in answers} == {row.prompt.id: row.completion for row in counting}


def test_the_first_loss_of_sft_is_the_mean_over_answer_tokens(checkpoint, counting, rows_folder, run_trainer):
    teacher = Transformers(model=str(checkpoint())).build()
    found = teacher.log_likelihoods([(row.prompt, row.completion) for row in counting])
    expected = -sum(one.nats for one in found) / sum(one.tokens for one in found)
    _, measures = run_trainer(Sft(steps=1, batch_rows=27, forward_tokens=50), rows_folder(counting), start=checkpoint())
    assert measures["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_is_an_ordinary_one_that_transformers_loads(trained, checkpoint):
    folder = trained[0]
    assert {path.name for path in folder.iterdir()} == FILES
    model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values())
    assert model.config.logit_scale == 0.25
    assert model.generation_config.eos_token_id == AutoTokenizer.from_pretrained(folder).eos_token_id
    assert (
        AutoTokenizer.from_pretrained(folder).chat_template == AutoTokenizer.from_pretrained(checkpoint()).chat_template
    )
    start = json.loads((checkpoint() / "config.json").read_text())
    assert json.loads((folder / "config.json").read_text()) == start


def test_a_card_says_what_was_done_and_holds_no_path(trained, checkpoint):
    card = (trained[0] / "README.md").read_text()
    assert card.startswith('---\nlibrary_name: transformers\nlanguage:\n- "en"\ntags: [aya-core, sft]\n---\n')
    assert "27 rows, seed 0." in card
    assert "| learning_rate | 0.01 |" in card
    for file in ("README.md", "config.json", "tokenizer_config.json", "generation_config.json"):
        assert str(checkpoint().parent) not in (trained[0] / file).read_text()


def test_a_card_passes_the_base_model_on(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    cached = shutil.copytree(checkpoint(), tmp_path / "models--CohereLabs--aya-tiny" / "snapshots" / "abc")
    first, _ = run_trainer(Sft(steps=1), rows_folder(counting), start=cached)
    second, _ = run_trainer(Sft(steps=1), rows_folder(counting), start=first)
    assert 'base_model:\n- "CohereLabs/aya-tiny"\n' in (second / "README.md").read_text()


def test_a_checkpoint_keeps_the_dtype_of_its_start(checkpoint, counting, rows_folder, run_trainer, tmp_path):
    start = shutil.copytree(checkpoint(), tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(start, dtype=torch.bfloat16).save_pretrained(start)
    folder, _ = run_trainer(Sft(steps=1), rows_folder(counting), start=start)
    assert AutoConfig.from_pretrained(folder).dtype == torch.bfloat16
    assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_has_the_tensors_of_its_start_and_a_tied_head_once(
    checkpoint, counting, rows_folder, run_trainer, tmp_path, dtype
):
    """A head that is stored beside the embeddings to which it is tied takes a third of the disk of a small model."""
    start = shutil.copytree(checkpoint(), tmp_path / "start")
    AutoModelForCausalLM.from_pretrained(start, dtype=dtype).save_pretrained(start)
    before = load_file(start / "model.safetensors")
    assert "lm_head.weight" not in before
    folder, _ = run_trainer(Sft(steps=1), rows_folder(counting), start=start)
    after = load_file(folder / "model.safetensors")
    assert {name: (value.shape, value.dtype) for name, value in after.items()} == {
        name: (value.shape, value.dtype) for name, value in before.items()
    }


def test_rows_that_are_cut_or_lost_are_counted(checkpoint, counting, rows_folder, run_trainer):
    _, measures = run_trainer(Sft(steps=1, max_tokens=9), rows_folder(counting), start=checkpoint())
    # Prompts have 8, 9 or 10 tokens, nine of each; answers 2, 3 or 4.
    assert (measures["truncated_rows"], measures["dropped_rows"]) == (27, 18)
    _, measures = run_trainer(Sft(steps=1, max_tokens=10), rows_folder(counting), start=checkpoint())
    assert (measures["truncated_rows"], measures["dropped_rows"]) == (18, 9)


@pytest.mark.parametrize("settings", [Sft(steps=1, max_tokens=8), PreferenceTraining(steps=1, max_tokens=8)])
def test_rows_of_which_nothing_is_left_are_a_data_error(
    checkpoint, counting, pairs, rows_folder, run_trainer, settings
):
    rows = rows_folder(counting if isinstance(settings, Sft) else pairs)
    with pytest.raises(DataError, match=r"all 27 rows are dropped \(prompt too long: 27\); trainer"):
        run_trainer(settings, rows, start=checkpoint(), objective=Dpo().build())


def test_an_empty_table_is_a_data_error(checkpoint, run_trainer, tmp_path):
    write_rows(tmp_path, Demonstration, [])
    with pytest.raises(DataError, match="no rows; trainer 'sft' has nothing to learn from"):
        run_trainer(Sft(), tmp_path, start=checkpoint())


def test_a_trainer_without_a_start_says_so(counting, rows_folder, run_trainer):
    with pytest.raises(DataError, match="trainer 'sft' needs a checkpoint to start from"):
        run_trainer(Sft(), rows_folder(counting))


@pytest.mark.parametrize("objective", [Dpo(beta=0.5), Ipo(beta=0.5)])
def test_preference_training_raises_the_margin(checkpoint, pairs, rows_folder, run_trainer, objective):
    replied = []
    settings = PreferenceTraining(steps=30, batch_rows=27, learning_rate=3e-3, log_every=1)
    run_trainer(
        settings, rows_folder(pairs), start=checkpoint(), reference=checkpoint(), objective=objective.build(),
        report=lambda done, total, measures: replied.append(measures),
    )  # fmt: skip
    assert replied[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert replied[-1]["rewards/margins"] > 0.5
    assert replied[-1]["rewards/accuracies"] == 1
    assert replied[-1]["loss"] < replied[0]["loss"]


def test_the_first_dpo_loss_is_log_2_and_the_reference_is_another_model_when_told(
    checkpoint, trained, pairs, rows_folder, run_trainer
):
    settings = PreferenceTraining(steps=1, batch_rows=27)
    job = {"rows": rows_folder(pairs), "start": checkpoint(), "objective": Dpo().build()}
    _, same = run_trainer(settings, **job)
    assert same["loss"] == pytest.approx(math.log(2), rel=1e-5)
    _, other = run_trainer(settings, **job, reference=trained[0])
    assert other["rewards/margins"] < -1  # the reference knows the right answers, the start does not


def test_the_supervised_term_is_the_loss_of_sft_on_the_chosen_answers(
    checkpoint, counting, pairs, rows_folder, run_trainer
):
    job = {"start": checkpoint(), "seed": 3}
    _, sft = run_trainer(Sft(steps=1, batch_rows=27), rows_folder(counting), **job)
    settings = PreferenceTraining(steps=1, batch_rows=27, sft_weight=0.5)
    _, both = run_trainer(settings, rows_folder(pairs), objective=Dpo().build(), **job)
    assert both["nll_loss"] == pytest.approx(sft["loss"], rel=1e-5)  # the pairs' chosen answers are the demonstrations
    assert both["loss"] == pytest.approx(math.log(2) + 0.5 * sft["loss"], rel=1e-5)


def test_preference_training_without_an_objective_says_so(checkpoint, pairs, rows_folder, run_trainer):
    with pytest.raises(AyaError, match="needs an objective"):
        run_trainer(PreferenceTraining(), rows_folder(pairs), start=checkpoint())


def test_bradley_terry_loss_worked_by_hand():
    """-log sigmoid(2 - 1 - 0.5) = log(1 + exp(-0.5)) = 0.474077; centring adds 0.1 (2 + 1)^2 = 0.9."""
    chosen, rejected = torch.tensor([2.0]), torch.tensor([1.0])
    assert bradley_terry_loss(chosen, rejected, margin=0.5, center=0.1).item() == pytest.approx(1.374077, abs=1e-6)
    assert bradley_terry_loss(chosen, chosen, margin=0, center=0).item() == pytest.approx(math.log(2))


def cases(pairs):
    return [
        Case(pair.prompt, tuple(Completion(pair.prompt.id, "x", 0, text) for text in (pair.chosen, pair.rejected)))
        for pair in pairs
    ]


def preferred(arbiter, pairs):
    verdicts = list(arbiter.judge(cases(pairs)))
    return sum(chosen.score > rejected.score for chosen, rejected in verdicts) / len(verdicts)


def test_a_reward_model_with_a_head_learns_the_pairs(checkpoint, pairs, rows_folder, run_trainer):
    settings = RewardTraining(steps=50, batch_rows=27, learning_rate=1e-2, center=0.01)
    folder, measures = run_trainer(settings, rows_folder(pairs), start=checkpoint("llama"))
    model, loading = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert (model.config.num_labels, any(loading.values())) == (1, False)
    assert measures["rewards/accuracies"] > 0.95
    assert preferred(RewardModel(model=str(folder)).build(), pairs) > 0.95


def test_a_likelihood_reward_model_learns_the_pairs_and_stays_a_language_model(
    checkpoint, pairs, rows_folder, run_trainer
):
    settings = RewardTraining(score="likelihood", steps=60, batch_rows=27, learning_rate=1e-2, beta=2.0)
    folder, measures = run_trainer(settings, rows_folder(pairs), start=checkpoint())
    assert AutoConfig.from_pretrained(folder).architectures == ["CohereForCausalLM"]
    assert measures["rewards/accuracies"] == 1
    assert preferred(Likelihood(model=str(folder)).build(), pairs) == 1


def test_a_family_without_a_classifier_is_told_about_the_other_score(checkpoint, pairs, rows_folder, run_trainer):
    with pytest.raises(DataError, match=r"no sequence classifier for 'cohere' models.*score: likelihood"):
        run_trainer(RewardTraining(), rows_folder(pairs), start=checkpoint("cohere"))


CONFIG = {
    "model_type": "cohere",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_initialize_is_deterministic_and_loads(counting, rows_folder, run_trainer, kind):
    rows = rows_folder(counting)
    settings = Initialize(config=CONFIG, tokenizer={"kind": kind, "vocab_size": 300 if kind == "bpe" else None})
    folders = [run_trainer(settings, rows, seed=seed)[0] for seed in (3, 3, 4)]
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert set(contents[0]) == FILES
    assert contents[0] == contents[1]
    assert contents[0]["model.safetensors"] != contents[2]["model.safetensors"]
    tokenizer, config = AutoTokenizer.from_pretrained(folders[0]), AutoConfig.from_pretrained(folders[0])
    assert config.vocab_size == len(tokenizer)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(config, name) == getattr(tokenizer, name)
    assert tokenizer.eos_token == "<|END_OF_TURN_TOKEN|>"
    text = "next next three"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_initialize_reads_any_kind_of_rows(counting, pairs, rows_folder, run_trainer):
    settings = Initialize(config=CONFIG, tokenizer={"kind": "words"})
    sizes = {
        kind: run_trainer(settings, rows_folder(rows))[1]["vocabulary"]
        for kind, rows in {"prompts": [row.prompt for row in counting], "shown": counting, "pairs": pairs}.items()
    }
    # 8 special tokens, "next", nine numbers to ask for, three more to answer with.
    assert sizes == {"prompts": 18, "shown": 21, "pairs": 21}


def test_a_word_outside_the_vocabulary_is_unknown_and_bytes_know_all(checkpoint):
    words, byte_level = (AutoTokenizer.from_pretrained(checkpoint(kind=kind)) for kind in ("words", "bpe"))
    assert words.decode(words("one 猫").input_ids) == "one <UNK>"
    assert byte_level.decode(byte_level("one 猫").input_ids) == "one 猫"


@pytest.mark.parametrize(
    ("config", "tokenizer", "message"),
    [
        ({**CONFIG, "hiden_size": 8}, {}, "cohere has no 'hiden_size'; did you mean 'hidden_size'"),
        ({**CONFIG, "model_type": "coher"}, {}, "no model_type 'coher'; did you mean 'cohere'"),
        ({"hidden_size": 8}, {}, "'model_type' is missing"),
        ({**CONFIG, "vocab_size": 8}, {}, "'vocab_size' comes from the tokenizer"),
        ({**CONFIG, "hidden_size": "large"}, {}, "config: .*hidden_size"),
        (CONFIG, {"kind": "bpe", "vocab_size": 100}, "too small for bpe.*raise it to 264"),
        (CONFIG, {"kind": "words", "vocab_size": 3}, "the tokenizer would know no word"),
    ],
)
def test_a_model_that_cannot_be_made_says_why(counting, rows_folder, run_trainer, config, tokenizer, message):
    with pytest.raises(AyaError, match=message):
        run_trainer(Initialize(config=config, tokenizer=tokenizer), rows_folder(counting))


def test_pairs_whose_prompt_fills_all_are_left_out_and_counted(checkpoint, pairs, rows_folder, run_trainer):
    long = Preference(user_prompt("long", "en", " ".join(["next"] * 60)), "one", "two")
    _, measures = run_trainer(
        PreferenceTraining(steps=1, max_tokens=40), rows_folder([*pairs, long]), start=checkpoint(),
        objective=Dpo().build(),
    )  # fmt: skip
    assert (measures["rows"], measures["truncated_rows"], measures["dropped_rows"]) == (28, 1, 1)

"""What training makes of samples that were cut, of whole messages, of single answers, and of starts without a chat template."""

import json
import shutil

import numpy
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from aya_core.api import AyaError, DataError, Demonstration, Preference, Prompt, SingleLogps, TrainingJob, user_prompt
from aya_plugins.modeling.checkpoint import load_encoder
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.objectives.kto import Kto
from aya_plugins.objectives.rloo import Rloo
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.trainers.policy_gradient import PolicyGradient
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.runtime.pairs import EncodedPairs
from aya_plugins.trainers.runtime.policy_gradient import EncodedGroups, Overlong
from aya_plugins.trainers.runtime.sft import SftTask
from aya_plugins.trainers.sft import Sft

ASK = user_prompt("a", "en", "next one")
CALL = {"tool_calls": [{"type": "function", "function": {"name": "w", "arguments": {}}}]}


@pytest.fixture
def encoder(checkpoint):
    return load_encoder(checkpoint(), max_tokens=100)


def test_a_sample_that_was_cut_teaches_no_end_and_is_counted(encoder, tmp_path):
    whole, cut = Demonstration(ASK, "two three"), Demonstration(ASK, "two three", finish_reason="length")
    task = SftTask.of(encoder, [whole, cut, cut], tmp_path)
    rows = [task.encoded.row(place) for place in range(3)]
    assert rows[0] == [*rows[1], encoder.tokenizer.eos_token_id]
    assert rows[1] == rows[2]
    assert task.account()["answers_cut_when_sampled_rows"] == 2
    pairs = EncodedPairs.of(
        encoder, [Preference(ASK, "two", "three four", rejected_finish_reason="length")], tmp_path, "x"
    )
    assert [pairs.encoded.row(place)[-1] == encoder.tokenizer.eos_token_id for place in (0, 1)] == [True, False]
    assert pairs.account()["answers_cut_when_sampled_rows"] == 1
    assert "answers_cut_when_sampled_rows" not in SftTask.of(encoder, [whole], tmp_path).account()


def group(prompt, *samples):
    return [Demonstration(prompt, text, "me", score, ended) for text, score, ended in samples]


GROUPS = [
    *group(ASK, ("two", 1.0, "stop"), ("two three", 0.5, "length"), ("four", 0.0, "stop")),
    *group(user_prompt("b", "en", "next two"), ("three", 1.0, "stop"), ("one", 0.0, "length")),
    *group(user_prompt("c", "en", "next two"), ("three", 1.0, "length"), ("one", 0.0, "length")),
    *group(user_prompt("d", "en", "next two"), ("three", 1.0, "stop"), ("one", 1.0, "length")),
]


@pytest.mark.parametrize(
    ("does", "groups", "learned", "scores"),
    [
        ("keep", 3, 7, [1, 0.5, 0, 1, 0, 1, 0, 1, 1]),
        ("mask", 2, 3, [1, 0.5, 0, 1, 0, 1, 0, 1, 1]),
        ("drop", 1, 2, [1, 0, 1, 1]),
        ("punish", 4, 9, [1, 0, 0, 1, -0.5, 0.5, -0.5, 1, 0.5]),
    ],
)  # fmt: skip
def test_overlong_says_what_becomes_of_samples_that_were_cut(encoder, tmp_path, does, groups, learned, scores):
    found = EncodedGroups.of(encoder, GROUPS, tmp_path, "x", Overlong(does, 0.5))
    rows = found.rows_of(numpy.arange(len(found.firsts)))
    assert len(found.firsts) == groups
    assert int(found.is_learned[rows].sum()) == learned
    assert found.scores.tolist() == scores
    assert found.account["answers_cut_when_sampled_rows"] == 5
    words = {"mask": "masked_as_cut_rows", "drop": "left_out_as_cut_rows", "punish": "punished_as_cut_rows"}
    assert [name for name in found.account if "as_cut" in name] == [words[name] for name in (does,) if name in words]


def test_a_masked_sample_moves_the_weights_by_its_group_alone(checkpoint, rows_folder, run_trainer):
    def weights(rows, **settings):
        trainer = PolicyGradient(steps=1, batch_rows=1, learning_rate=1e-2, **settings)
        folder, _ = run_trainer(trainer, rows_folder(rows), start=checkpoint(), objective=Rloo(beta=0.0).build())
        return torch.cat([tensor.flatten() for _, tensor in sorted(load_file(folder / "model.safetensors").items())])

    rows = [GROUPS[0], Demonstration(ASK, "two three", "me", 0.2, "length"), GROUPS[2]]
    other = [rows[0], Demonstration(ASK, "six seven", "me", 0.2, "length"), rows[2]]
    assert torch.allclose(weights(rows, mask_truncated_completions=True), weights(other, overlong="mask"), atol=1e-6)
    assert not torch.allclose(weights(rows), weights(other), atol=1e-3)


def test_trls_name_for_masking_is_understood_and_said_once():
    assert PolicyGradient(mask_truncated_completions=True) == PolicyGradient(overlong="mask")
    assert PolicyGradient(mask_truncated_completions=False).overlong == "keep"
    with pytest.raises(ValueError, match="give one of them"):
        PolicyGradient(mask_truncated_completions=True, overlong="drop")


def test_rows_that_the_template_does_not_write_whole_are_dropped_by_reason(encoder, checkpoint, rows_folder, tmp_path):
    call = Demonstration(ASK, "", more=CALL)
    task = SftTask.of(encoder, [Demonstration(ASK, "two"), call], tmp_path)
    assert task.account()["dropped/the chat template leaves out 'tool_calls'"] == 1
    assert len(task.lengths) == 1
    with pytest.raises(
        DataError, match=r"all 1 rows are dropped .*'tool_calls'.* give a template that writes them whole"
    ):
        SftTask.of(encoder, [call], tmp_path)
    shown = list(
        Sft()
        .build()
        .show(TrainingJob(rows=rows_folder([call]), out=tmp_path, work=tmp_path, seed=0, start=checkpoint()))
    )
    assert [row.note for row in shown] == ["dropped: the chat template leaves out 'tool_calls'"]


def test_all_turns_are_learned_and_shown_where_that_is_asked_for(checkpoint, rows_folder, tmp_path):
    talk = Prompt(
        "t", "en", (ASK.messages[0], {"role": "assistant", "content": "two"}, {"role": "user", "content": "next four"})
    )
    job = TrainingJob(
        rows=rows_folder([Demonstration(talk, "five")]), out=tmp_path, work=tmp_path, seed=0, start=checkpoint()
    )
    end = "<|END_OF_TURN_TOKEN|>"
    for turns, learned in (("last", ["five", end]), ("all", ["two", end, "five", end])):
        (shown,) = Sft(assistant_turns=turns).build().show(job)
        assert [token.text for token in shown.tokens if token.is_learned] == learned
    measures = Sft(assistant_turns="all", steps=1, batch_rows=1).build().train(job)
    assert measures["rows"] == 1


def test_prompts_of_other_length_than_when_they_were_sampled_are_counted(encoder, tmp_path):
    asked = int(encoder.prompts([ASK]).lengths[0])
    rows = [Demonstration(ASK, "two", prompt_tokens=asked), Demonstration(ASK, "three", prompt_tokens=asked + 5)]
    with pytest.warns(UserWarning, match="1 of 2 rows: the tokens of the prompt"):
        account = SftTask.of(encoder, rows, tmp_path).account()
    assert account["prompts_unlike_sampling_rows"] == 1


def test_single_answers_are_learned_by_their_labels(checkpoint, rows_folder, run_trainer, counting):
    rows = [Preference(row.prompt, row.completion, None) for row in counting]
    rows += [
        Preference(user_prompt(f"{row.prompt.id}-bad", "en", row.prompt.text), None, "zero zero") for row in counting
    ]
    settings = PreferenceTraining(steps=12, batch_rows=18, learning_rate=3e-3)
    folder, measures = run_trainer(
        settings, rows_folder(rows), start=checkpoint(), reference=checkpoint(), objective=Kto().build()
    )
    assert measures["rewards/margins"] > 0.1
    assert (measures["good_answer_rows"], measures["bad_answer_rows"], measures["rows"]) == (27, 27, 54)
    found = [
        next(
            one.nats
            for one in Transformers(model=str(where)).build().log_likelihoods([(counting[0].prompt, "zero zero")])
        )
        for where in (checkpoint(), folder)
    ]
    assert found[1] < found[0]


def test_an_objective_over_pairs_learns_nothing_from_single_answers(checkpoint, rows_folder, run_trainer, pairs):
    single = Preference(user_prompt("s", "en", "next one"), "two", None)
    settings = PreferenceTraining(steps=1, batch_rows=4)
    options = {"start": checkpoint(), "reference": checkpoint(), "objective": Dpo().build()}
    _, measures = run_trainer(settings, rows_folder([single, *pairs[:8]]), **options)
    assert measures["dropped/one answer and no pair"] == 1
    with pytest.raises(DataError, match="objective for single answers, such as kto"):
        run_trainer(settings, rows_folder([single]), **options)


def test_the_loss_of_single_answers_is_half_their_weight_where_policy_and_reference_agree():
    logps = torch.tensor([-3.0, -5.0, -1.0])
    answers = SingleLogps(logps, logps, torch.ones(3), torch.tensor([True, False, True]))
    found = Kto(desirable_weight=2.0, undesirable_weight=1.0).build().singles(answers)
    assert found.losses.tolist() == [1.0, 0.5, 1.0]
    # by hand: r = 0.1 * [2, -1], z = 0.05; good 1 - s(0.15), bad 1 - s(0.15)
    moved = SingleLogps(
        torch.tensor([-1.0, -6.0]), torch.tensor([-3.0, -5.0]), torch.ones(2), torch.tensor([True, False])
    )
    assert Kto(beta=0.1).build().singles(moved).losses.tolist() == pytest.approx([0.4625702, 0.4625702])


@pytest.fixture
def bare(checkpoint, tmp_path):
    """Make a start without a chat template."""
    folder = shutil.copytree(checkpoint(kind="bpe", vocab_size=300), tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.mark.parametrize("family", ["cohere", "llama"])
def test_a_base_model_is_given_a_template_and_ends_its_turns_by_it(
    checkpoint, rows_folder, run_trainer, counting, tmp_path, family
):
    start = shutil.copytree(
        checkpoint(family, kind="bpe", vocab_size=300, tie_word_embeddings=family == "cohere"), tmp_path / "bare"
    )
    (start / "chat_template.jinja").unlink()
    with pytest.raises(DataError, match=r"no chat template .* `chat_template` of the trainer: chatml, llama3"):
        run_trainer(Sft(steps=1, batch_rows=4), rows_folder(counting), start=start)
    with pytest.warns(
        UserWarning, match=r"turns end with '<\|im_end\|>'; 2 are added \(<\|im_start\|>, <\|im_end\|>\)"
    ):
        folder, _ = run_trainer(
            Sft(steps=60, batch_rows=27, learning_rate=2e-2, chat_template="chatml"), rows_folder(counting), start=start
        )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert (folder / "chat_template.jinja").read_text().startswith("{% for message in messages %}{{ '<|im_start|>'")
    assert len(tokenizer) == 302 == model.config.vocab_size == len(model.get_output_embeddings().weight)
    assert GenerationConfig.from_pretrained(folder).eos_token_id[0] == tokenizer.eos_token_id == end
    (answer,) = Transformers(model=str(folder)).build().answer([counting[0].prompt], sampling(), 0)
    assert answer.finish_reason == "stop"


def sampling():
    from aya_core.api import Sampling

    return Sampling(temperature=0, max_tokens=30)


def test_new_tokens_begin_at_the_mean_of_all_others_and_the_end_of_turns_as_the_end_of_texts(
    bare, rows_folder, run_trainer, counting
):
    with pytest.warns(UserWarning, match="2 are added"):
        folder, _ = run_trainer(
            Sft(steps=1, batch_rows=4, learning_rate=1e-12, chat_template="chatml"), rows_folder(counting), start=bare
        )
    rows = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight
    old = AutoModelForCausalLM.from_pretrained(bare).get_input_embeddings().weight
    assert torch.allclose(rows[:300], old)
    start, end = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert {start, end} == {300, 301}
    assert torch.allclose(rows[start], old.mean(0), atol=1e-6)
    assert torch.equal(rows[end], old[AutoTokenizer.from_pretrained(bare).eos_token_id])


def test_new_tokens_that_would_not_be_learned_or_that_a_reference_lacks_are_refused(
    bare, rows_folder, run_trainer, counting, pairs
):
    with (
        pytest.warns(UserWarning, match="2 are added"),
        pytest.raises(AyaError, match="a LoRA leaves their embeddings frozen"),
    ):
        run_trainer(Sft(steps=1, chat_template="chatml", lora={"rank": 2}), rows_folder(counting), start=bare)
    with (
        pytest.warns(UserWarning, match="2 are added"),
        pytest.raises(AyaError, match="the reference has no such tokens"),
    ):
        run_trainer(
            PreferenceTraining(steps=1, chat_template="chatml"), rows_folder(pairs), start=bare, reference=bare,
            objective=Dpo().build(),
        )  # fmt: skip


def test_a_base_model_learns_plain_text_without_a_template(bare, rows_folder, run_trainer):
    rows = [Demonstration(Prompt(str(place), "en", ()), "one two three") for place in range(4)]
    folder, measures = run_trainer(Sft(steps=1, batch_rows=4), rows_folder(rows), start=bare)
    assert measures["dropped_rows"] == 0
    assert not (folder / "chat_template.jinja").exists()


def test_a_training_template_leaves_the_checkpoint_its_own(checkpoint, rows_folder, run_trainer, counting, tmp_path):
    file = tmp_path / "training.jinja"
    own = (checkpoint() / "chat_template.jinja").read_text()
    file.write_text(own.replace("{{ bos_token }}", "{{ bos_token }}zero"))
    with pytest.warns(UserWarning, match="27 of 27 rows"):
        folder, measures = run_trainer(
            Sft(steps=1, batch_rows=4, training_template=str(file)), rows_folder(counting), start=checkpoint()
        )
    assert (folder / "chat_template.jinja").read_text() == own
    assert "| training_template | training.jinja |" in (folder / "README.md").read_text()
    assert measures["prompts_unlike_sampling_rows"] == 27
    assert json.loads((folder / "tokenizer_config.json").read_text())["eos_token"] == "<|END_OF_TURN_TOKEN|>"

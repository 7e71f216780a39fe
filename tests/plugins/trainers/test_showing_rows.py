"""What trainers show of their rows is what they learn from."""

import shutil

import numpy
import pytest

from aya_core.api import Demonstration, InspectableTrainer, Preference, TrainingJob, user_prompt
from aya_plugins.modeling.checkpoint import load_encoder
from aya_plugins.modeling.rows import collate
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.sft import Sft


@pytest.fixture
def show(checkpoint, rows_folder, tmp_path):
    """Show rows from a start without weights."""

    def run(strategy, rows, **checkpoint_settings):
        start = shutil.copytree(checkpoint(**checkpoint_settings), tmp_path / "start", dirs_exist_ok=True)
        (start / "model.safetensors").unlink()
        trainer = strategy.build()
        assert isinstance(trainer, InspectableTrainer)
        job = TrainingJob(rows=rows_folder(rows), out=tmp_path, work=tmp_path, seed=0, start=start)
        return list(trainer.show(job)), load_encoder(start, max_tokens=strategy.max_tokens)

    return run


def test_demonstrations_are_shown_in_their_order_with_the_tokens_whose_loss_counts(show, counting):
    rows = counting * 2  # more than are encoded at a time
    shown, encoder = show(Sft(), rows)
    encoded = encoder.answers([(row.prompt, row.completion) for row in rows])
    assert [row.prompt_id for row in shown] == [row.prompt.id for row in rows]
    for place, row in enumerate(shown):
        batch = collate(encoded, numpy.array([place]), encoder.pad_id)
        assert [token.id for token in row.tokens] == encoded.row(place)
        learned = [index for index, token in enumerate(row.tokens) if token.is_learned]
        assert learned == (batch.predictors + 1).tolist()
        assert (row.language, row.column, row.note) == ("en", "", "")


def test_both_answers_of_a_pair_are_shown(show, pairs):
    shown, encoder = show(PreferenceTraining(), pairs[:2])
    assert [(row.prompt_id, row.column) for row in shown] == [
        ("0-1", "chosen"), ("0-1", "rejected"), ("0-2", "chosen"), ("0-2", "rejected"),
    ]  # fmt: skip
    learned = ["".join(token.text for token in row.tokens if token.is_learned) for row in shown]
    end = encoder.tokenizer.eos_token
    assert learned == [f"{text}{end}" for pair in pairs[:2] for text in (pair.chosen, pair.rejected)]


def test_the_text_of_a_row_in_many_bytes_is_whole(show):
    rows = [Demonstration(user_prompt("cat", "ja", "猫は?"), "猫だ")]
    (row,), encoder = show(Sft(), rows, kind="bpe", vocab_size=270)
    assert {"\\xab", "?"} < {token.text for token in row.tokens}
    assert all(token.text for token in row.tokens)
    assert encoder.tokenizer.decode([token.id for token in row.tokens if token.is_learned]).startswith("猫だ")


def test_what_is_cut_or_dropped_is_said_and_nothing_dropped_is_learned(show, pairs):
    long = Preference(user_prompt("long", "en", "next " * 60), "one", "two")
    cut = Preference(user_prompt("cut", "en", "next one"), "one " * 60, "two")
    same = Preference(user_prompt("same", "en", "next one"), "two", " two")
    shown, _ = show(PreferenceTraining(max_tokens=40), [long, cut, same])
    assert [row.note for row in shown] == [
        "cut to max_tokens: 40; dropped: prompt too long",
        "cut to max_tokens: 40; dropped: prompt too long",
        "cut to max_tokens: 40",
        "",
        "dropped: chosen equals rejected",
        "dropped: chosen equals rejected",
    ]
    assert [any(token.is_learned for token in row.tokens) for row in shown] == [False, False, True, True, False, False]
    assert all(len(row.tokens) <= 40 for row in shown)


@pytest.mark.parametrize(("score", "is_learned"), [("head", False), ("likelihood", True)])
def test_a_reward_model_learns_from_log_probabilities_only_if_they_are_its_score(show, pairs, score, is_learned):
    shown, _ = show(RewardTraining(score=score), pairs[:3])
    assert len(shown) == 6
    assert {any(token.is_learned for token in row.tokens) for row in shown} == {is_learned}

"""Length-controlled win rates: what the fit recovers, and what it must not depend on."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from aya_core.api import DataError
from aya_recipe.evaluate.winrate import command
from aya_recipe.numbers.winrates.length_control import Gamed, fit

PROMPTS = 805


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module")
def judged():
    """Preferences of a judge who likes length, and what they would be at equal length."""
    draw = np.random.default_rng(0)
    difficulty = draw.normal(0, 1.5, PROMPTS)
    shorter = draw.normal(-200, 600, PROMPTS)
    equal = sigmoid(-0.5 + 0.8 * difficulty)
    biased = sigmoid(-0.5 + 0.8 * difficulty - 1.5 * np.tanh(shorter / shorter.std(ddof=1)))
    return difficulty, shorter, equal, biased


def test_the_preference_at_equal_length_is_recovered(judged):
    difficulty, shorter, equal, biased = judged
    found = fit(biased, shorter, difficulty)
    assert abs(biased.mean() - equal.mean()) > 0.05
    np.testing.assert_allclose(found.preferences, equal, atol=0.01)
    assert found.coefficients == pytest.approx({"length": -1.5, "difficulty": 0.8, "level": -0.5}, abs=0.05)


def test_without_difficulty_the_mean_is_recovered(judged):
    _, shorter, equal, biased = judged
    found = fit(biased, shorter)
    assert found.preferences.mean() == pytest.approx(equal.mean(), abs=0.02)
    assert list(found.coefficients) == ["length", "level"]


def test_who_is_the_baseline_does_not_matter(judged):
    difficulty, shorter, _, biased = judged
    one, other = fit(biased, shorter, difficulty), fit(1 - biased, -shorter, difficulty)
    np.testing.assert_allclose(one.preferences, 1 - other.preferences, atol=2e-3)


def test_gamed_preferences_hold_the_coefficient_of_length(judged):
    difficulty, shorter, _, biased = judged
    length = np.random.default_rng(1).normal(0, 1, 2 * PROMPTS)
    gamed = Gamed(length, np.tile(difficulty, 2), sigmoid(-4 * np.tanh(length) + 0.8 * np.tile(difficulty, 2)))
    assert (
        fit(biased, shorter, difficulty, gamed).coefficients["length"]
        < fit(biased, shorter, difficulty).coefficients["length"] - 0.1
    )


def test_resamples_spread_as_the_mean_of_other_prompts_would(judged):
    difficulty, shorter, _, biased = judged
    draw = np.random.default_rng(2)
    noisy = (draw.random(PROMPTS) < biased).astype(float)
    counts = [draw.multinomial(PROMPTS, np.full(PROMPTS, 1 / PROMPTS)) for _ in range(60)]
    spread = fit(noisy, shorter, difficulty, counts=counts).drawn.std()
    anew = [
        fit((draw.random(PROMPTS) < biased).astype(float), shorter, difficulty).preferences.mean() for _ in range(12)
    ]
    assert spread == pytest.approx(np.std(anew), rel=0.7)
    assert spread > 0.005


def test_equal_differences_cannot_be_controlled():
    with pytest.raises(DataError, match="length cannot be controlled"):
        fit(np.array([0.2, 0.7]), np.array([3.0, 3.0]))


@pytest.fixture
def annotations(tmp_path, judged):
    """AlpacaEval's annotations of a model, and how hard their prompts are."""
    difficulty, shorter, _, biased = judged
    rows = [
        {
            "instruction": f"prompt {place}", "generator_1": "base", "generator_2": "model", "preference": 1 + biased[place],
            "output_1": "a" * int(2500 + max(shorter[place], -2499) // 2), "output_2": "b" * int(2500 - max(shorter[place], -2499) // 2),
        }
        for place in range(300)
    ]  # fmt: skip
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    hard = "".join(f"{place},{difficulty[place]}\n" for place in range(300))
    (tmp_path / "difficulty.csv").write_text(f",instruction_difficulty\n{hard}")
    return tmp_path


def winrate(*words):
    return CliRunner().invoke(command, [*map(str, words), "--length-controlled", "--resamples", "20", "--json"])


def test_the_command_rates_at_equal_length(annotations, judged):
    _, _, equal, biased = judged
    done = winrate(annotations / "annotations.json", "--difficulty", annotations / "difficulty.csv")
    found = json.loads(done.stdout)
    (model,) = found["models"]
    assert model["win_rate"] == pytest.approx(100 * equal[:300].mean(), abs=0.6)
    assert abs(model["win_rate"] - 100 * biased[:300].mean()) > 5
    assert model["low"] < model["win_rate"] < model["high"]
    assert found["length_control"]["model"]["difficulty"] == pytest.approx(0.8, abs=0.1)


def test_what_is_missing_is_named(annotations):
    short = annotations / "short.csv"
    short.write_text("index,instruction_difficulty\n0,1.5\n")
    done = winrate(annotations / "annotations.json", "--difficulty", short)
    assert "no difficulty is known of this prompt" in str(done.exception)
    verdicts = annotations / "verdicts.jsonl"
    verdicts.write_text('{"question_id": 1, "model_a": "a", "model_b": "b", "winner": "model_a"}\n')
    done = winrate(verdicts, "--baseline", "a")
    assert "no length of the answers" in str(done.exception)

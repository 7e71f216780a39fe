"""The bundled recipe, run whole: what the README's first command shows is true."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

LINE = ["base", "sft-merged", "offline-merged", "online.1", "online.2", "online.3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, aya_command):
    out = tmp_path_factory.mktemp("micro") / "out"
    done = aya_command("run", "--out", out, "--set", "seed=7", worker="new")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run / "report.json").read_text())


@pytest.fixture(scope="module")
def scores(report):
    return report["sections"]["scores"]["data"]


@pytest.fixture(scope="module")
def rows(scores):
    return {row["name"]: row for row in (*scores["stages"], *scores["controls"])}


def test_the_report_has_every_stage_in_order_with_intervals(scores):
    assert [row["name"] for row in scores["stages"]] == LINE
    for row in (*scores["stages"], *scores["controls"]):
        assert row["n"] == 23 * 80
        assert row["low"] < row["score"] < row["high"]
        assert {"score", "low", "high"} <= set(row["greedy"])
        if row["name"] == "base":
            assert "win_rate_vs_base" not in row  # nobody is compared with himself
        else:
            assert sum(row["win_rate_vs_base"].values()) == pytest.approx(1)
    assert len(scores["languages"]) == 23


def test_arbitrage_beats_random_routing_and_the_single_best_teacher(rows):
    for control in ("random-student", "single-student"):
        assert rows["sft-merged"]["greedy"]["score"] >= rows[control]["greedy"]["score"] + 0.15


def test_the_merge_beats_every_constituent(rows):
    best = max(rows[f"sft@{cluster}"]["greedy"]["score"] for cluster in ("euro", "slav", "mena", "asia"))
    assert rows["sft-merged"]["greedy"]["score"] >= best + 0.03


def test_preference_stages_gain_over_sft_and_merge(rows):
    assert rows["online.3"]["score"] >= rows["sft-merged"]["score"] + 0.02
    assert rows["online.3"]["greedy"]["score"] >= rows["sft-merged"]["greedy"]["score"] - 0.01


def test_the_result_beats_the_base(rows):
    assert rows["online.3"]["win_rate_vs_base"]["win"] >= 0.5
    assert rows["online.3"]["win_rate_vs_base"]["loss"] <= 0.1


def test_every_teacher_wins_where_it_is_at_home(report):
    wins = report["sections"]["arbitrage"]["data"]["wins"]
    for teacher, home in {"slav": "cs pl ru uk el", "mena": "ar fa he hi tr", "asia": "zh ja ko vi id"}.items():
        for language in home.split():
            assert max(wins[language], key=wins[language].get) == teacher, language


def test_checkpoints_load_in_transformers_unchanged(run):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (folder,) = run.glob("artifacts/online.3/*/payload")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.model_type == "cohere"
    prompt = json.loads((Path(folder) / "tokenizer_config.json").read_text())
    assert prompt
    text = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True)
    assert text.startswith("<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>")
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    assert model.generate(**ids, max_new_tokens=3, do_sample=False).shape[1] > ids["input_ids"].shape[1]

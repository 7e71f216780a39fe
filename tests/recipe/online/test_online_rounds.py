"""Online rounds of real models: an arbiter that can be fooled is, and the guards notice; a round with vLLM as the engine."""

import json
import shutil

import pytest
from places import SHARED

from aya_core.contract.artifacts import read_rows
from aya_core.contract.records import Completion, Demonstration, Prompt
from aya_core.planning import yaml12
from aya_plugins.teachers.transformers import Transformers

RECIPE = """
name: hacked
languages: [en, fr, zh]
plugins: [longest_answer.py]
machine: {jobs: 2, threads: 1}
stages:
  - name: blank
    do: train
    data: {use: micro-world, split: teach, per_language: 50, languages: &languages [en, fr, zh]}
    trainer:
      use: initialize
      tokenizer: {kind: words}
      config: {model_type: cohere, hidden_size: 64, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,
        num_key_value_heads: 1, logit_scale: 4.0, initializer_range: 0.04, max_position_embeddings: 64}
  - name: base
    do: train
    start: blank
    data: {use: micro-world, split: teach, per_language: 1000, languages: *languages}
    trainer: {use: sft, steps: 100, batch_rows: 32, learning_rate: 8.0e-3, schedule: linear, warmup: 0.06}
  - name: online
    do: online
    start: base
    prompts: {use: micro-world, split: online, per_language: 120, languages: *languages, as_prompts: true}
    sampling: {n: 4, temperature: 1.0, max_tokens: 12}
    arbiter: {use: longest}
    trainer: {use: preference, steps: 20, batch_rows: 32, learning_rate: 1.0e-3, schedule: constant}
    objective: {use: dpo, beta: 0.1}
    guards:
      per_language: 12
      language: {use: verifier, check: "aya_plugins.datasets.micro_world_dataset:micro_world_language"}
      stop: {length: [0.5, 1.35]}
"""


@pytest.fixture
def run(tmp_path, aya_command):
    """Run the recipe with changes to its online stage; returns the run folder. taught: steps of the start."""

    def go(*, taught=100, **online):
        shutil.copy(SHARED / "longest_answer.py", tmp_path)
        recipe = yaml12.parse(RECIPE, "recipe")
        recipe["stages"][1]["trainer"]["steps"] = taught
        recipe["stages"][-1].update(online)
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        done = aya_command("run", tmp_path / "recipe.yaml", "--out", tmp_path / "run")
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path / "run"

    return go


def payload(folder, node):
    (found,) = folder.glob(f"artifacts/{node}/*/payload")
    return found


def test_an_arbiter_that_likes_length_is_hacked_and_the_length_guard_ends_the_rounds(run):
    folder = run()
    account = json.loads((folder / "report.json").read_text())["sections"]["online"]["data"]
    last = account["ended"]["round"]
    assert [one["guard"] for one in account["ended"]["broken"]] == ["characters"]
    assert account["model"] == ("base" if last == 1 else f"online.{last - 1}")
    assert [row["round"] for row in account["rounds"]] == list(range(1, last + 1))
    assert not list(folder.glob(f"artifacts/online.{last + 1}*"))
    lengths = [guard["languages"] for guard in account["guards"]]
    ratios = [
        sum(after[code]["characters"]["value"] / lengths[0][code]["characters"]["value"] for code in after) / 3
        for after in lengths[1:]
    ]
    assert max(ratios[:-1], default=1.0) <= 1.35 < ratios[-1] == pytest.approx(account["ended"]["broken"][0]["value"])
    scores = [row["mean_score"] for row in account["rounds"]]
    assert scores == sorted(scores)  # the arbiter is ever more content
    assert_kl_is_that_of_the_two_models(
        folder, last, account["guards"][last]["overall"]["KL, nats per answer"]["value"]
    )


def assert_kl_is_that_of_the_two_models(folder, round, output):
    prompts = {row.id: row for row in read_rows(payload(folder, "online.guard.prompts"), Prompt)}
    answers = list(read_rows(payload(folder, f"online.{round}.guard.answers"), Completion))
    pairs = [(prompts[answer.prompt_id], answer.text) for answer in answers]
    model, start = (
        Transformers(model=str(payload(folder, node))).build().log_likelihoods(pairs)
        for node in (f"online.{round}", "base")
    )
    apart = [one.nats - other.nats for one, other in zip(model, start, strict=True)]
    assert output == pytest.approx(sum(apart) / len(apart), rel=1e-4)  # languages have the same number of answers
    assert output > 1


def test_policy_gradients_over_the_groups_of_each_round_raise_the_score_of_the_next(run):
    folder = run(
        taught=30, iterations=2, data="groups", objective={"use": "rloo", "clip_low": 0.9, "clip_high": 9.0}, guards=None,
        trainer={"use": "policy-gradient", "steps": 10, "batch_rows": 16, "learning_rate": 1e-3, "schedule": "constant"},
    )  # fmt: skip
    first, second = json.loads((folder / "report.json").read_text())["sections"]["online"]["data"]["rounds"]
    assert second["mean_score"] > first["mean_score"] + 1
    assert first["rows"] == first["scored"] == 4 * 180
    assert first["references"] == {"online.1": "base"}
    rows = list(read_rows(payload(folder, "online.2.groups"), Demonstration))
    assert [row.prompt.id for row in rows[::4]] == [row.prompt.id for row in rows[3::4]]
    assert {row.score for row in rows} == {float(len(row.completion.split())) for row in rows}


@pytest.mark.slow
def test_a_round_samples_with_vllm_in_a_process_of_its_own(run, vllm_options):
    folder = run(iterations=1, teacher={"use": "vllm", "max_model_len": 40, **vllm_options}, guards=None)
    (round,) = json.loads((folder / "report.json").read_text())["sections"]["online"]["data"]["rounds"]
    assert round["scored"] == 4 * 360
    assert round["pairs"] > 10
    assert round["mean_margin"] >= 1
    assert (payload(folder, "online.1") / "model.safetensors").is_file()

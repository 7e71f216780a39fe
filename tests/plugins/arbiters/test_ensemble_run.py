"""A run in which a scorer inside an ensemble is a reward model that an earlier stage trains."""

import json

import pytest

from aya_core.api import Judged, Preference, read_rows

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
WORDS = ["one", "two", "three", "four", "five"]


@pytest.fixture
def recipe(tmp_path):
    questions = [
        (language, f"{language}-{n}", f"say {word}") for language in ("en", "tr") for n, word in enumerate(WORDS)
    ]
    ask = [{"id": id, "language": language, "prompt": text} for language, id, text in questions]
    prefer = [{**row, "chosen": f"{row['prompt']} now", "rejected": "no"} for row in ask]
    read = [{**row, "completion": f"{row['prompt']} now"} for row in ask]
    replied = [
        {"id": row["id"], "model": model, "answer": answer}
        for row in ask
        for model, answer in (("ana", row["prompt"]), ("bo", f"{row['prompt']} now"), ("cem", "I will not say a word"))
    ]
    for name, rows in {"ask": ask, "read": read, "prefer": prefer, "said": replied}.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "gate.py").write_text(
        "from aya_core.api import ArbiterStrategy, Field, Verdict, hookimpl\n"
        "class Willing(ArbiterStrategy):\n"
        "    '''Stops answers that refuse.'''\n"
        "    def build(self):\n"
        "        return self\n"
        "    def judge(self, cases):\n"
        "        for case in cases:\n"
        "            yield [Verdict.abstain('refuses') if 'not' in c.text else Verdict(1.0) for c in case.candidates]\n"
        "@hookimpl\n"
        "def aya_arbiters():\n"
        "    return {'willing': Willing}\n"
    )
    ensemble = {
        "use": "ensemble",
        "gates": {"willing": {"use": "willing"}},
        "scores": {"reward": {"use": "reward-model", "model": "judge-model"}, "agreement": {"use": "consensus"}},
        "weights": {"agreement": 0.5},
        "normalize": "language",
    }
    config = {"model_type": "llama", **SIZES}
    stages = [
        {"name": "base", "do": "train", "data": {"use": "jsonl", "path": "read.jsonl"},
         "trainer": {"use": "initialize", "config": config, "tokenizer": {"kind": "words"}}},
        {"name": "judge-model", "do": "train", "start": "base", "data": {"use": "jsonl", "path": "prefer.jsonl"},
         "trainer": {"use": "reward", "steps": 2, "batch_rows": 4}},
        {"name": "arbitrage", "do": "arbitrage", "prompts": {"use": "jsonl", "path": "ask.jsonl"},
         "teachers": {name: {"use": "recorded", "path": "said.jsonl", "model": name} for name in ("ana", "bo", "cem")},
         "arbiter": ensemble},
    ]  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"name": "nested", "languages": ["en", "tr"], "plugins": ["gate.py"], "stages": stages}))
    return path


def test_a_model_that_an_ensemble_names_is_that_of_the_earlier_stage(recipe, aya_command, tmp_path):
    out = tmp_path / "out"
    done = aya_command("run", recipe, "--out", out, "-q")
    assert done.returncode == 0, done.stderr
    [manifest] = out.glob("artifacts/arbitrage.verdicts/*/artifact.json")
    [model] = out.glob("artifacts/judge-model/*/artifact.json")
    inputs = json.loads(manifest.read_text())["inputs"]
    assert inputs["arbiter.scores.reward.model"] == json.loads(model.read_text())["content"]
    verdicts = list(read_rows(manifest.parent / "payload", Judged))
    assert len(verdicts) == 30
    for row in verdicts:
        if row.completion.teacher == "cem":
            assert row.verdict.reason == "willing: refuses"
        else:
            details = row.verdict.details
            assert row.verdict.score == pytest.approx(details["reward"] + 0.5 * details["agreement"])
            assert details.keys() == {"willing", "reward", "reward/raw", "agreement", "agreement/raw"}
    [pairs] = out.glob("artifacts/arbitrage.pairs/*/payload")
    assert {row.rejected_model for row in read_rows(pairs, Preference)} <= {"ana", "bo"}

    turned = json.loads(recipe.read_text())
    scores = turned["stages"][-1]["arbiter"]["scores"]
    turned["stages"][-1]["arbiter"]["scores"] = dict(reversed(scores.items()))
    recipe.write_text(json.dumps(turned))
    done = aya_command("run", recipe, "--out", out)
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("artifacts/judge-model/*"))) == 1
    assert len(list(out.glob("artifacts/arbitrage.verdicts/*"))) == 2  # the order of the scorers is a setting

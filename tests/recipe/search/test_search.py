"""A search on real models, tiny ones: trained, merged by the engine, scored by perplexity, and merged again by hand."""

import json

import pytest
from safetensors.torch import load_file

ROWS = {"use": "micro-world", "per_language": 12, "languages": ["de", "tr"]}
CONFIG = {
    "model_type": "cohere", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "logit_scale": 4.0, "max_position_embeddings": 64,
}  # fmt: skip
SFT = {"use": "sft", "steps": 30, "batch_rows": 16, "learning_rate": 0.01}


def recipe(*last):
    """Two models from one start, by cluster, and what is done with them."""
    trained = {"do": "train", "each": "cluster", "start": "blank", "data": {**ROWS, "split": "teach"}, "trainer": SFT}
    return {
        "name": "tiny", "languages": ["de", "tr"], "clusters": {"west": ["de"], "east": ["tr"]},
        "machine": {"threads": 1},
        "stages": [
            {"name": "blank", "do": "train", "data": {**ROWS, "split": "teach"},
             "trainer": {"use": "initialize", "config": CONFIG, "tokenizer": {"kind": "words"}}},
            {"name": "sft", **trained},
            {"name": "dev", "do": "data", "kind": "demonstrations", "rows": {**ROWS, "split": "dev"}},
            {"name": "heldout", "do": "data", "kind": "demonstrations", "rows": {**ROWS, "split": "heldout"}},
            *last,
        ],
    }  # fmt: skip


def run(tmp_path, aya_command, *last):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe(*last)))
    done = aya_command("run", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "out" / "report.json").read_text())


def test_a_search_finds_weights_whose_merge_scores_what_it_says(tmp_path, aya_command):
    search = {
        "name": "blend", "do": "search", "models": "sft", "merge": {"use": "weighted"}, "budget": 9,
        "evaluator": {"use": "perplexity", "rows": "dev"},
    }  # fmt: skip
    scores = {"name": "scores", "do": "evaluate", "models": ["blank", "blend"]}
    scores["evaluators"] = {"perplexity": {"use": "perplexity", "rows": "heldout"}}
    report = run(tmp_path, aya_command, search, scores)
    found = report["sections"]["blend"]["data"]
    assert found["tried"] == 9
    assert found["failed"] == 0
    assert found["score"] <= found["uniform"]
    assert set(found["weights"]) == {"west", "east"}
    blank, blend = report["sections"]["scores"]["data"]["stages"]
    assert blend["score"] < blank["score"]
    (payload,) = (tmp_path / "out").glob("artifacts/blend/*/payload")
    assert {"model.safetensors", "config.json", "search.json"} <= {file.name for file in payload.iterdir()}

    merge = {"do": "merge", "models": "sft", "merge": {"use": "weighted"}}
    by_hand = {"name": "by-hand", **merge, "weights": found["weights"]}
    scores = {**scores, "models": ["uniform", "by-hand"]}
    scores["evaluators"] = {"perplexity": {"use": "perplexity", "rows": "dev"}}
    uniform, best = run(tmp_path, aya_command, {"name": "uniform", **merge}, by_hand, scores)["sections"]["scores"][
        "data"
    ]["stages"]
    assert uniform["score"] == pytest.approx(found["uniform"], rel=1e-9)
    assert best["score"] == pytest.approx(found["score"], rel=1e-9)
    assert best["gain"]["value"] == pytest.approx(found["difference"]["value"], rel=1e-9, abs=1e-12)
    (again,) = (tmp_path / "out").glob("artifacts/by-hand/*/payload")
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (payload, again))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)

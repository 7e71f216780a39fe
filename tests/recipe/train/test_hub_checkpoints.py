"""Real checkpoints from an offline download cache, as the hub's own library leaves it: trained from, merged and evaluated."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from aya_core.planning import yaml12
from aya_core.testing import sample_demonstrations, tiny_causal_lm

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with demonstrations and a download cache: files of commits are links to blobs."""
    folder = tmp_path_factory.mktemp("hub")
    rows = [
        {"id": row.prompt.id, "language": row.prompt.language, "prompt": row.prompt.text, "completion": row.completion}
        for row in sample_demonstrations()
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = folder / "home" / "hub" / "models--lab--tiny"
    (model / "blobs").mkdir(parents=True)
    (model / "refs").mkdir()
    for commit, factor, name in ((OLD, 1, "main"), (NEW, 2, "v2")):
        made = folder / commit[0]
        tiny_causal_lm(made)
        tensors = load_file(made / "model.safetensors")
        tensors = {key: tensor * factor if "embed" in key else tensor for key, tensor in tensors.items()}
        save_file(tensors, made / "model.safetensors", {"format": "pt"})
        (model / "snapshots" / commit).mkdir(parents=True)
        for file in made.iterdir():
            blob = model / "blobs" / f"{commit[0]}-{file.name}"
            shutil.move(file, blob)
            (model / "snapshots" / commit / file.name).symlink_to(blob)
        (model / "refs" / name).write_text(commit)
    return folder


@pytest.fixture
def offline(aya_command, folder):
    def run(*words, check=0):
        env = {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
        done = aya_command(*words, env=env, cwd=folder, worker="new")
        assert done.returncode == check, done.stderr
        return done

    return run


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_bundled_strategies_read_a_model_of_the_hub_at_the_commit_that_is_named(offline, folder):
    data = {"use": "jsonl", "path": "rows.jsonl"}
    stages = [
        {
            "name": "sft", "do": "train", "start": "lab/tiny@v2", "data": data,
            "trainer": {"use": "sft", "steps": 1, "batch_rows": 2, "learning_rate": 1e-30},
        },
        {"name": "blend", "do": "merge", "models": ["lab/tiny", f"lab/tiny@{NEW}"], "merge": {"use": "weighted"}},
        {
            "name": "scores", "do": "evaluate", "models": ["lab/tiny", "lab/tiny@v2", "blend"], "greedy": False,
            "evaluators": {"bits": {"use": "perplexity", "rows": "rows"}},
        },
    ]  # fmt: skip
    rows = {"name": "rows", "do": "data", "kind": "demonstrations", "rows": data}
    (folder / "recipe.yaml").write_text(
        yaml12.dump({"name": "hub", "languages": ["en", "de", "tr"], "stages": [rows, *stages]})
    )
    offline("run", "recipe.yaml", "--out", "out", "-q")
    old, new = (weights(folder / "home" / "hub" / "models--lab--tiny" / "snapshots" / commit) for commit in (OLD, NEW))
    (trained,), (merged,) = ((folder / "out" / "artifacts" / name).glob("*/payload") for name in ("sft", "blend"))
    for name, tensor in weights(trained).items():
        assert tensor.allclose(new[name])
    for name, tensor in weights(merged).items():
        assert tensor.allclose((old[name] + new[name]) / 2, atol=1e-6)
    assert '- "lab/tiny"' in (trained / "README.md").read_text()
    report = json.loads((folder / "out" / "report.json").read_text())
    assert "lab/tiny@v2" in json.dumps(report["stages"]["scores"] if "stages" in report else report)


@pytest.mark.slow
def test_a_merge_without_a_recipe_reads_models_of_the_hub(offline, folder):
    config = {
        "merge_method": "linear",
        "models": [{"model": name, "parameters": {"weight": 1}} for name in ("lab/tiny", "lab/tiny@v2")],
    }
    (folder / "merge.yml").write_text(yaml12.dump(config))
    offline("merge", "merge.yml", "merged")
    old, new = (weights(folder / "home" / "hub" / "models--lab--tiny" / "snapshots" / commit) for commit in (OLD, NEW))
    for name, tensor in weights(folder / "merged").items():
        assert tensor.allclose((old[name] + new[name]) / 2, atol=1e-6)
    config["models"][0]["model"] = "lab/other"
    (folder / "merge.yml").write_text(yaml12.dump(config))
    assert (
        "'lab/other' is neither a local folder nor a model of the hub"
        in offline("merge", "merge.yml", "more", check=2).stderr
    )

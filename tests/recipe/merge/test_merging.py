"""Merging as its user does it: a stage of a recipe, and the command, on tiny real models."""

import json
import shutil

import pytest
import yaml

from aya_core.testing import tiny_causal_lm

LINES = [
    {"language": "en", "text": "the answer is blue"},
    {"language": "de", "text": "die Antwort ist blau"},
    {"language": "de", "text": ""},
]


@pytest.fixture
def folder(tmp_path):
    """Write a base, two relatives, lines to check on, and a recipe and a configuration that merge them."""
    for seed, name in enumerate(("base", "a", "b")):
        tiny_causal_lm(tmp_path / name, seed=seed)
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, LINES)) + "\n")
    return tmp_path


def write_recipe(folder, **more):
    stage = {
        "name": "blend", "do": "merge", "models": ["./a", "./b"], "base": "./base", "merge": {"use": "ties", "density": 0.4},
        "weights": [1.0, 2.0], **more,
    }  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps({"name": "tiny", "languages": ["en", "de"], "stages": [stage]}))
    return folder / "recipe.json"


def run(aya_command, folder, **more):
    done = aya_command("run", write_recipe(folder, **more), "--out", folder / "out", "--json")
    assert done.returncode == 0, done.stderr
    return {path.parent.parent.name: path for path in (folder / "out").glob("artifacts/*/*/payload")}


def test_a_stage_merges_and_a_step_of_its_own_checks(folder, aya_command):
    made = run(aya_command, folder, check={"lines": "lines.jsonl"}, dtype="float16", max_shard_gb=1e-5)
    assert len(list(made["blend"].glob("*.safetensors"))) > 2
    report = json.loads((made["blend.check"] / "check.json").read_text())
    assert set(report["models"]) == {"the merge", "./a", "./b", "base"}
    assert report["languages"]["de"] == {"lines": 1, "empty": 0, "too_long": 0, "bytes": 20}
    assert not report["models"]["the merge"]["faults"]
    assert report["models"]["the merge"]["languages"]["en"]["bits_per_byte"] > 0


def test_how_a_recipe_merged_lies_beside_the_checkpoint_as_a_stage_that_makes_the_same(folder, aya_command):
    made = run(aya_command, folder, dtype="float16", allow=["rope_theta"])["blend"]
    stage = yaml.safe_load((made / "merge.yaml").read_text())
    assert stage["models"] == ["./a", "./b"]
    assert stage["weights"] == {"./a": 1.0, "./b": 2.0}
    assert (stage["merge"]["use"], stage["merge"]["density"]) == ("ties", 0.4)
    recipe = {"name": "again", "languages": ["en", "de"], "stages": [stage]}
    (folder / "again.json").write_text(json.dumps(recipe))
    done = aya_command("run", folder / "again.json", "--out", folder / "again", "--json")
    assert done.returncode == 0, done.stderr
    (same,) = (folder / "again").glob("artifacts/merged/*/payload")
    assert (same / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()
    assert yaml.safe_load((same / "merge.yaml").read_text()) == stage


def test_a_check_that_cannot_be_made_leaves_the_merge(folder, aya_command):
    (folder / "lines.jsonl").write_text('{"text": "no language"}\n')
    done = aya_command("run", write_recipe(folder, check={"lines": "lines.jsonl"}), "--out", folder / "out")
    assert done.returncode == 2
    assert "lines.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((folder / "out").glob("artifacts/blend/*/payload/model.safetensors"))


def test_the_tokenizer_of_a_recipe_is_found_beside_it_and_counts_by_its_content(folder, aya_command):
    other = tiny_causal_lm(folder / "other", texts=["other words than those"])
    shutil.copytree(other, folder / "tokens", ignore=lambda _, names: [n for n in names if n.endswith("safetensors")])
    (made,) = run(aya_command, folder, tokenizer={"source": "./tokens"}).values()
    assert (made / "tokenizer.json").read_bytes() == (other / "tokenizer.json").read_bytes()
    more = tiny_causal_lm(folder / "more", texts=["still other words"])
    shutil.copyfile(more / "tokenizer.json", folder / "tokens" / "tokenizer.json")
    shutil.copyfile(more / "tokenizer_config.json", folder / "tokens" / "tokenizer_config.json")
    run(aya_command, folder, tokenizer={"source": "./tokens"})
    assert len(list((folder / "out").glob("artifacts/blend/*/payload"))) == 2
    done = aya_command("check", write_recipe(folder, tokenizer={"source": "./nowhere"}))
    assert done.returncode == 2
    assert "stages.blend.tokenizer.source: no file or folder" in done.stderr


def test_resources_redo_nothing(folder, aya_command):
    run(aya_command, folder, resources={"threads": 1, "memory": 64})
    (before,) = (folder / "out").glob("artifacts/blend/*/payload")
    stamp = (before / "model.safetensors").stat().st_mtime_ns
    assert run(aya_command, folder, resources={"threads": 2, "memory": 512})["blend"] == before
    assert (before / "model.safetensors").stat().st_mtime_ns == stamp


def write_config(folder, name="merge.yml", **more):
    config = {
        "merge_method": "linear",
        "models": [{"model": name, "parameters": {"weight": 0.5}} for name in "ab"],
        **more,
    }
    (folder / name).write_text(yaml.safe_dump(config))
    return folder / name


def test_the_command_checks_what_it_made(folder, aya_command):
    done = aya_command("merge", write_config(folder), folder / "made", "--check", folder / "lines.jsonl")
    assert done.returncode == 0, done.stderr
    assert "language  lines  the merge" in done.stdout
    assert "language  lines  the merge" in (folder / "made" / "README.md").read_text()
    output = aya_command("merge", write_config(folder), folder / "json", "--check", folder / "lines.jsonl", "--json")
    assert set(json.loads(output.stdout)["check"]["models"]) == {"the merge", "a", "b"}


def test_several_configurations_make_a_folder_each(folder, aya_command):
    slerp = {"merge_method": "slerp", "base_model": "a", "parameters": {"t": 0.3}, "models": [{"model": "b"}]}
    configs = [write_config(folder, "half.yml"), write_config(folder, "arc.yml", **slerp)]
    done = aya_command("merge", *configs, folder / "made")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "made").iterdir()) == ["arc", "half"]
    assert (folder / "made" / "arc" / "model.safetensors").is_file()
    assert not (folder / "made.partial").exists()


@pytest.mark.parametrize(
    ("more", "out", "message"),
    [
        ({"desnity": 1}, "made", "unknown key 'desnity'"),
        ({"models": [{"model": "nowhere", "parameters": {"weight": 1}}]}, "made", "no folder"),
        ({"base_model": "base"}, "a", "a: exists already"),
        ({"dtype": "bfloat17"}, "made", "bfloat17"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(more, out, message, folder, aya_command):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    config = write_config(folder, **more)
    done = aya_command("merge", config, folder / out)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    config.unlink()
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}


def test_a_folder_of_the_users_beside_the_result_is_left_alone(folder, aya_command):
    mine = folder / "made.partial" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    done = aya_command("merge", write_config(folder), folder / "made")
    assert done.returncode == 2
    assert f"{mine.parent}: exists, and is not of a merge that was stopped" in done.stderr
    assert mine.read_text() == "precious"
    assert not (folder / "made").exists()


def test_files_put_beside_a_stopped_merge_are_left_there(folder, aya_command):
    partial = folder / "made.partial"
    partial.mkdir()
    (partial / "aya-merge").touch()  # as a stopped merge leaves it
    (partial / "made").mkdir()
    (partial / "mine.txt").write_text("precious")
    done = aya_command("merge", write_config(folder), folder / "made")
    assert done.returncode == 0, done.stderr
    assert f"{partial}: holds files that the merge did not make; they are left there" in done.stderr
    assert [path.name for path in partial.iterdir()] == ["mine.txt"]
    assert (folder / "made" / "model.safetensors").is_file()


def test_a_full_disk_is_told_before_the_work(folder, monkeypatch):
    from click.testing import CliRunner

    from aya_core.cli import aya
    from aya_core.contract.errors import AyaError

    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    result = CliRunner().invoke(aya, ["merge", str(write_config(folder)), str(folder / "made")])
    assert isinstance(result.exception, AyaError)
    assert "no space left" in str(result.exception)
    assert not (folder / "made").exists()
    assert not (folder / "made.partial").exists()

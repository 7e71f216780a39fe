"""Models that a merge configuration names: folders, artifacts, and models of the hub, here from an offline download cache."""

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from aya_core.api import RecipeError
from aya_core.cli import aya

COMMITS = {"main": "a" * 40, "v2": "b" * 40}


def write(folder, value):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "tiny"}')
    save_file({"w.weight": torch.full((2, 3), float(value))}, folder / "model.safetensors")
    return folder


@pytest.fixture
def merged(tmp_path, monkeypatch):
    """Merge a model with one of zeros; give the value of what comes out, doubled, and what was said."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for place, first in (("models--lab--tiny", 2), ("models--tiny", 6)):
        for number, (revision, commit) in enumerate(COMMITS.items()):
            write(tmp_path / "hub" / place / "snapshots" / commit, first + 2 * number)
            (tmp_path / "hub" / place / "refs").mkdir(exist_ok=True)
            (tmp_path / "hub" / place / "refs" / revision).write_text(commit)
    write(tmp_path / "zero", 0)

    def run(model):
        models = "".join(f"- {{model: {name}, parameters: {{weight: 1}}}}\n" for name in (model, "./zero"))
        (tmp_path / "merge.yml").write_text(f"merge_method: linear\nmodels:\n{models}")
        result = CliRunner().invoke(
            aya, ["merge", "--threads", "1", str(tmp_path / "merge.yml"), str(tmp_path / "out")]
        )
        if result.exception:
            raise result.exception
        return 2 * load_file(tmp_path / "out" / "model.safetensors")["w.weight"].mean().item(), result.output

    return run


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("lab/tiny", 2),
        ("lab/tiny@v2", 4),
        (f"lab/tiny@{'a' * 40}", 2),
        ("tiny", 6),
        ("tiny@v2", 8),
        ("{path: lab/tiny, revision: v2}", 4),
    ],
)
def test_a_model_of_the_hub_is_the_commit_that_its_revision_means(model, value, merged):
    model = f"{{model: {model}}}" if model.startswith("{") else model
    assert merged(model)[0] == value


@pytest.mark.parametrize("model", ["nowhere", "nowhere@v2", "./lab/tiny", "lab"])
def test_a_name_that_is_neither_is_told(model, merged):
    with pytest.raises(Exception, match=r"no folder .*; expected a checkpoint there, or a hub id"):
        merged(model)


def test_a_model_that_the_cache_lacks_is_told(merged):
    with pytest.raises(Exception, match="'lab/other' is neither a local folder nor a model of the hub"):
        merged("lab/other")


@pytest.mark.parametrize("inside", ["", "/payload"])
def test_an_artifact_is_no_revision_for_an_at_in_its_name(inside, merged, tmp_path):
    place = tmp_path / "run" / "artifacts" / "sft@euro" / "0123456789ab"
    write(place / "payload", 10)
    (place / "artifact.json").write_text("{}")
    assert merged(f"run/artifacts/sft@euro/0123456789ab{inside}")[0] == 10
    assert "| sft@euro |" in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_has_no_revisions(merged, tmp_path):
    write(tmp_path / "mine", 12)
    value, said = merged("./mine@main")
    assert value == 12
    assert "a folder has no revisions, 'main' is ignored" in said


@pytest.mark.parametrize("model", [r'"./a\0b"', '"~nosuchuser/model"', '"~nosuchuser/model@v2"'])
def test_what_can_be_no_path_is_told(model, merged):
    with pytest.raises(RecipeError, match="no path can be this"):
        merged(model)

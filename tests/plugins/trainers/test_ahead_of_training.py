"""What could fail at the end of a training run is found before its first step."""

import json
import resource
import shutil
from types import SimpleNamespace

import pytest
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from aya_core.api import AyaError, DataError
from aya_plugins.trainers.runtime import ahead
from aya_plugins.trainers.sft import Sft

ONE = {"steps": 1, "batch_rows": 9}


def never(done, total, measures):
    raise AssertionError("a step was made")


@pytest.fixture
def start(checkpoint, tmp_path):
    """A checkpoint of the test's own."""
    return shutil.copytree(checkpoint(), tmp_path / "start")


@pytest.mark.parametrize(
    "odd",
    [
        {"temperature": 0.7, "top_p": 0.9, "do_sample": False},
        {"temperature": 0.6},
        {"num_beams": 1, "length_penalty": 0.5, "early_stopping": True},
        {"do_sample": False, "top_k": 40, "a_key_of_somebody": {"x": 1}},
    ],
)
def test_a_generation_config_that_transformers_would_not_write_is_copied_as_it_is(
    start, counting, rows_folder, run_trainer, odd
):
    file = start / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **odd}, indent=3))
    out, _ = run_trainer(Sft(**ONE), rows_folder(counting), start=start)
    written = json.loads((out / "generation_config.json").read_text())
    assert written.items() >= odd.items()
    assert written["eos_token_id"] == json.loads(file.read_text())["eos_token_id"]
    AutoModelForCausalLM.from_pretrained(out)


def test_a_chat_template_that_is_given_ends_turns_where_the_generation_config_is_an_odd_one_too(
    start, counting, rows_folder, run_trainer
):
    file = start / "generation_config.json"
    odd = {"do_sample": False, "temperature": 0.6, "a_key_of_somebody": {"x": 1}}
    file.write_text(json.dumps({**json.loads(file.read_text()), **odd}))
    before = json.loads(file.read_text())["eos_token_id"]
    with pytest.warns(UserWarning, match="3 are added"):
        out, measures = run_trainer(Sft(**ONE, chat_template="llama3"), rows_folder(counting), start=start)
    written = json.loads((out / "generation_config.json").read_text())
    assert written.items() >= odd.items()
    end = AutoTokenizer.from_pretrained(out).convert_tokens_to_ids("<|eot_id|>")
    assert written["eos_token_id"] == [end, before]
    assert measures["chat_template_tokens_added"] == 3


@pytest.mark.parametrize("text", ['{"eos_token_id": 2,', '{"num_return_sequences": 4}'])
def test_a_generation_config_that_cannot_be_read_is_named_before_the_first_step(
    start, counting, rows_folder, run_trainer, text
):
    (start / "generation_config.json").write_text(text)
    with pytest.raises(DataError, match="no generation config can be loaded from here"):
        run_trainer(Sft(**ONE), rows_folder(counting), start=start, report=never)


def test_what_a_library_would_not_write_is_an_error_before_the_first_step(
    start, counting, rows_folder, run_trainer, monkeypatch
):
    def refuse(*words, **named):
        raise ValueError("this cannot\nbe written")

    monkeypatch.setattr(ahead, "save_checkpoint", refuse)
    with pytest.raises(DataError, match=r"could not be saved and read again: this cannot be written. No step was made"):
        run_trainer(Sft(**ONE), rows_folder(counting), start=start, report=never)


@pytest.mark.parametrize("change", ["words", "end", "template"])
def test_a_tokenizer_that_changes_when_it_is_saved_is_refused(
    start, checkpoint, counting, rows_folder, run_trainer, monkeypatch, change
):
    def read(folder):
        tokenizer = AutoTokenizer.from_pretrained(checkpoint(kind="bpe") if change == "words" else folder)
        if change == "end":
            tokenizer.eos_token = "zero"
        if change == "template":
            tokenizer.chat_template += " "
        return tokenizer

    monkeypatch.setattr(ahead, "AutoTokenizer", SimpleNamespace(from_pretrained=read))
    what = {"words": "from token 1 on", "end": "eos_token_id is", "template": "chat_template is"}[change]
    with pytest.raises(DataError, match=f"its tokenizer changes when it is saved: .*{what}"):
        run_trainer(Sft(**ONE), rows_folder(counting), start=start, report=never)


def test_a_disk_too_small_for_checkpoint_and_saves_is_named_with_both_sizes(
    start, counting, rows_folder, run_trainer, monkeypatch, tmp_path
):
    free = 2 * (start / "model.safetensors").stat().st_size  # room for the checkpoint, not for saves
    monkeypatch.setattr(ahead.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    rows = rows_folder(counting)
    with pytest.raises(AyaError, match=r"MiB are free in .*would write .* 3 saves of the training state .*--out"):
        run_trainer(Sft(**ONE), rows, start=start, report=never)
    _, measures = run_trainer(Sft(**ONE, checkpoint_seconds=None), rows, start=start)
    assert measures["steps"] == 1
    free = 1000
    with pytest.raises(AyaError, match=r"the checkpoint takes .* MiB\. Free space, or choose another folder"):
        run_trainer(Sft(**ONE, checkpoint_seconds=None), rows, start=start, report=never)


def test_saves_that_lie_there_already_are_not_counted_twice(
    start, counting, rows_folder, run_trainer, monkeypatch, tmp_path
):
    settings, rows = Sft(**{**ONE, "steps": 4}, checkpoint_seconds=0), rows_folder(counting)
    run_trainer(settings, rows, start=start, work=tmp_path / "work")
    lie = sum(file.stat().st_size for file in (tmp_path / "work").rglob("*") if file.is_file())
    monkeypatch.setattr(ahead.shutil, "disk_usage", lambda folder: SimpleNamespace(free=lie))
    run_trainer(settings, rows, start=start, work=tmp_path / "work")


def test_a_limit_of_the_size_of_files_is_named(start, counting, rows_folder, run_trainer, monkeypatch):
    monkeypatch.setattr(ahead.resource, "getrlimit", lambda what: (1000, resource.RLIM_INFINITY))
    with pytest.raises(AyaError, match=r"no file may be larger than .*\(ulimit -f\)"):
        run_trainer(Sft(**ONE), rows_folder(counting), start=start, report=never)


def test_a_folder_that_cannot_be_written_to_is_named(start, counting, rows_folder, run_trainer, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AyaError, match=r"file/store: cannot be written to \(Not a directory\)"):
        run_trainer(Sft(**ONE), rows_folder(counting), start=start, store=tmp_path / "file" / "store", report=never)


def test_an_adapter_is_loaded_with_its_base_from_anywhere(
    start, counting, rows_folder, run_trainer, tmp_path, monkeypatch
):
    out, _ = run_trainer(Sft(**ONE, lora={"rank": 2, "save": "adapter"}), rows_folder(counting), start=start)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    moved = shutil.move(out, tmp_path / "elsewhere" / "moved")
    assert json.loads((moved / "adapter_config.json").read_text())["base_model_name_or_path"] == str(start)
    for auto in (AutoModelForCausalLM, AutoPeftModelForCausalLM):
        assert any("lora_A" in name for name in auto.from_pretrained(moved).state_dict())


def test_the_adapter_of_a_model_of_the_hub_names_its_id_and_commit(start, counting, rows_folder, run_trainer, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--some--model" / "snapshots" / commit
    shutil.copytree(start, cached)
    out, _ = run_trainer(Sft(**ONE, lora={"rank": 2, "save": "adapter"}), rows_folder(counting), start=cached)
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("some/model", commit)

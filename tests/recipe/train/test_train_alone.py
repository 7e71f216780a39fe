"""`aya train` and `aya show-tokens` with the bundled trainers, on a tiny model."""

import json

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from aya_core.testing import sample_demonstrations, tiny_causal_lm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model and demonstrations."""
    folder = tmp_path_factory.mktemp("alone")
    tiny_causal_lm(folder / "start")
    rows = [
        {"id": row.prompt.id, "language": row.prompt.language, "prompt": row.prompt.text, "completion": row.completion}
        for row in sample_demonstrations()
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_training_alone_says_what_was_gained_and_leaves_an_ordinary_checkpoint(folder, aya_command):
    trainer = "sft,steps=12,batch_rows=4,learning_rate=0.01,schedule=constant,log_every=4"
    words = ("train", "--start", "start", "--data", "rows.jsonl", "--trainer", trainer, "--out", "out")
    output = aya_command(*words, "--json", "--track", "tensorboard", cwd=folder)
    assert output.returncode == 0, output.stderr
    account = json.loads(output.stdout)["train"]
    assert account["measures"]["loss"] < account["first"]["loss"] - 0.5
    assert account["measures"]["rows"] == 7
    assert list((folder / "out" / "tensorboard" / "train").iterdir())
    model = AutoModelForCausalLM.from_pretrained(folder / "out" / "checkpoint")
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(folder / "out" / "checkpoint"))
    again = aya_command(*words, "-q", cwd=folder)
    assert again.returncode == 0
    assert " → " in again.stdout
    assert "7 rows" in again.stdout
    assert "checkpoint: out/checkpoint" in again.stderr


def test_the_tokens_of_a_sound_template_raise_no_warning(folder, aya_command):
    words = ("show-tokens", "--start", "start", "--data", "rows.jsonl", "--trainer")
    output = aya_command(*words, "sft", "--ids", cwd=folder)
    assert output.returncode == 0, output.stderr
    (row,) = [line for line in output.stdout.splitlines() if "spider" in line and "tokens" not in line]
    assert row.startswith("⟨<bos>·1⟩ ⟨<|user|>·5⟩ ")
    assert row.endswith("⟨<|assistant|>·6⟩ [8·13] [⟨<eos>·2⟩] ")
    assert "warning" not in output.stdout
    cut = aya_command(*words, "sft,max_tokens=9", "-n", "0", cwd=folder).stdout
    assert "dropped" in cut
    assert "cut to" in cut
    assert "warning" not in cut

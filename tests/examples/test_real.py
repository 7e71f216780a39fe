"""The recipe on published models: sound, and its questions are real ones of which those held out are in no training set."""

import shutil
from pathlib import Path

import pytest
from places import ROOT
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from aya_core.api import Demonstration, Prompt, read_rows
from aya_core.planning import yaml12
from aya_plugins.modeling.chat_templates import BUNDLED
from aya_plugins.modeling.tokenizers import make_tokenizer

RECIPE = ROOT / "examples" / "recipes" / "real.yaml"
MODELS = ("google/gemma-3-270m", "HuggingFaceTB/SmolLM2-135M-Instruct", "Qwen/Qwen2.5-Coder-0.5B-Instruct")


@pytest.fixture
def beside_data(shared_data, tmp_path):
    """The recipe as a user has it, beside the data."""
    shutil.copy(RECIPE, tmp_path)
    (tmp_path / "data").symlink_to(shared_data)
    return tmp_path / RECIPE.name


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model that stands for all three."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = make_tokenizer("bpe", 300, ["one two three"])
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    return folder


def models(folder):
    return f"models={{{', '.join(f'{name}: {folder}' for name in MODELS)}}}"


def test_the_base_gets_the_chat_template_of_gemma(tiny):
    (base,) = (stage for stage in yaml12.read(RECIPE)["stages"] if stage["name"] == "base")
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    turns = [
        {"role": "user", "content": " Hi"},
        {"role": "assistant", "content": "Hello "},
        {"role": "user", "content": "more"},
    ]
    for asks in (True, False):
        own, bundled = (
            tokenizer.apply_chat_template(turns, tokenize=False, chat_template=text, add_generation_prompt=asks)
            for text in (base["chat_template"], "{{ bos_token }}" + BUNDLED["gemma"])
        )
        assert own == bundled


def test_it_is_sound_and_says_which_data_it_lacks(beside_data, tiny, aya_command):
    found = aya_command("check", beside_data, "--set", models(tiny))
    assert found.returncode == 0, found.stderr
    assert "sound" in found.stdout
    (beside_data.parent / "data").unlink()
    lacking = aya_command("check", beside_data, "--set", models(tiny))
    assert lacking.returncode == 2
    assert f"no file or folder {beside_data.parent / 'data' / 'm_arena_hard' / 'questions'}" in lacking.stderr


def test_questions_are_in_nine_languages_and_held_out_ones_are_nowhere_else(beside_data, tiny, aya_command, tmp_path):
    out = tmp_path / "out"
    done = aya_command("run", beside_data, "--set", models(tiny), "--out", out, "-q", "--until", "new-questions")
    assert done.returncode == 0, done.stderr
    read = {}
    for name in ("questions", "heldout-questions", "new-questions"):
        (payload,) = out.glob(f"artifacts/{name}/*/payload")
        read[name] = {(row.language, row.text) for row in read_rows(Path(payload), Prompt)}
        assert len({language for language, _ in read[name]}) >= 8
    assert len(read["questions"]) > 150
    assert not read["heldout-questions"] & (read["questions"] | read["new-questions"])
    assert not read["questions"] & read["new-questions"]
    (best,) = out.glob("artifacts/answered.best/*/payload")
    assert all(len(row.completion) <= 1500 for row in read_rows(Path(best), Demonstration))

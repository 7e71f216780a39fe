"""Tiny checkpoints and rows for the tests of trainers, teachers and arbiters."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedTokenizerFast

from aya_core.api import Demonstration, Preference, TrainingJob, user_prompt
from aya_core.contract.artifacts import write_rows
from aya_plugins.trainers.initialize import Initialize

FAMILIES = {
    "cohere": {"logit_scale": 0.25, "num_key_value_heads": 2},
    "llama": {"num_key_value_heads": 2},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
}
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tiny products gain nothing from threads, which wait for one another wherever other work shares the machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def counting():
    """Demonstrations: each asks for the next one, two or three numbers, so that lengths differ."""
    rows = []
    for first in range(9):
        for many in (1, 2, 3):
            prompt = user_prompt(f"{first}-{many}", "en", " ".join(["next"] * many + [WORDS[first]]))
            rows.append(Demonstration(prompt, " ".join(WORDS[(first + 1 + step) % 12] for step in range(many))))
    return rows


@pytest.fixture(scope="session")
def pairs(counting):
    """Preferences: the right numbers over the same ones backwards, or a wrong one."""
    rejected = [" ".join(reversed(row.completion.split())) + " zero" for row in counting]
    return [Preference(row.prompt, row.completion, wrong) for row, wrong in zip(counting, rejected, strict=True)]


@pytest.fixture(scope="session")
def rows_folder(tmp_path_factory):
    """Write rows the way a stage does; returns the folder."""

    def write(rows):
        folder = tmp_path_factory.mktemp("rows")
        write_rows(folder, type(rows[0]), rows)
        return folder

    return write


@pytest.fixture(scope="session")
def run_trainer(tmp_path_factory):
    """Run a trainer as a stage does; returns the checkpoint's folder and the final measures."""

    def run(strategy, rows, *, work=None, seed=0, **job):
        out = tmp_path_factory.mktemp("checkpoint")
        work = work or tmp_path_factory.mktemp("work")
        return out, strategy.build().train(TrainingJob(rows=rows, out=out, work=work, seed=seed, **job))

    return run


@pytest.fixture(scope="session")
def checkpoint(counting, rows_folder, run_trainer):
    """Make an untrained checkpoint of a family, once for each set of arguments."""
    made = {}
    rows = rows_folder(counting)

    def make(family="cohere", kind="words", vocab_size=None, **config):
        key = (family, kind, vocab_size, *sorted(config.items()))
        if key not in made:
            settings = {"model_type": family, **SIZES, **FAMILIES.get(family, {}), "initializer_range": 0.3, **config}
            strategy = Initialize(config=settings, tokenizer={"kind": kind, "vocab_size": vocab_size})
            made[key] = run_trainer(strategy, rows)[0]
        return made[key]

    return make


@pytest.fixture(scope="session")
def encoder_checkpoint(tmp_path_factory):
    """Make an untrained masked language model of an encoder family; its tokenizer wraps a text as `<s> text </s>`."""
    made = {}

    def make(family, **config):
        key = (family, *sorted(config.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp(family)
            words = dict.fromkeys(("<s>", "<pad>", "</s>", "<unk>", "next", *WORDS))
            vocabulary = {word: place for place, word in enumerate(words)}
            tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            tokenizer.post_processor = processors.TemplateProcessing(
                single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
            )
            special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
            PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(made[key])
            ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
            sizes = {**SIZES, "vocab_size": len(words), "max_position_embeddings": 40, "initializer_range": 0.3}
            torch.manual_seed(0)
            settings = AutoConfig.for_model(family, **{**sizes, **ids, **config})
            AutoModelForMaskedLM.from_config(settings).save_pretrained(made[key])
        return made[key]

    return make


@pytest.fixture(scope="session")
def wide_heads():
    """Sizes of checkpoints that vLLM runs on a CPU, where its attention takes heads of 32 and more.

    With fewer layers or smaller weights an untrained model of this width ends every greedy answer at once, and all engines
    agree on nothing.
    """
    heads = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    return {**heads, "num_hidden_layers": 4, "initializer_range": 0.5}

"""A checkpoint whose tensors are not all there, or not all its own, is refused wherever one is loaded, with their names."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from aya_core.api import DataError, MergeInput, TrainingJob
from aya_plugins.arbiters.likelihood import Likelihood
from aya_plugins.merges.runtime.perplexity import compare_perplexity
from aya_plugins.modeling.checkpoint import load_causal_lm, load_reward_model, load_tokenizer, load_unscored
from aya_plugins.modeling.weights import check_whole
from aya_plugins.objectives.dpo import Dpo
from aya_plugins.routers.learned import Learned
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.sft import Sft

LAYER = "model.layers.1.mlp.up_proj.weight"
FAULTS = {
    f"missing, which would start at random: {LAYER}": lambda tensors: tensors.pop(LAYER),
    "unexpected, which would be left out: model.layers.1.extra.weight": lambda tensors: tensors.update(
        {"model.layers.1.extra.weight": torch.ones(3)}
    ),
    f"of another shape, which would start at random: {LAYER}: (5, 32) in the file, (48, 32) expected": lambda tensors: (
        tensors.update({LAYER: torch.ones(5, 32)})
    ),
}


def change(folder, function):
    tensors = load_file(folder / "model.safetensors")
    function(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(params=FAULTS)
def faulty(request, checkpoint, tmp_path):
    """A folder with a fault, and what is said of it."""
    return change(shutil.copytree(checkpoint("llama"), tmp_path / "model"), FAULTS[request.param]), request.param


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: Transformers(model=str(folder)).build(),
        lambda folder: Likelihood(model=str(folder)).build(),
        lambda folder: load_unscored(folder, 0),
        lambda folder: load_unscored(folder, 0, num_labels=3),
        check_whole,  # before vLLM starts
    ],
    ids=["teacher", "likelihood", "reward trainer", "router trainer", "vllm"],
)
def test_it_is_refused_with_the_names_of_its_tensors(faulty, load):
    folder, words = faulty
    with pytest.raises(DataError) as told:
        load(folder)
    assert str(told.value).startswith(f"{folder}: its tensors are not those of Llama")
    assert words in str(told.value)


@pytest.mark.parametrize("trainer", [Sft, PreferenceTraining, RewardTraining])
def test_training_does_not_start_from_it(faulty, trainer, counting, pairs, rows_folder, tmp_path):
    folder, words = faulty
    rows = rows_folder(counting if trainer is Sft else pairs)
    objective = Dpo().build() if trainer is PreferenceTraining else None
    job = TrainingJob(rows, tmp_path, tmp_path, 0, start=folder, objective=objective, needs_reference=False)
    with pytest.raises(DataError) as told:
        trainer(steps=1, batch_rows=2).build().train(job)
    assert words in str(told.value)


def test_it_is_no_reference(faulty, pairs, checkpoint, rows_folder, tmp_path):
    folder, words = faulty
    job = TrainingJob(
        rows_folder(pairs), tmp_path, tmp_path, 0, start=checkpoint("llama"), objective=Dpo().build(), reference=folder
    )
    with pytest.raises(DataError) as told:
        PreferenceTraining(steps=1, batch_rows=2).build().train(job)
    assert words in str(told.value)


def test_a_check_of_merges_scores_none_whose_tensors_are_missing(faulty):
    folder, words = faulty
    report = compare_perplexity([MergeInput("merged", folder)], {"en": ["one two three"]})
    (names,) = report["models"]["merged"]["faults"].values()
    assert words.endswith(names[0])
    if not words.startswith("unexpected"):
        assert report["models"]["merged"]["languages"] == {}


def test_a_router_whose_head_is_not_there_is_refused(checkpoint, tmp_path):
    load_unscored(checkpoint("llama"), 0, num_labels=3).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(checkpoint("llama")).save_pretrained(tmp_path)
    Learned(model=str(tmp_path)).build()
    change(tmp_path, lambda tensors: tensors.update({"classifier.weight": tensors.pop("score.weight")}))
    with pytest.raises(DataError, match=r"missing, .*: score.weight; unexpected, .*: classifier.weight"):
        Learned(model=str(tmp_path)).build()


def test_a_head_that_ends_in_words_is_no_fault_of_a_new_classifier_and_what_is_new_is_told(
    encoder_checkpoint, checkpoint
):
    new = []
    load_unscored(checkpoint("llama"), 0, tell=new.append)
    load_unscored(encoder_checkpoint("bert"), 1, num_labels=3, tell=new.append)
    assert new == [
        ["score.weight"], ["bert.pooler.dense.bias", "bert.pooler.dense.weight", "classifier.bias", "classifier.weight"]
    ]  # fmt: skip


def test_training_a_new_head_says_how_much_of_it_is_new(pairs, checkpoint, rows_folder, run_trainer):
    folder, measures = run_trainer(
        RewardTraining(steps=1, batch_rows=2, precision="float32"), rows_folder(pairs), start=checkpoint("llama")
    )
    assert measures["new_head_tensors"] == 1
    _, again = run_trainer(RewardTraining(steps=1, batch_rows=2, precision="float32"), rows_folder(pairs), start=folder)
    assert "new_head_tensors" not in again


def test_a_tied_head_and_buffers_of_earlier_versions_are_no_faults(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("cohere"), tmp_path / "tied")
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    load_causal_lm(folder, dtype=None)
    folder = shutil.copytree(checkpoint("llama"), tmp_path / "old")
    change(folder, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))
    load_causal_lm(folder, dtype=None)
    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=2, n_positions=64)).save_pretrained(
        tmp_path / "gpt2"
    )
    mask = torch.ones(1, 1, 64, 64)
    change(tmp_path / "gpt2", lambda tensors: tensors.update({"transformer.h.0.attn.bias": mask}))
    load_causal_lm(tmp_path / "gpt2", dtype=None)


def test_an_untied_head_that_is_not_stored_is_missing(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("llama", tie_word_embeddings=False), tmp_path / "model")
    assert not AutoConfig.from_pretrained(folder).tie_word_embeddings
    change(folder, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(DataError, match=r"missing, .*: lm_head.weight"):
        load_causal_lm(folder, dtype=None)


def test_a_body_saved_alone_is_no_language_model(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("llama", tie_word_embeddings=False), tmp_path / "model")

    def bare(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)
        del tensors["lm_head.weight"]

    change(folder, bare)
    with pytest.raises(DataError, match=r"missing, .*: lm_head.weight"):
        load_causal_lm(folder, dtype=None)


def test_many_names_are_counted(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("llama"), tmp_path / "model")
    change(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if ".layers.1." in name])
    with pytest.raises(DataError, match=r"model.layers.1.self_attn.k_proj.weight and 3 more"):
        load_causal_lm(folder, dtype=None)


def test_a_damaged_file_is_said_to_be_one(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("llama"), tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00nonsense")
    with pytest.raises(DataError, match="no model can be loaded from here"):
        load_causal_lm(folder, dtype=None)


POINTER = b"version https://git-lfs.github.com/spec/"
UNREADABLE = {
    "pickle cut short": ("pytorch_model.bin", lambda data: data[: len(data) // 2], "no model can be loaded from here"),
    "empty pickle": ("pytorch_model.bin", lambda data: b"", "no model can be loaded from here"),
    "pickle of Git LFS": ("pytorch_model.bin", lambda data: POINTER + b"v1\n", r"pytorch_model.bin: the pointer.*`git lfs pull`"),
    "safetensors of Git LFS": ("model.safetensors", lambda data: POINTER + b"v1\n", r"model.safetensors: the pointer.*git lfs pull"),
    "safetensors cut short": ("model.safetensors", lambda data: data[: len(data) // 2], "no model can be loaded"),
    "index of nothing": ("model.safetensors.index.json", lambda data: b"{}", "no model can be loaded from here"),
    "heads that do not divide the width": (
        "config.json", lambda data: data.replace(b'_heads": 4', b'_heads": 5'), "no (model|configuration) can be loaded"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("load", [load_causal_lm, load_reward_model], ids=["causal", "reward model"])
def test_files_that_cannot_be_read_are_an_error_of_the_user(kind, load, checkpoint, tmp_path):
    name, damage, words = UNREADABLE[kind]
    folder = shutil.copytree(checkpoint("llama"), tmp_path / "model")
    weights = folder / "model.safetensors"
    if name == "pytorch_model.bin":
        torch.save(load_file(weights), folder / name)
    if "model" in name:
        data = (folder / name).read_bytes() if (folder / name).exists() else b""
        weights.unlink()
    else:
        data = (folder / name).read_bytes()
    assert damage(data) != data
    (folder / name).write_bytes(damage(data))
    with pytest.raises(DataError, match=words):
        load(folder, dtype=torch.float32)


@pytest.mark.parametrize("is_zip", [True, False])
def test_heads_of_pickled_reward_models_are_read_also_from_files_of_old_torch(is_zip, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("llama"), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors") | {"score.weight": torch.ones(1, 32)}
    tensors.pop("lm_head.weight", None)
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["LlamaForSequenceClassification"]}))
    assert torch.equal(load_reward_model(folder, dtype=torch.float32).score.weight, torch.ones(1, 32))


def test_a_tokenizer_with_tokens_that_the_model_has_no_embedding_for_is_refused(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("llama"), tmp_path / "model")
    tokenizer = load_tokenizer(folder)
    rows = len(tokenizer)

    def with_rows(count):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"vocab_size": count}))

    with_rows(rows - 2)
    with pytest.raises(DataError, match=rf"its tokenizer is another model's: 2 of its tokens, up to .* \({rows - 1}\)"):
        load_tokenizer(folder)
    with_rows(rows)
    tokenizer.add_tokens(["<picture>"])
    tokenizer.save_pretrained(folder)
    assert len(load_tokenizer(folder)) == rows + 1  # nothing writes it
    tokenizer.chat_template += "<picture>"
    tokenizer.save_pretrained(folder)
    with pytest.raises(DataError, match=r"1 of its tokens, up to '<picture>'"):
        load_tokenizer(folder)

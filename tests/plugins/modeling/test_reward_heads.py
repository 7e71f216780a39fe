"""Reward models as they are published: the head is found by its tensors, and gives what its own arithmetic gives."""

import json
import shutil

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from aya_core.api import DataError
from aya_plugins.modeling.checkpoint import load_unscored
from aya_plugins.modeling.classifier import Classifier
from aya_plugins.modeling.settings import CheckpointSettings

WIDTH = 32


@pytest.fixture(scope="module")
def published(checkpoint, tmp_path_factory):
    """Make a causal language model's folder whose files hold a head's tensors, and the settings that its config.json has beside."""

    def make(tensors, *, family="llama", keeps_head=True, **config):
        folder = shutil.copytree(checkpoint(family), tmp_path_factory.mktemp("published") / "model")
        stored = load_file(folder / "model.safetensors")
        if not keeps_head:
            stored.pop("lm_head.weight", None)
        save_file({**stored, **tensors}, folder / "model.safetensors", {"format": "pt"})
        written = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**written, **config}))
        return folder

    return make


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classifier(folder, **settings):
    return Classifier(CheckpointSettings(model=str(folder), device="cpu"), max_tokens=100, system=None, **settings)


def score(folder, pairs, **settings):
    made = classifier(folder, **settings)
    return made(made.encoder.conversations(pairs), numpy.arange(len(pairs)))


def states(folder, pairs):
    """The last hidden states of whole conversations, by the causal language model alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for prompt, answer in pairs:
        turns = [*prompt.messages, {"role": "assistant", "content": answer}]
        ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
        with torch.no_grad():
            found.append(model(ids, output_hidden_states=True).hidden_states[-1][0, -1])
    return torch.stack(found)


@pytest.fixture(scope="module")
def asked(counting):
    return [(row.prompt, row.completion) for row in counting[:5]]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        (
            "score",
            {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
        ),  # Skywork and most
        ("score", {"architectures": ["RewardModel"], "value_head_prefix": "score"}),  # OpenRLHF
        ("value_head", {"architectures": ["RewardModel"], "value_head_prefix": "value_head"}),  # OpenRLHF
        ("value_head", {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}),
        ("worth", {"value_head_prefix": "worth"}),
        ("v_head", {}),  # DeepSpeed-Chat
        ("v_head.summary", {}),  # TRL
        ("regression_head", {"architectures": ["LlamaRewardModel"]}),
        ("score", {"architectures": None}),
    ],
)
@pytest.mark.parametrize("family", ["llama", "cohere"])
def test_a_linear_head_of_one_value_is_the_score_whatever_its_name(published, asked, name, config, family):
    weight = drawn(1, WIDTH)
    folder = published({f"{name}.weight": weight}, family=family, keeps_head="v_head" in name, **config)
    expected = states(folder, asked) @ weight[0]
    assert score(folder, asked) == pytest.approx(expected.numpy(), abs=1e-5)
    assert score(folder, asked[1:2]) == pytest.approx(expected[1:2].numpy(), abs=1e-5)


def test_a_bias_is_added(published, asked):
    weight, bias = drawn(1, WIDTH), torch.tensor([0.75])
    folder = published({"v_head.summary.weight": weight, "v_head.summary.bias": bias})
    assert score(folder, asked) == pytest.approx((states(folder, asked) @ weight[0] + 0.75).numpy(), abs=1e-5)


@pytest.mark.parametrize("name", ["score", "value_head"])
def test_of_two_labels_the_score_is_the_log_odds_of_the_second_or_the_one_named(published, asked, name):
    weight = drawn(2, WIDTH)
    labels = {"id2label": {"0": "good", "1": "bad"}, "label2id": {"good": 0, "bad": 1}}
    folder = published({f"{name}.weight": weight}, **labels)
    values = states(folder, asked) @ weight.T
    odds = (values.softmax(-1)[:, 1] / values.softmax(-1)[:, 0]).log()
    assert score(folder, asked) == pytest.approx(odds.numpy(), abs=1e-4)
    assert score(folder, asked, label="bad") == pytest.approx(odds.numpy(), abs=1e-4)
    assert score(folder, asked, label="good") == pytest.approx(-odds.numpy(), abs=1e-4)
    with pytest.raises(DataError, match="no label 'fine' among two; its labels are good, bad"):
        classifier(folder, label="fine")


@pytest.mark.parametrize("values", [1, 2])
def test_a_score_of_two_layers_has_a_relu_between_them(published, asked, values):
    first, middle, last, end = drawn(16, WIDTH), drawn(16, seed=1), drawn(values, 16, seed=2), drawn(values, seed=3)
    tensors = {"score.0.weight": first, "score.0.bias": middle, "score.2.weight": last, "score.2.bias": end}
    folder = published(tensors, architectures=["LlamaForRewardModel"], auto_map={"AutoModel": "modeling_rm.Model"})
    hidden = (states(folder, asked) @ first.T + middle).clamp(min=0)
    found = hidden @ last.T + end
    expected = found[:, 0] if values == 1 else found[:, 1] - found[:, 0]
    assert score(folder, asked) == pytest.approx(expected.numpy(), abs=1e-4)


def test_a_head_in_shards_or_pickled_is_read(published, asked):
    weight = drawn(1, WIDTH)
    whole = published({"value_head.weight": weight}, keeps_head=False)
    expected = score(whole, asked)
    stored = load_file(whole / "model.safetensors")
    pickled = shutil.copytree(whole, whole.parent / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(stored, pickled / "pytorch_model.bin")
    assert score(pickled, asked) == pytest.approx(expected)
    parts = shutil.copytree(whole, whole.parent / "parts")
    (parts / "model.safetensors").unlink()
    files = {name: f"model-0000{1 + (name == 'value_head.weight')}-of-00002.safetensors" for name in stored}
    for file in set(files.values()):
        save_file({name: stored[name] for name in stored if files[name] == file}, parts / file, {"format": "pt"})
    (parts / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    assert score(parts, asked) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"score.weight": (5, WIDTH)}, r"score.weight \(5, 32\)"),
        ({"value_head.weight": (1, 16)}, r"hidden size 32; found: value_head.weight \(1, 16\)"),
        (
            {"v_head.0.weight": (8, WIDTH), "v_head.2.weight": (1, 8)},
            r"v_head.0.weight \(8, 32\), v_head.2.weight \(1, 8\)",
        ),
        (
            {"score.weight": (1, WIDTH), "value_head.weight": (1, WIDTH)},
            r"score.weight \(1, 32\), value_head.weight \(1, 32\)",
        ),
        ({"score.0.weight": (8, WIDTH), "score.1.weight": (8,), "score.2.weight": (1, 8)}, r"score.1.weight \(8,\)"),
    ],
)
def test_another_head_is_refused_with_its_names_and_shapes(published, tensors, words):
    folder = published({name: drawn(*shape) for name, shape in tensors.items()})
    with pytest.raises(DataError, match=f"its head cannot be read .*{words}.*can be read: a linear layer"):
        classifier(folder)


def test_a_head_of_an_unknown_name_is_refused_with_its_name_and_shape(published):
    labeled = {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    folder = published({"judge_layer.weight": drawn(1, WIDTH)}, keeps_head=False, **labeled)
    with pytest.raises(
        DataError, match=r"missing, which would start at random: score.weight; unexpected.*: judge_layer.weight"
    ):
        classifier(folder)
    folder = published({"judge_layer.weight": drawn(1, WIDTH)}, keeps_head=False)
    with pytest.raises(DataError, match=r"found: judge_layer.weight \(1, 32\)"):
        classifier(folder)


@pytest.mark.parametrize("name", ["score", "value_head"])
def test_a_body_that_is_not_whole_is_refused_beside_a_head_that_is(published, name):
    labeled = {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    folder = published({f"{name}.weight": drawn(1, WIDTH)}, keeps_head=False, **labeled)
    stored = load_file(folder / "model.safetensors")
    del stored["model.layers.1.mlp.up_proj.weight"]
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"missing, which would start at random: (model.)?layers.1.mlp.up_proj.weight"):
        classifier(folder)


def test_labels_that_config_names_must_be_those_of_the_head(published):
    labels = {"id2label": {"0": "a", "1": "b"}, "architectures": ["LlamaForSequenceClassification"]}
    folder = published({"score.weight": drawn(1, WIDTH)}, **labels)
    with pytest.raises(DataError, match=r"of another shape.*score.weight: \(1, 32\) in the file, \(2, 32\) expected"):
        classifier(folder)


def test_a_trainer_does_not_throw_a_head_away_that_gives_scores(published):
    with pytest.raises(DataError, match=r"unexpected, which would be left out: value_head.weight"):
        load_unscored(published({"value_head.weight": drawn(1, WIDTH)}), 0)

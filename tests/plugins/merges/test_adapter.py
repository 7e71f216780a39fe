"""Adapters made with peft on the spot, read by us and merged by peft."""

import copy
import json
from pathlib import Path

import pytest
import torch
from peft import EvaConfig, IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from aya_core.api import DataError
from aya_plugins.merges.adapters.adapter import adapter_base, open_adapter

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore:.*tied"),
    pytest.mark.filterwarnings("ignore:.*weight tying"),
]


class Held:
    """A tensor in memory, as a source; it counts what is read."""

    def __init__(self, tensor, dtype="F32"):
        self.tensor = tensor
        self.shape, self.dtype = tuple(tensor.shape), dtype
        self.bytes = tensor.numel() * tensor.element_size()

    def read(self, start, stop):
        return self.tensor.flatten()[start:stop].to(torch.float32, copy=True)


def llama(**config):
    sizes = {
        "vocab_size": 37, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**sizes | config))


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=37, n_embd=16, n_layer=2, n_head=2, n_positions=8))


def stored_names(model):
    """The tensors that save_pretrained writes: tied ones once."""
    tied = set(model._tied_weights_keys or ()) if model.config.tie_word_embeddings else set()
    return {name: value for name, value in model.state_dict().items() if name not in tied}


def adapt(model, folder: Path, *, scale=0.3, dtype=torch.float32, **config):
    """Save an adapter whose every trained tensor is random; return the base's tensors and those that peft merges."""
    base = {name: value.clone() for name, value in stored_names(model).items()}
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(**{"r": 3, "lora_alpha": 7, **config}))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator) * scale
                parameter.copy_(noise.abs() + 0.5 if "magnitude" in name else noise)
    adapted.save_pretrained(folder)
    file = folder / "adapter_model.safetensors"
    save_file({name: value.to(dtype) for name, value in load_file(file).items()}, file)
    merged = PeftModel.from_pretrained(copy.deepcopy(model), folder).merge_and_unload()
    return base, stored_names(merged)


def applied(folder, base, *, cut=None):
    adapter = open_adapter(folder, {name: tuple(value.shape) for name, value in base.items()})
    found = {}
    for name, value in base.items():
        source = adapter.source(name, Held(value))
        assert source.shape == tuple(value.shape)
        assert source.dtype == "F32"
        count = value.numel()
        step = cut or count
        pieces = [source.read(start, min(start + step, count)) for start in range(0, count, step)]
        assert all(piece.dtype == torch.float32 and piece.dim() == 1 for piece in pieces)
        found[name] = torch.cat(pieces).view(value.shape)
    return found


ATTENTION = ["q_proj", "v_proj", "down_proj"]
CASES = {
    "plain": (llama, {"target_modules": ATTENTION}),
    "linear": (llama, {"target_modules": "all-linear"}),
    "rank-stabilized": (llama, {"target_modules": ATTENTION, "use_rslora": True}),
    "patterns": (
        llama,
        {
            "target_modules": ATTENTION,
            "rank_pattern": {"layers.1.self_attn.q_proj": 5, "down_proj": 2},
            "alpha_pattern": {"^model.layers.0.self_attn.v_proj": 3, r".*\.1\..*\.v_proj": 11},
        },
    ),
    "dora": (llama, {"target_modules": ATTENTION, "use_dora": True}),
    "dora of embeddings": (llama, {"target_modules": ["embed_tokens", "lm_head"], "use_dora": True}),
    "embeddings": (llama, {"target_modules": ["embed_tokens", "o_proj", "lm_head"]}),
    "whole modules": (llama, {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "input_layernorm"]}),
    "all biases": (lambda: llama(attention_bias=True), {"target_modules": ["q_proj"], "bias": "all"}),
    "own biases": (lambda: llama(attention_bias=True), {"target_modules": ["q_proj"], "bias": "lora_only"}),
    "biases of B": (lambda: llama(attention_bias=True), {"target_modules": ["q_proj"], "lora_bias": True}),
    "eva": (llama, {"target_modules": ["q_proj"], "init_lora_weights": "eva", "eva_config": EvaConfig()}),
    "tied and kept so": (
        lambda: llama(tie_word_embeddings=True),
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": True},
    ),
    "conv1d": (gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"], "bias": "all"}),
    "conv1d dora": (gpt2, {"target_modules": ["c_attn", "c_proj"], "use_dora": True}),
    "conv1d beside embeddings": (gpt2, {"target_modules": ["c_proj", "wte"]}),
}


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    make, config = CASES[request.param]
    return tmp_path, *adapt(make(), tmp_path, **config)


def test_adapted_weights_are_those_that_peft_merges(case):
    folder, base, merged = case
    found = applied(folder, base)
    assert set(found) == set(merged)
    changed = [name for name in base if not torch.equal(found[name], base[name])]
    assert changed
    for name, expected in merged.items():
        torch.testing.assert_close(
            found[name], expected, rtol=2e-6, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
        assert torch.equal(found[name], base[name]) == torch.equal(expected, base[name]), name


def test_values_do_not_depend_on_how_ranges_are_cut(case):
    folder, base, _ = case
    whole = applied(folder, base)
    for cut in (7, 16, 100):
        found = applied(folder, base, cut=cut)
        assert all(torch.equal(found[name], value) for name, value in whole.items())


@pytest.mark.parametrize("is_dora", [False, True])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_matrices_of_many_blocks_follow_the_equation(tmp_path, is_dora, is_transposed):
    weight = torch.randn(700, 300)
    inputs, outputs = weight.shape if is_transposed else weight.shape[::-1]
    matrices = {"up.lora_A.weight": (3, inputs), "up.lora_B.weight": (outputs, 3)}
    if is_dora:
        matrices["up.lora_magnitude_vector"] = (outputs,)
    write(tmp_path, matrices, use_dora=is_dora)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    down, up, *magnitude = (stored[f"base_model.model.model.{name}"].double() for name in matrices)
    expected = (weight.T if is_transposed else weight).double() + 6 / 3 * up @ down
    if is_dora:
        expected *= magnitude[0][:, None] / expected.norm(dim=1, keepdim=True)
    base = {"model.up.weight": weight}
    found = applied(tmp_path, base)["model.up.weight"]
    torch.testing.assert_close(found.double(), expected.T if is_transposed else expected, rtol=1e-5, atol=1e-5)
    for cut in (299, 65_536, 100_001):
        assert torch.equal(applied(tmp_path, base, cut=cut)["model.up.weight"], found)


def test_values_do_not_depend_on_the_number_of_threads(tmp_path):
    base = {"model.layers.0.mlp.up_proj.weight": torch.randn(700, 300)}
    write(
        tmp_path,
        {"layers.0.mlp.up_proj.lora_A.weight": (24, 300), "layers.0.mlp.up_proj.lora_B.weight": (700, 24)},
        r=24,
    )
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(applied(tmp_path, base, cut=12345 * count))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found[0][name], found[1][name]) for name in base)


def test_low_precision_adapters_are_applied_in_float32(tmp_path):
    base, merged = adapt(llama(), tmp_path, target_modules=ATTENTION, dtype=torch.bfloat16)
    for name, found in applied(tmp_path, base).items():
        torch.testing.assert_close(found, merged[name], rtol=2e-6, atol=2e-6)


def test_a_tied_head_is_changed_once(tmp_path):
    """peft 0.21's own merge adds the product twice here; the adapted model before merging is the witness."""
    model = llama(tie_word_embeddings=True)
    base, _ = adapt(model, tmp_path, target_modules=["q_proj", "embed_tokens", "lm_head"], ensure_weight_tying=True)
    ids = torch.arange(10)[None]
    expected = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path)(ids).logits
    model.load_state_dict(applied(tmp_path, base), strict=False)
    torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-4)
    (note,) = open_adapter(tmp_path, shapes(base)).notes
    assert "'lm_head' is tied to 'model.embed_tokens'" in note


def test_embeddings_that_are_also_the_head_are_noted(tmp_path):
    base, _ = adapt(llama(tie_word_embeddings=True), tmp_path, target_modules=["embed_tokens"])
    assert "output head, too" in open_adapter(tmp_path, shapes(base)).notes[0]
    assert not open_adapter(tmp_path, {**shapes(base), "lm_head.weight": (37, 16)}).notes


def test_what_the_adapter_leaves_alone_is_the_base_itself(tmp_path):
    base, _ = adapt(llama(), tmp_path, target_modules=["q_proj"])
    adapter = open_adapter(tmp_path, shapes(base))
    source = Held(base["model.norm.weight"])
    assert adapter.source("model.norm.weight", source) is source
    assert set(adapter.changes) == {f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1)}


def test_leading_components_of_names_may_be_left_out(tmp_path):
    base, merged = adapt(gpt2(), tmp_path, target_modules=["c_attn"])
    short = {name.removeprefix("transformer."): value for name, value in base.items()}
    found = applied(tmp_path, short)
    name = "h.1.attn.c_attn.weight"
    torch.testing.assert_close(found[name], merged[f"transformer.{name}"], rtol=2e-6, atol=2e-6)


def test_square_conv1d_weights_are_known_by_their_neighbors(tmp_path):
    base, merged = adapt(gpt2(), tmp_path, target_modules=["c_proj"])
    edit(tmp_path, fan_in_fan_out=False)  # as peft leaves it where a Linear was touched last
    name = "transformer.h.0.attn.c_proj.weight"
    assert base[name].shape == (16, 16)
    torch.testing.assert_close(applied(tmp_path, base)[name], merged[name], rtol=2e-6, atol=2e-6)


def test_the_base_is_read_from_the_config(tmp_path):
    write(tmp_path, SMALL, base_model_name_or_path="some/model")
    assert adapter_base(tmp_path) == ("some/model", None)
    edit(tmp_path, revision="v2")
    assert adapter_base(tmp_path) == ("some/model", "v2")
    edit(tmp_path, base_model_name_or_path=None)
    with pytest.raises(DataError, match="name the model that the adapter is for"):
        adapter_base(tmp_path)


SMALL = {"up.lora_A.weight": (3, 5), "up.lora_B.weight": (4, 3)}
NAMES = {"model.up.weight": (4, 5), "model.norm.weight": (5,)}


def shapes(tensors):
    return {name: tuple(value.shape) for name, value in tensors.items()}


def write(folder, tensors, **config):
    """Write an adapter of random tensors for modules of `model`."""
    config = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, **config}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(2)
    made = {
        f"base_model.model.model.{name}": torch.randn(shape, generator=generator) for name, shape in tensors.items()
    }
    save_file(made, folder / "adapter_model.safetensors")


def edit(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_adapter_written_by_hand_opens(tmp_path):
    write(tmp_path, SMALL)
    assert set(open_adapter(tmp_path, NAMES).changes) == {"model.up.weight"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; expected LORA"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer_replication is .*stack the layers first"),
        ({"target_parameters": ["experts.down_proj"]}, "target_parameters is .*bare parameters"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices is .*trained rows"),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens is .*some tokens"),
        ({"init_lora_weights": "corda"}, "init_lora_weights is 'corda', which changes the base's own weights"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights is 'olora'"),
        ({"use_qalora": True}, "use_qalora is true: we do not know how to apply it"),
        ({"of_next_year": {"a": 1}}, "of_next_year is "),
        ({"r": 0}, "r: Input should be greater than or equal to 1"),
        ({"lora_alpha": "much"}, "lora_alpha: Input should be a valid number"),
        ({"rank_pattern": {"(": 3}}, r"pattern '\(' is not a regular expression"),
        ({"r": 8}, "has rank 3, but adapter_config.json says 8"),
        ({"rank_pattern": {"up": 4}}, "has rank 3, but adapter_config.json says 4"),
        ({"use_dora": True}, "'model.up' has no lora_magnitude_vector"),
    ],
)
def test_a_setting_that_cannot_be_honored_is_named(tmp_path, setting, message):
    write(tmp_path, SMALL, **setting)
    with pytest.raises(DataError, match=message) as error:
        open_adapter(tmp_path, NAMES)
    assert str(tmp_path) in str(error.value)


A, B = SMALL["up.lora_A.weight"], SMALL["up.lora_B.weight"]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"up.lora_A.weight": A}, "'model.up' has no lora_B.weight beside lora_A.weight"),
        ({"up.lora_A.weight": A, "up.lora_B.weight": (4, 2)}, r"\(3, 5\) and .* \(4, 2\) have no rank in common"),
        (
            {"up.lora_A.weight": (3, 6), "up.lora_B.weight": B},
            r"has shape \(4, 6\), but the base's tensor has \(4, 5\)",
        ),
        (
            {**SMALL, "norm.weight": (6,)},
            r"norm.weight has shape \(6,\), but the base's 'model.norm.weight' has \(5,\)",
        ),
        ({**SMALL, "score.weight": (2, 5)}, "the base model has no place for base_model.model.model.score.weight;"),
        ({**SMALL, "up.lora_B.bias": (4,)}, "has no place for base_model.model.model.up.lora_B.bias"),
        ({**SMALL, "up.lora_diag": (3,)}, "has no place for base_model.model.model.up.lora_diag"),
        ({**SMALL, "up.lora_magnitude_vector": (4,)}, "has a lora_magnitude_vector, but .* use_dora: False"),
        (
            {**SMALL, "up.base_layer.weight": (4, 5), "up.weight": (4, 5)},
            "model.up.weight are the same tensor of 'model.up'",
        ),
        ({f"gate{i}.lora_A.weight": A for i in range(5)}, "gate2.lora_A.weight and 2 more"),
        ({**SMALL, "lm_head.weight": (4, 5)}, "changes 'model.lm_head', which the base ties to its embeddings"),
        ({}, "no tensors in it"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path, tensors, message):
    write(tmp_path, tensors)
    with pytest.raises(DataError, match=message):
        open_adapter(tmp_path, NAMES)


def test_a_tied_head_changed_in_its_own_way_is_refused(tmp_path):
    base, _ = adapt(
        llama(tie_word_embeddings=True),
        tmp_path,
        target_modules=["q_proj"],
        modules_to_save=["embed_tokens", "lm_head"],
    )
    with pytest.raises(DataError, match="changes 'lm_head', which the base ties to its embeddings, and not both"):
        open_adapter(tmp_path, shapes(base))


def test_an_adapter_of_another_kind_is_refused_by_name(tmp_path):
    model = get_peft_model(llama(), IA3Config(target_modules=["q_proj"], feedforward_modules=[]))
    model.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="peft_type is 'IA3'"):
        open_adapter(tmp_path, shapes(stored_names(llama())))


def test_faulty_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no adapter_config.json here"):
        open_adapter(tmp_path, NAMES)
    write(tmp_path, SMALL)
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"adapter_model.safetensors: not a whole safetensors file"):
        open_adapter(tmp_path, NAMES)
    file.unlink()
    with pytest.raises(DataError, match=r"no adapter_model.safetensors here"):
        open_adapter(tmp_path, NAMES)
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(DataError, match=r"adapter_model.bin: (holds more than tensors|not a whole file)"):
        open_adapter(tmp_path, NAMES)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(DataError, match=r"adapter_config.json: not JSON"):
        open_adapter(tmp_path, NAMES)


def test_weights_that_are_not_floats_are_refused(tmp_path):
    write(tmp_path, SMALL)
    file = tmp_path / "adapter_model.safetensors"
    save_file({name: value.to(torch.int32) for name, value in load_file(file).items()}, file)
    with pytest.raises(DataError, match="is stored as I32"):
        open_adapter(tmp_path, NAMES)


def test_an_adapter_in_a_bin_file_is_the_same(tmp_path):
    write(tmp_path, SMALL)
    expected = open_adapter(tmp_path, NAMES)
    file = tmp_path / "adapter_model.safetensors"
    torch.save(load_file(file), tmp_path / "adapter_model.bin")
    file.unlink()
    found = open_adapter(tmp_path, NAMES)
    assert found.files[0] == tmp_path / "adapter_model.bin"
    assert found.changes.keys() == expected.changes.keys()
    for name, change in found.changes.items():
        assert torch.equal(change.low_rank.right(), expected.changes[name].low_rank.right())

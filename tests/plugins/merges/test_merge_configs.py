"""Configurations that differ: which differences count, told from what they mean."""

import json
from typing import Any, NamedTuple

import pytest
from checkpoints import load, merge

from aya_core.api import AyaError, DataError
from aya_plugins.merges import Weighted
from aya_plugins.merges.configs.comparison import Allowed, check_configs, differences
from aya_plugins.merges.configs.meaning import as_written, meaning_of, ties
from aya_plugins.merges.configs.rope import with_one_rope
from aya_plugins.merges.configs.table import FREE, THROUGH_LAYER_TYPES, why_free

SMALL = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 96}
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **SMALL}
COHERE = {**LLAMA, "model_type": "cohere", "architectures": ["CohereForCausalLM"]}
QWEN = {**LLAMA, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
UNKNOWN = {**LLAMA, "model_type": "not-known-anywhere"}
VISION = {
    "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"],
    "text_config": {"model_type": "gemma3_text", **SMALL}, "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 32},
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}


class Configured(NamedTuple):
    name: str
    config: Any


def text(**changes):
    return {**VISION, "text_config": {**VISION["text_config"], **changes}}


def vision(**changes):
    return {**VISION, "vision_config": {**VISION["vision_config"], **changes}}


def check(ours, theirs, **more):
    return check_configs(Configured("a", ours), [Configured("b", theirs)], **more)


FREELY = {
    "positions": (LLAMA, {**LLAMA, "max_position_embeddings": 8192}),
    "positions of which one is left out": ({**QWEN, "max_position_embeddings": 64}, QWEN),
    "leftovers of trainers": (LLAMA, {**LLAMA, "unsloth_version": "2025.1", "unsloth_fixed": True, "my_trainers_note": "x"}),
    "pretraining_tp": (LLAMA, {**LLAMA, "pretraining_tp": 4}),
    "how attention is computed": (LLAMA, {**LLAMA, "attn_implementation": "eager", "_attn_implementation": "sdpa"}),
    "what is returned": (LLAMA, {**LLAMA, "output_hidden_states": True, "output_attentions": True, "use_cache": False}),
    "labels of a model without a head for them": (LLAMA, {**LLAMA, "id2label": {"0": "yes", "1": "no"}, "label2id": {"yes": 0}}),
    "a neutral key of rope": (
        {**LLAMA, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
        {**LLAMA, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "factor": 1.0, "beta_fast": 32}},
    ),
    "rope of transformers 4 and 5": (
        {**LLAMA, "rope_theta": 5e5, "rope_scaling": None},
        {**LLAMA, "rope_parameters": {"rope_type": "default", "rope_theta": 500000}},
    ),
    "scaled rope of transformers 4 and 5": (
        {**LLAMA, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {**LLAMA, "rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 5e5}},
    ),
    "scaling by 1": (LLAMA, {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 1.0}}),
    "the default, written out": (LLAMA, {**LLAMA, "hidden_act": "silu", "head_dim": 8, "rope_theta": 10000, "attention_bias": False}),
    "null, written out": (COHERE, {**COHERE, "sliding_window": None, "quantization_config": None}),
    "settings of generation": (LLAMA, {**LLAMA, "temperature": 0.7, "do_sample": True, "max_length": 99}),
    "dropout": (LLAMA, {**LLAMA, "attention_dropout": 0.1}),
    "a window that no layer has": (
        {**QWEN, "sliding_window": 4096, "max_window_layers": 21, "use_sliding_window": False},
        {**QWEN, "sliding_window": 131072, "max_window_layers": 28, "use_sliding_window": False},
    ),
    "the dtype of the text": (text(torch_dtype="float32"), text(torch_dtype="bfloat16", dtype="bfloat16")),
    "the rows of the text": (text(), text(vocab_size=98)),
    "positions of the text": (text(), text(max_position_embeddings=77)),
    "dropout of pictures": (vision(), vision(attention_dropout=0.3)),
    "an architecture of which nobody knows": (UNKNOWN, {**UNKNOWN, "max_position_embeddings": 9, "unsloth_version": "1"}),
    "its rope": ({**UNKNOWN, "rope_theta": 1e6}, {**UNKNOWN, "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}),
}  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), FREELY.values(), ids=FREELY)
def test_what_changes_nothing_that_weights_mean_may_differ(ours, theirs):
    check(ours, theirs)
    check(theirs, ours)


COUNTING = {
    "theta in two spellings": (
        {**LLAMA, "rope_theta": 1e6, "rope_scaling": None},
        {**LLAMA, "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}},
        "rope_parameters.rope_theta is 1000000.0 in 'a' and 10000.0 in 'b'",
    ),
    "theta beside the default": (LLAMA, {**LLAMA, "rope_theta": 1e6}, "rope_theta is 10000.0 .the architecture's default. in 'a'"),
    "activation": (LLAMA, {**LLAMA, "hidden_act": "gelu"}, "hidden_act is 'silu' .the architecture's default. in 'a' and 'gelu'"),
    "scale of logits": (COHERE, {**COHERE, "logit_scale": 0.25}, "logit_scale is 0.0625 .* in 'a' and 0.25 in 'b'"),
    "scaled rope": (LLAMA, {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}, "rope_parameters.factor is None"),
    "heads": (LLAMA, {**LLAMA, "num_key_value_heads": 2}, "num_key_value_heads"),
    "width of heads": (LLAMA, {**LLAMA, "head_dim": 16}, "head_dim is 8"),
    "eps": (LLAMA, {**LLAMA, "rms_norm_eps": 1e-5}, "rms_norm_eps"),
    "kinds of layers": (QWEN, {**QWEN, "use_sliding_window": True, "max_window_layers": 1, "sliding_window": 64}, "layer_types"),
    "positions of which yarn starts": (
        {**LLAMA, "rope_scaling": YARN},
        {**LLAMA, "rope_scaling": {**YARN, "original_max_position_embeddings": 32}},
        "rope_parameters.original_max_position_embeddings is 64",
    ),
    "positions, where dynamic rope computes with them": (
        {**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 64},
        {**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 128},
        "max_position_embeddings is 64",
    ),
    "a bound on logits of the text": (text(), text(final_logit_softcapping=30.0), "text_config.final_logit_softcapping is None"),
    "rope of the text": (text(), text(rope_theta=5e5), "text_config.rope_parameters.full_attention.rope_theta"),
    "the vision tower": (vision(), vision(hidden_act="relu"), "vision_config.hidden_act is 'gelu_pytorch_tanh' .*default"),
    "how large pictures are": (vision(), vision(image_size=448), "vision_config.image_size is 224"),
    "quantization": (LLAMA, {**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantization_config"),
    "architectures": (LLAMA, COHERE, "model_type is 'llama' in 'a' and 'cohere' in 'b'; the same weights"),
    "labels of a classifier": (
        {**LLAMA, "architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "good", "1": "bad"}},
        {**LLAMA, "architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "bad", "1": "good"}},
        "id2label",
    ),
    "an unknown setting of an unknown architecture": (UNKNOWN, {**UNKNOWN, "twist": 3}, "twist is not given in 'a' and 3 in 'b'"),
    "a setting that code of its own may read": (
        {**LLAMA, "auto_map": {"AutoModel": "x.Y"}}, {**LLAMA, "auto_map": {"AutoModel": "x.Y"}, "twist": 3}, "twist",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs", "said"), COUNTING.values(), ids=COUNTING)
def test_what_changes_the_meaning_of_weights_is_refused_even_where_one_side_leaves_it_out(ours, theirs, said):
    with pytest.raises(DataError, match=said):
        check(ours, theirs)
    with pytest.raises(DataError, match="the same weights mean different things"):
        check(theirs, ours)


def test_what_is_let_pass_is_told_with_both_values():
    (note,) = check(
        {**LLAMA, "max_position_embeddings": 64}, {**LLAMA, "max_position_embeddings": 128, "dtype": "float16"}
    )
    assert note == (
        "config.json is that of 'a'; 'b' differs in settings that change nothing weights mean: max_position_embeddings 128 instead of 64"
    )
    assert check(LLAMA, {**LLAMA, "dtype": "float16", "transformers_version": "4.1", "_name_or_path": "x"}) == []


@pytest.mark.parametrize("name", ["hidden_act", "text_config.hidden_act", "text_config"])
def test_what_is_allowed_may_differ_at_any_depth(name):
    allowed = Allowed([name])
    assert ("text_config.hidden_act" in allowed, "text_config.rope" in allowed) == (True, name == "text_config")
    assert ("hidden_act" in allowed) is (name == "hidden_act")


def test_allowed_differences_are_let_pass_and_told_and_others_are_not():
    other = {**LLAMA, "rope_theta": 1e6, "rms_norm_eps": 1e-5}
    for names in (
        ["rope_theta", "rms_norm_eps"],
        ["rope_parameters", "rms_norm_eps"],
        ["rope_parameters.rope_theta", "rms_norm_eps"],
    ):
        (note,) = check(LLAMA, other, allow=names)
        assert (
            "allowed: rms_norm_eps 1e-05 instead of 1e-06, rope_parameters.rope_theta 1000000.0 instead of 10000.0"
            in note
        )
    with pytest.raises(DataError, match="rms_norm_eps is 1e-06"):
        check(LLAMA, other, allow=["rope_theta"])
    with pytest.raises(
        AyaError, match="no configuration of this merge has a setting 'rope_tetha'; did you mean 'rope_theta'"
    ):
        check(LLAMA, other, allow=["rope_tetha"])


def test_the_message_names_the_setting_and_not_whole_configurations():
    with pytest.raises(DataError) as caught:
        check(text(), text(final_logit_softcapping=30.0))
    assert len(str(caught.value)) < 400
    assert "--allow text_config.final_logit_softcapping" in str(caught.value)


def test_rope_is_read_from_either_spelling_and_only_what_its_kind_reads():
    four = {"rope_theta": 1e4, "rope_scaling": {"type": "yarn", "factor": 2.0, "beta_fast": 32, "mscale": None}}
    five = {"rope_parameters": {"rope_type": "yarn", "factor": 2, "rope_theta": 10000, "low_freq_factor": 1.0}}
    assert with_one_rope(four) == with_one_rope(five)
    nested = {
        "rope_parameters": {
            kind: {"rope_theta": 1e4, "rope_type": "default"} for kind in ("full_attention", "sliding_attention")
        }
    }
    assert with_one_rope(nested) == nested
    assert with_one_rope({"text_config": four})["text_config"] == with_one_rope(five)
    assert with_one_rope({"hidden_size": 3}) == {"hidden_size": 3}


@pytest.mark.parametrize(
    ("config", "tied"),
    [({**LLAMA}, False), ({**COHERE}, True), ({**LLAMA, "tie_word_embeddings": True}, True), (UNKNOWN, False),
     (text(), True), ({**text(tie_word_embeddings=False)}, False)],
)  # fmt: skip
def test_whether_a_head_is_tied_is_the_architectures_default_where_nothing_is_said(config, tied):
    assert ties(config) is tied


def test_no_name_is_free_for_two_reasons():
    every = [pattern for patterns in FREE.values() for pattern in patterns]
    assert len(every) == len(set(every))
    assert why_free("text_config.attention_dropout") == why_free("resid_pdrop") != why_free("use_cache")
    for counting in ("hidden_act", "rope_theta", "token_dropout", "logit_scale", "layer_norm_eps", "sliding_window"):
        assert why_free(counting) is None


STRANGE = {"sam2_video"}
"""Families whose configuration class does not read its own defaults back as they were."""


def families():
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return sorted(set(CONFIG_MAPPING.keys()) - STRANGE)


def check_family(model_type):
    """Whether the laws hold for a family; False for one whose configuration cannot be made from its name alone."""
    bare = {"model_type": model_type}
    if not meaning_of(bare).classes:
        return False
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    written = json.loads(CONFIG_MAPPING[model_type]().to_json_string(use_diff=False))
    nothing = Allowed()
    assert differences(written, written, nothing) == ([], [])
    counting, _ = differences(bare, {**written, "model_type": model_type}, nothing)
    assert not counting, f"{model_type}: defaults that are written out differ from those that are not: {counting}"
    counting_keys = [
        key for key, value in written.items() if type(value) in (bool, int, float) and why_free(key) is None
    ]
    for key in [key for key in counting_keys if key not in THROUGH_LAYER_TYPES][:1]:  # each costs four loads
        other = {**written, key: not written[key] if isinstance(written[key], bool) else written[key] + 1}
        if meaning_of(other).values.get(key) != meaning_of(written).values.get(key):
            counting, _ = differences(written, other, nothing)
            assert counting or not meaning_of(written).reads(key), f"{model_type}: {key} differs, and is let pass"
    return True


@pytest.mark.exhaustive
def test_in_every_family_of_transformers_defaults_are_defaults_and_settings_count():
    made, faults = 0, []
    for model_type in families():
        try:
            made += check_family(model_type)
        except AssertionError as error:
            faults.append(str(error).splitlines()[0])
    assert not faults
    assert made > 300


def test_in_some_families_defaults_are_defaults_and_settings_count():
    assert all(
        check_family(name) for name in ("llama", "cohere2", "gemma3", "qwen3_moe", "gpt2", "mamba", "llava", "phi3")
    )


def test_what_is_not_one_of_transformers_is_taken_as_it_is_written():
    assert meaning_of(UNKNOWN) == as_written(UNKNOWN)
    assert meaning_of({**LLAMA, "num_attention_heads": "many"}).values["num_attention_heads"] == "many"
    assert meaning_of(UNKNOWN).reads("anything")


class TestMerges:
    """The same, of whole merges."""

    @pytest.fixture
    def two(self, write_model, random_tensors):
        def write(**theirs):
            return [
                write_model(name, random_tensors(seed), config=more)
                for seed, (name, more) in enumerate([("a", {}), ("b", theirs)])
            ]

        return write

    def test_a_difference_that_is_let_pass_is_noted_and_the_first_models_value_stored(self, two, out):
        account = merge(Weighted(), two(max_position_embeddings=128), out)
        assert "max_position_embeddings 128 instead of none" in account["notes"][0]
        assert account["notes"][0] in (out / "README.md").read_text()
        assert "max_position_embeddings" not in json.loads((out / "config.json").read_text())

    def test_what_a_job_allows_is_merged(self, two, out):
        models = two(logit_scale=0.5)
        with pytest.raises(DataError, match=r"logit_scale is not given in 'a' and 0.5 in 'b'"):
            merge(Weighted(), models, out)
        merge(Weighted(), models, out, allow=("logit_scale",))
        assert load(out)

from copy import deepcopy

import pytest

from aya_core.errors import RecipeError
from aya_core.merge_config import MergeConfig, read_merge_config

LINEAR = {
    "merge_method": "linear",
    "models": [
        {"model": "org/a", "parameters": {"weight": 0.7}},
        {"model": "org/b", "parameters": {"weight": 0.3}},
    ],
    "dtype": "bfloat16",
}
TIES = {
    "merge_method": "ties",
    "base_model": "org/base",
    "models": [
        {"model": "org/base"},
        {"model": "org/a", "parameters": {"weight": 1, "density": 0.5}},
        {"model": "org/b", "parameters": {"weight": 0.5, "density": 0.5}},
    ],
    "parameters": {"normalize": True, "int8_mask": True},
    "dtype": "float16",
}
SLERP = {
    "merge_method": "slerp",
    "base_model": "org/a",
    "models": [{"model": "org/b"}, {"model": "org/a"}],
    "parameters": {"t": 0.25},
}


def changed(config, **changes):
    return {**deepcopy(config), **changes}


def test_linear_is_weighted_with_mergekits_default_of_normalising():
    assert read_merge_config(LINEAR) == MergeConfig(
        "weighted", {"normalize": True}, ["org/a", "org/b"], [0.7, 0.3], None, "bfloat16"
    )


def test_ties_leaves_the_base_out_of_the_models():
    assert read_merge_config(TIES) == MergeConfig(
        "ties",
        {"normalize": True, "lambda_": 1.0, "density": 0.5},
        ["org/a", "org/b"],
        [1.0, 0.5],
        "org/base",
        "float16",
    )


def test_dare_ties_takes_mergekits_defaults_not_ours():
    config = {"merge_method": "dare_ties", "base_model": "base", "models": [{"model": "a"}]}
    assert read_merge_config(config).settings == {
        "normalize": False,
        "lambda_": 1.0,
        "density": 1.0,
        "rescale": "l1",
    }


def test_slerp_starts_at_the_base_wherever_it_is_listed():
    expected = MergeConfig("slerp", {"t": 0.25}, ["org/a", "org/b"], [1.0, 1.0], None, None)
    assert read_merge_config(SLERP) == expected
    assert read_merge_config(changed(SLERP, models=[{"model": "org/b"}])) == expected


def test_shared_parameters_stand_in_for_those_of_a_model():
    config = changed(TIES, parameters={"density": 0.2, "weight": 0.4, "lambda": 0.9})
    config["models"] = [{"model": "a"}, {"model": "b", "parameters": {"weight": 0.6}}]
    read = read_merge_config(config)
    assert read.weights == [0.4, 0.6]
    assert read.settings == {"normalize": True, "lambda_": 0.9, "density": 0.2}


def test_out_dtype_is_what_is_stored():
    assert read_merge_config(changed(LINEAR, dtype="float32", out_dtype="float16")).dtype == "float16"


def test_the_config_is_not_changed_by_reading():
    config = deepcopy(TIES)
    read_merge_config(config)
    assert config == TIES


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(LINEAR, parameters={"normalise": True}), "did you mean 'normalize'"),
        (changed(TIES, parameters={"desnity": 0.5}), "did you mean 'density'"),
        (
            changed(LINEAR, models=[{"model": "a", "parameters": {"density": 0.5}}]),
            r"models\[0\]: parameters.density: linear has no",
        ),
        (
            changed(SLERP, models=[{"model": "org/b", "parameters": {"weight": 1}}]),
            "slerp has no such parameter",
        ),
        (changed(LINEAR, merge_methd="x"), "did you mean 'merge_method'"),
        (changed(LINEAR, merge_method="dare-ties"), "did you mean 'dare_ties'"),
        (changed(LINEAR, merge_method=None), "merge_method None is not supported"),
        (changed(LINEAR, slices=[]), "'slices' is not supported yet"),
        (changed(LINEAR, chat_template="auto"), "'chat_template' is not supported yet"),
        (changed(LINEAR, tokenizer_source="union"), "tokenizer_source 'union' is not supported yet"),
        (changed(SLERP, parameters={"t": [0, 0.5, 1]}), "parameters.t: gradients and filters"),
        (changed(SLERP, parameters={"t": [{"filter": "mlp", "value": 0.5}]}), "gradients and filters"),
        (changed(SLERP, parameters={}), "slerp needs parameters.t"),
        (changed(SLERP, parameters={"t": "half"}), "parameters.t: 'half', expected a finite number"),
        (changed(SLERP, base_model=None), "slerp takes base_model and exactly one other"),
        (changed(SLERP, models=[{"model": "b"}, {"model": "c"}]), "exactly one other"),
        (changed(TIES, base_model=None), "ties needs base_model"),
        (changed(TIES, models=[{"model": "org/base"}]), "nothing to merge into the base"),
        (
            changed(TIES, models=[{"model": "org/base", "parameters": {"weight": 1}}, {"model": "a"}]),
            "the base has no weight",
        ),
        (
            changed(TIES, models=[{"model": m, "parameters": {"density": d}} for m, d in (("a", 0.1), ("b", 0.2))]),
            "differ between models",
        ),
        (changed(TIES, parameters={"rescale": True}), "rescale: true is not supported with ties"),
        (changed(TIES, parameters={"normalize": 1}), "normalize: 1, expected true or false"),
        (changed(LINEAR, models=[]), "models: expected a list"),
        (changed(LINEAR, models=["a"]), r"models\[0\]: expected"),
        (changed(LINEAR, models=[{"model": "a", "weight": 1}]), r"models\[0\]: unknown key 'weight'"),
        (changed(LINEAR, models=[{"model": "a+lora"}]), "LoRA after"),
        (changed(LINEAR, models=[{"model": "a", "parameters": {"weight": True}}]), "weight of 'a': True"),
        ([], "expected a mapping"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(config, message):
    with pytest.raises(RecipeError, match=message):
        read_merge_config(config, "merge.yaml")

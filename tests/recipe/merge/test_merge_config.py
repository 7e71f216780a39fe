from copy import deepcopy
from dataclasses import replace

import pytest

from aya_core.contract.errors import RecipeError
from aya_core.contract.merge_parameters import MergeParameter
from aya_core.contract.merges import LayerSlice, Vocabulary
from aya_core.planning import yaml12
from aya_recipe.merge.mergekit_config import MergeConfig, ModelSpec, read_merge_config

A, B, C, BASE = (ModelSpec(name, f"org/{name}") for name in ("a", "b", "c", "base"))
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
FRANKEN = {
    "merge_method": "passthrough",
    "slices": [
        {"sources": [{"model": "org/a", "layer_range": [0, 8]}]},
        {
            "sources": [
                {
                    "model": "org/b",
                    "layer_range": [4, 10],
                    "parameters": {"scale": [{"filter": "o_proj", "value": 0.0}, {"value": 1.0}]},
                }
            ]
        },
    ],
}


def changed(config, **changes):
    return {**deepcopy(config), **changes}


def models(*names, **parameters):
    return [
        {"model": f"org/{name}", "parameters": parameters} if parameters else {"model": f"org/{name}"} for name in names
    ]


def sliced(config, *slices, **changes):
    """Slices of (models, first layer, layer after the last)."""
    made = [
        {"sources": [{"model": f"org/{name}", "layer_range": [first, end]} for name in names]}
        for names, first, end in slices
    ]
    return {key: value for key, value in changed(config, slices=made, **changes).items() if key != "models"}


def test_linear_is_weighted_with_mergekits_default_of_normalizing():
    assert read_merge_config(LINEAR) == MergeConfig(
        "weighted", {"normalize": True}, (A, B), MergeParameter({"a": 0.7, "b": 0.3}), dtype="bfloat16"
    )


def test_ties_leaves_the_base_out_of_the_models():
    expected = MergeConfig(
        "ties",
        {"density": 0.5, "normalize": True, "rescale": "none", "lambda_": 1.0},
        (A, B),
        MergeParameter({"a": 1.0, "b": 0.5}),
        BASE,
        "float16",
    )
    assert read_merge_config(TIES) == expected
    assert read_merge_config(changed(TIES, models=TIES["models"][1:])) == expected


def test_a_base_that_is_not_among_the_models_of_a_linear_merge_is_one_more():
    read = read_merge_config(changed(LINEAR, base_model="org/base", parameters={"weight": 0.2}))
    assert read.models == (A, B, BASE)
    assert read.weights == MergeParameter({"a": 0.7, "b": 0.3, "base": 0.2})
    assert read.base == BASE


def test_slerp_starts_at_the_base_wherever_it_is_listed():
    expected = MergeConfig("slerp", {"t": 0.25}, (A, B))
    assert read_merge_config(SLERP) == expected
    assert read_merge_config(changed(SLERP, models=models("b"))) == expected


BASED = {"base_model": "org/base", "models": models("a", "b")}
WEIGHED = {"parameters": {"weight": 0.5}}
TASK_VECTORS = {"lambda_": 1.0, "density": 1.0, "normalize": False}


@pytest.mark.parametrize(
    ("method", "config", "use", "settings"),
    [
        ("multislerp", {**BASED, **WEIGHED}, "multislerp", {"normalize_weights": True, "eps": 1e-8, "from_base": True}),
        ("task_arithmetic", {**BASED, **WEIGHED}, "task-arithmetic", {"normalize": False, "lambda_": 1.0}),
        ("dare_linear", {**BASED, **WEIGHED}, "dare-linear", {**TASK_VECTORS, "rescale": "l1"}),
        ("dare_ties", {**BASED, **WEIGHED}, "dare-ties", {**TASK_VECTORS, "rescale": "l1"}),
        (
            "della",
            {**BASED, **WEIGHED},
            "della",
            {**TASK_VECTORS, "epsilon": 0.15, "rescale": "l1", "normalize": True, "elect": "weighted"},
        ),
        (
            "della_linear",
            {**BASED, **WEIGHED},
            "della",
            {**TASK_VECTORS, "epsilon": 0.15, "rescale": "l1", "elect": "none"},
        ),
        (
            "breadcrumbs",
            {**BASED, **WEIGHED},
            "breadcrumbs",
            {**TASK_VECTORS, "gamma": 0.01, "rescale": "none", "elect": "none"},
        ),
        (
            "breadcrumbs_ties",
            {**BASED, **WEIGHED},
            "breadcrumbs",
            {**TASK_VECTORS, "gamma": 0.01, "rescale": "none", "elect": "weighted"},
        ),
        ("model_stock", BASED, "model-stock", {"filter_wise": False}),
        ("sce", BASED, "sce", {"select_topk": 1.0}),
        (
            "nearswap",
            {"base_model": "org/base", "models": models("a"), "parameters": {"t": 0.001}},
            "nearswap",
            {"t": 0.001},
        ),
        ("karcher", {"models": models("a", "b")}, "karcher", {"max_iter": 10, "tol": 1e-5}),
        ("passthrough", {"models": models("a")}, "passthrough", {"scale": 1.0}),
        (
            "nuslerp",
            {"models": models("a", "b"), **WEIGHED},
            "mergekit",
            {
                "method": "nuslerp",
                "parameters": {"nuslerp_row_wise": False, "nuslerp_flatten": True},
                "from_base": False,
            },
        ),
        (
            "arcee_fusion",
            {"base_model": "org/base", "models": models("a")},
            "mergekit",
            {"method": "arcee_fusion", "parameters": {}},
        ),
        ("ram", BASED, "mergekit", {"method": "ram", "parameters": {"epsilon": 1e-5}}),
        (
            "ramplus_tl",
            BASED,
            "mergekit",
            {"method": "ramplus_tl", "parameters": {"r": 0.1, "alpha": 0.2, "epsilon": 1e-5}},
        ),
    ],
)
def test_each_method_is_a_strategy_with_mergekits_defaults(method, config, use, settings):
    read = read_merge_config({"merge_method": method, **config})
    assert (read.use, read.settings) == (use, settings)
    assert [spec.name for spec in read.models] == [entry["model"].removeprefix("org/") for entry in config["models"]]
    assert read.base == (BASE if "base_model" in config else None)
    assert read.weights == MergeParameter(0.5 if "parameters" in config and "weight" in config["parameters"] else 1.0)


@pytest.mark.parametrize("method", ["multislerp", "nuslerp"])
def test_differences_start_from_the_base_where_there_is_one(method):
    config = {"merge_method": method, "models": models("a", "b", weight=0.5)}
    without, within = read_merge_config(config), read_merge_config({**config, "base_model": "org/base"})
    assert (without.base, without.settings["from_base"]) == (None, False)
    assert (within.base, within.settings["from_base"]) == (BASE, True)


def test_parameters_for_mergekit_itself_are_plain_data():
    config = {"merge_method": "ram", **BASED, "parameters": {"epsilon": [{"filter": "mlp", "value": [0, "1e-3"]}]}}
    parameters = read_merge_config(config).settings["parameters"]
    assert parameters == {"epsilon": [{"filter": "mlp", "value": [0.0, 0.001]}, 1e-5]}


@pytest.mark.parametrize(
    ("method", "rescale", "expected"),
    [
        ("ties", True, "l1"),
        ("ties", False, "none"),
        ("dare_ties", False, "none"),
        ("breadcrumbs", True, "l1"),
        ("task_arithmetic", True, None),
    ],
)
def test_rescaling_is_by_l1_norm(method, rescale, expected):
    config = {"merge_method": method, **BASED, "parameters": {"weight": 1, "rescale": rescale}}
    assert read_merge_config(config).settings.get("rescale") == expected


def test_the_nearest_parameters_win():
    config = changed(TIES, parameters={"density": 0.2, "weight": 0.4, "lambda": 0.9})
    config["models"] = [{"model": "org/a"}, {"model": "org/b", "parameters": {"weight": 0.6}}]
    read = read_merge_config(config)
    assert read.weights == MergeParameter({"a": 0.4, "b": 0.6})
    assert read.settings == {"normalize": True, "rescale": "none", "lambda_": 0.9, "density": 0.2}


def test_rules_that_do_not_fit_leave_a_tensor_to_the_next_scope():
    config = changed(LINEAR, parameters={"weight": [{"filter": "self_attn", "value": [0, 1]}, {"value": 0.5}]})
    config["models"] = [
        {"model": "org/a", "parameters": {"weight": {"filter": "mlp", "value": "1e-1"}}},
        {"model": "org/b"},
    ]
    weights = read_merge_config(config).weights
    assert weights.written == {
        "a": [{"filter": "mlp", "value": 0.1}, {"filter": "self_attn", "value": [0.0, 1.0]}, 0.5],
        "b": [{"filter": "self_attn", "value": [0.0, 1.0]}, 0.5],
    }


def test_slices_are_parts_and_their_parameters_hold_there():
    read = read_merge_config(FRANKEN)
    assert read.models == (A, B)
    assert read.slices == (LayerSlice((0, None), 8), LayerSlice((None, 4), 6))
    scale = read.settings["scale"]
    assert scale.at("o_proj", model="b", slice_index=1) == 0
    assert scale.at("q_proj", model="b", slice_index=1) == 1
    assert scale.at("o_proj", model="a", slice_index=0) == 1


def test_the_base_is_last_in_a_part_and_a_slice_has_its_own_parameters():
    config = sliced(TIES, (["base", "a"], 0, 2), (["b", "base"], 2, 4), parameters={"weight": 0.5, "lambda": 1})
    config["slices"][1]["parameters"] = {"lambda": [0.5, 1.0], "density": 0.3}
    config["slices"][1]["base_model"] = "org/base"
    config["slices"][0]["sources"][1]["parameters"] = {"weight": 0.9}
    read = read_merge_config(config)
    assert read.slices == (LayerSlice((0, None, 0), 2), LayerSlice((None, 2, 2), 2))
    assert read.settings["lambda_"].written == [{"slice": 1, "value": [0.5, 1.0]}, 1.0]
    assert read.weights.at("x", model="a", slice_index=0) == 0.9
    assert read.settings["density"].at("x", model="b", slice_index=1) == 0.3


def test_slerp_in_slices_starts_at_the_base():
    read = read_merge_config(sliced(SLERP, (["b", "a"], 0, 4)))
    assert (read.models, read.base, read.slices) == ((A, B), None, (LayerSlice((0, 0), 4),))


def test_a_base_that_no_slice_of_a_linear_merge_takes_only_lends_its_files():
    read = read_merge_config(sliced(LINEAR, (["a", "b"], 0, 4), base_model="org/base", parameters={"weight": 1}))
    assert (read.models, read.base, read.slices) == ((A, B), BASE, (LayerSlice((0, 0, None), 4),))


def test_one_module_is_the_model():
    slices = {"models": LINEAR["models"], "parameters": {"normalize": False}}
    config = {"merge_method": "linear", "modules": {"default": slices}, "parameters": {"normalize": True}}
    read = read_merge_config(config)
    assert (read.models, read.settings) == ((A, B), {"normalize": False})
    whole = sliced(LINEAR, (["a", "b"], 0, 4), parameters={"weight": 1})
    inside = {**whole, "modules": {"default": {"slices": whole.pop("slices")}}}
    inside.pop("slices")
    assert read_merge_config(inside).slices == (LayerSlice((0, 0), 4),)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("org/a", ModelSpec("a", "org/a")),
        (
            "../run/artifacts/sft@euro/0123456789ab",
            ModelSpec("sft@euro", "../run/artifacts/sft@euro/0123456789ab"),
        ),
        (
            "run/artifacts/sft@euro/0123456789ab/payload/",
            ModelSpec("sft@euro", "run/artifacts/sft@euro/0123456789ab/payload/"),
        ),
        ("/models/run/checkpoint-100/", ModelSpec("checkpoint-100", "/models/run/checkpoint-100/")),
        ("org/a+loras/german", ModelSpec("a+german", "org/a", "loras/german")),
        ({"model": "org/a"}, ModelSpec("a", "org/a")),
        (
            {"model": {"path": "org/a@b", "revision": None}, "lora": {"path": "l/x+y"}},
            ModelSpec("a@b+x+y", "org/a@b", "l/x+y"),
        ),
        ({"model": "org/a", "lora": "loras/german"}, ModelSpec("a+german", "org/a", "loras/german")),
    ],
)
def test_models_are_named_in_every_way_mergekit_knows(written, expected):
    assert read_merge_config(changed(LINEAR, models=[{"model": written, "parameters": {"weight": 1}}])).models == (
        expected,
    )


def test_names_of_models_differ():
    config = {
        "merge_method": "karcher",
        "models": [{"model": path} for path in ("x/a", "y/a", "a#2", "y/a+l", "value")],
    }
    names = [spec.name for spec in read_merge_config(config).models]
    assert names[:2] == ["a", "a#2"]
    assert len(set(names)) == 5
    assert "value" not in names


def test_out_dtype_is_what_is_stored():
    assert read_merge_config(changed(LINEAR, dtype="float32", out_dtype="float16")).dtype == "float16"
    assert read_merge_config(changed(LINEAR, dtype="torch.float32")).dtype == "float32"


@pytest.mark.parametrize("written", [True, "yes", "on", "True", 1, "1", [True], [{"filter": "*", "value": "y"}]])
def test_truth_is_written_in_every_way_mergekit_knows(written):
    assert (
        read_merge_config(changed(TIES, parameters={"normalize": written, "int8_mask": written})).settings["normalize"]
        is True
    )


def test_int8_mask_may_stand_anywhere_and_changes_nothing():
    assert read_merge_config(changed(LINEAR, parameters={"int8_mask": True})) == read_merge_config(LINEAR)


def test_normalize_is_one_point_nought_in_files_that_mergekit_wrote():
    assert read_merge_config(changed(TIES, parameters={"normalize": 1.0})).settings["normalize"] is True


def test_a_boolean_that_each_slice_gives_alike_is_one_value():
    config = sliced(TIES, (["base", "a"], 0, 2), (["base", "b"], 2, 4), parameters={"weight": 1})
    for piece in config["slices"]:
        piece["parameters"] = {"normalize": False}
    assert read_merge_config(config).settings["normalize"] is False


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Vocabulary()),
        ({"tokenizer_source": "union"}, Vocabulary(source="union", missing="base")),
        ({"tokenizer_source": "base"}, Vocabulary(source="base", missing="base")),
        ({"tokenizer_source": "org/a"}, Vocabulary(source="a", missing="base")),
        ({"tokenizer_source": "org/base"}, Vocabulary(source="org/base", missing="base")),
        ({"tokenizer_source": "../tokens"}, Vocabulary(source="../tokens", missing="base")),
        ({"tokenizer_source": {"model": {"path": "org/a"}}}, Vocabulary(source="a", missing="base")),
        ({"tokenizer": {}}, Vocabulary(source="union", missing="base")),
        (
            {"tokenizer": {"source": "base", "pad_to_multiple_of": 64}},
            Vocabulary(source="base", missing="base", pad_to_multiple_of=64),
        ),
        (
            {
                "tokenizer": {
                    "tokens": {
                        "<s>": {"source": "org/a", "force": True},
                        "<new>": {"source": {"kind": "zero"}},
                        "<tok>": {"source": {"kind": "model_token", "model": "org/base", "token": "<x>"}},
                        "<id>": {"source": {"kind": "model_token", "model": "org/b", "token_id": 3}},
                    }
                }
            },
            Vocabulary(
                source="union",
                missing="base",
                tokens={
                    "<s>": {"source": "a", "force": True},
                    "<new>": {"source": {"kind": "zero"}, "force": False},
                    "<tok>": {"source": {"kind": "model_token", "model": "base", "token": "<x>"}, "force": False},
                    "<id>": {"source": {"kind": "model_token", "model": "b", "token_id": 3}, "force": False},
                },
            ),
        ),
    ],
)
def test_the_tokenizer_is_read(given, expected):
    assert read_merge_config(changed(TIES, **given)).vocabulary == expected


def test_without_a_base_a_missing_token_is_the_mean():
    assert read_merge_config(changed(LINEAR, tokenizer_source="union")).vocabulary.missing == "average"


@pytest.mark.parametrize("template", ["chatml", "{% for m in messages %}{{ m.content }}{% endfor %}", "auto"])
def test_a_chat_template_is_its_text_or_a_name_or_auto(template):
    assert read_merge_config(changed(LINEAR, chat_template=template)).chat_template == template


def test_null_at_the_top_is_left_out():
    nothing = dict.fromkeys(
        ("base_model", "slices", "modules", "parameters", "out_dtype", "tokenizer", "chat_template")
    )
    assert read_merge_config(changed(LINEAR, **nothing)) == read_merge_config(LINEAR)


def test_the_config_is_not_changed_by_reading():
    for config in (TIES, FRANKEN):
        before = deepcopy(config)
        read_merge_config(config)
        assert config == before


def with_source(**changes):
    config = sliced(LINEAR, (["a", "b"], 0, 4), parameters={"weight": 1})
    config["slices"][0]["sources"][1].update(changes)
    return config


def with_slice(**changes):
    config = sliced(LINEAR, (["a", "b"], 0, 4), parameters={"weight": 1})
    config["slices"][0].update(changes)
    return config


def with_model(written):
    return changed(LINEAR, models=[{"model": written, "parameters": {"weight": 1}}])


def with_token(written):
    return changed(TIES, tokenizer={"tokens": {"<s>": written}})


def test_a_model_of_the_hub_keeps_its_revision():
    for model in ("org/a@v1", {"model": {"path": "org/a", "revision": "v1"}}):
        assert read_merge_config(with_model(model)).models[0].path == "org/a@v1"
    assert read_merge_config(with_model({"model": "org/a", "lora": "org/l@v1"})).models[0].adapter == "org/l@v1"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "expected a mapping with merge_method and models"),
        (changed(LINEAR, merge_methd="x"), "unknown key 'merge_methd'; did you mean 'merge_method'"),
        (changed(LINEAR, merge_method="dare-ties"), "did you mean 'dare_ties'"),
        (changed(LINEAR, merge_method=None), "no merge_method None; known: arcee_fusion"),
        (
            changed(LINEAR, slices=FRANKEN["slices"]),
            "got models and slices of models, slices and modules; expected one",
        ),
        ({"merge_method": "linear"}, "got none of models, slices and modules"),
        # parameters
        (changed(LINEAR, parameters={"normalise": True}), "parameters.normalise: .*did you mean 'normalize'"),
        (changed(TIES, parameters={"desnity": 0.5}), "did you mean 'density'"),
        (
            changed(TIES, models=[{"model": "a"}, {"model": "b", "parameters": {"desnity": 0.5}}]),
            r"merge.yaml: models\[1\].parameters.desnity: ties has no such parameter; did you mean 'density'",
        ),
        (changed(LINEAR, parameters=[1]), r"parameters: \[1\], expected a mapping of parameters"),
        (changed(LINEAR, models=models("a", "b")), r"models\[0\]: linear needs a weight here"),
        (changed(LINEAR, base_model="org/base"), "base_model, which joins the models: linear needs a weight"),
        (changed(TIES, models=models("a", "b", density=0.5)), r"models\[0\]: ties needs a weight here"),
        (changed(SLERP, parameters={}), "models: slerp needs a t here"),
        (changed(SLERP, parameters={"t": "half"}), "parameters.t: 'half', expected a finite number, a list"),
        (changed(SLERP, parameters={"t": None}), "parameters.t: None, expected a finite number"),
        (changed(SLERP, parameters={"t": []}), r"parameters.t: \[\], expected a finite number"),
        (changed(SLERP, parameters={"t": float("inf")}), "parameters.t: inf, expected a finite number"),
        (changed(SLERP, parameters={"t": [0.1, {"value": 1}]}), "expected a finite number, a list"),
        (
            changed(SLERP, parameters={"t": [{"value": 1}, {"fliter": "mlp", "value": 1}]}),
            r"parameters.t\[1\]: unknown key 'fliter'; did you mean 'filter'",
        ),
        (changed(SLERP, parameters={"t": [{"filter": 1, "value": 1}]}), r"t\[0\].filter: 1, expected a part"),
        (changed(SLERP, parameters={"t": [{"filter": "mlp"}]}), r"t\[0\]: no value; expected"),
        (changed(SLERP, parameters={"t": {"value": [0, "x"]}}), r"t.value: \[0, 'x'\], expected a finite"),
        (changed(LINEAR, models=models("a", weight=True)), r"models\[0\].parameters.weight: True, expected a finite"),
        (changed(TIES, parameters={"normalize": 2}), "normalize: 2, expected true or false$"),
        (changed(TIES, parameters={"int8_mask": "perhaps"}), "int8_mask: 'perhaps', expected true or false"),
        (
            changed(TIES, parameters={"normalize": [{"filter": "mlp", "value": False}]}),
            "parameters.normalize: differs between tensors; expected one value",
        ),
        (
            {"merge_method": "karcher", "models": models("a"), "parameters": {"max_iter": 2.5}},
            "2.5, expected a whole number",
        ),
        (
            {"merge_method": "karcher", "models": models("a"), "parameters": {"max_iter": [2, 3]}},
            "differs between tensors",
        ),
        (
            {
                **sliced(LINEAR, (["a"], 0, 2), (["b"], 4, 6)),
                "parameters": {"weight": [{"filter": "layers.3.", "value": 0.1}, {"value": 1}]},
            },
            "weight: filter 'layers.3.' has the number of a layer, which changes",
        ),
        # models
        (changed(LINEAR, models=[]), "models: expected a list of at least one"),
        (changed(LINEAR, models=["a"]), r"models\[0\]: 'a', expected {model: ..."),
        (changed(LINEAR, models=[{"model": "a", "weight": 1}]), r"models\[0\]: unknown key 'weight'"),
        (changed(LINEAR, models=[{"parameters": {}}]), r"models\[0\].model: None, expected a folder"),
        (changed(LINEAR, models=models("a", "a", weight=1)), r"models\[1\]: 'org/a' stands here twice"),
        (with_model("a+b+c"), "more than one"),
        (with_model("a+"), "'', expected a folder"),
        (with_model({"path": "org/a"}), "unknown key 'path'"),
        (changed(TIES, base_model=None), "ties needs base_model"),
        (changed(TIES, models=models("base")), "ties takes at least 1 model beside the base, got 0"),
        (changed(SLERP, base_model=None), "slerp needs base_model"),
        (changed(SLERP, models=models("b", "c")), "slerp takes exactly 1 model beside the base, got 2: org/b, org/c"),
        (
            {"merge_method": "model_stock", "base_model": "org/base", "models": models("a")},
            "at least 2 models beside the base",
        ),
        (
            {"merge_method": "passthrough", "base_model": "org/base", "models": models("a")},
            "passthrough takes exactly 1 model, got 2",
        ),
        # slices and modules
        (sliced(LINEAR), "slices: expected a list of at least one"),
        (with_slice(sources=[]), r"slices\[0\].sources: expected a list"),
        (
            changed(with_slice(base_model="org/a"), base_model="org/b"),
            r"slices\[0\].base_model: 'org/a' is not the base_model of the whole",
        ),
        (with_slice(parameters={"wieght": 1}), r"slices\[0\].parameters.wieght: .*did you mean 'weight'"),
        (with_source(layer_range=[0, 3]), r"slices\[0\]: its sources have 4, 3 layers; expected equally many"),
        (with_source(layer_range=[3, 2]), r"layer_range: \[3, 2\] ends before it begins"),
        (with_source(layer_range=[0, "9" * 5000]), "layer_range: '9+', expected"),
        (with_source(weight=1), r"slices\[0\].sources\[1\]: unknown key 'weight'"),
        (with_slice(layer_range=[0, 2]), r"slices\[0\]: unknown key 'layer_range'"),
        (changed(LINEAR, normalize=False), "merge.yaml: unknown key 'normalize'"),
        (changed(LINEAR, chat_tmplate="x"), "unknown key 'chat_tmplate'; did you mean 'chat_template'"),
        (with_source(layer_range=[-1, 3]), "layer_range: -1, expected"),
        (with_source(layer_range=4), "layer_range: 4, expected"),
        (with_source(layer_rnge=4), r"slices\[0\].sources\[1\]: unknown key 'layer_rnge'; did you mean 'layer_range'"),
        (with_source(model="org/a"), r"sources\[1\]: 'org/a' stands here twice"),
        (sliced(TIES, (["a", "b"], 0, 4)), r"slices\[0\]: base_model 'org/base' is not among its sources"),
        (
            sliced(FRANKEN, (["a", "b"], 0, 4)),
            r"slices\[0\]: passthrough takes exactly 1 model, got 2: org/a, org/b",
        ),
        (
            {"merge_method": "linear", "modules": {"text_decoder": {"models": LINEAR["models"]}}},
            "modules: unknown key 'text_decoder'",
        ),
        ({"merge_method": "linear", "modules": {"default": {}}}, "modules.default: expected one of models and slices"),
        ({"merge_method": "linear", "modules": {"default": {"models": ["a"]}}}, r"modules.default.models\[0\]: 'a'"),
        # the rest
        (changed(LINEAR, dtype="bf16"), "dtype: 'bf16'; did you mean 'bfloat16'"),
        (changed(LINEAR, out_dtype="int64"), "out_dtype: 'int64'; "),
        (changed(LINEAR, chat_template={"auto": 1}), "chat_template: {'auto': 1}, expected the text"),
        (changed(LINEAR, chat_template="a b c"), "chat_template: 'a b c', expected the text of a Jinja template"),
        (changed(LINEAR, tokenizer_source="org/a+lora"), "tokenizer_source: 'org/a.lora' is none of the models merged"),
        (changed(LINEAR, tokenizer_source="same"), "tokenizer_source: 'same', expected union, base or a folder"),
        (changed(LINEAR, tokenizer_source="base", tokenizer={}), "got tokenizer and tokenizer_source; expected one"),
        (changed(LINEAR, tokenizer={"sorce": "base"}), "tokenizer: unknown key 'sorce'; did you mean 'source'"),
        (
            changed(LINEAR, tokenizer={"pad_to_multiple_of": 0}),
            "pad_to_multiple_of: 0, expected a whole number, 1 or more",
        ),
        (changed(LINEAR, tokenizer={"tokens": ["<s>"]}), r"tokenizer.tokens: \['<s>'\], expected a mapping"),
        (with_token({"source": "org/x"}), "tokenizer.tokens.<s>.source: 'org/x' is none of the models merged"),
        (with_token({"source": {"kind": "one"}}), "expected {kind: zero}, or {kind: model_token"),
        (with_token({"source": {"kind": "zero", "token": "a"}}), "expected {kind: zero}"),
        (
            with_token({"source": {"kind": "model_token", "model": "org/a", "token": "a", "token_id": 1}}),
            "with token or token_id",
        ),
        (
            with_token({"source": {"kind": "model_token", "model": "org/a", "token_id": -1}}),
            "token_id: -1, expected a whole",
        ),
        (
            with_token({"source": {"kind": "model_token", "model": "org/z", "token": "a"}}),
            "source.model: 'org/z' is none",
        ),
        (with_token({"force": True}), "<s>: no source; expected"),
        (with_token({"source": "org/a", "force": "yes"}), "force: 'yes', expected true or false"),
        (with_token({"sauce": "org/a"}), "unknown key 'sauce'; did you mean 'source'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(config, message):
    with pytest.raises(RecipeError, match=message) as caught:
        read_merge_config(config, "merge.yaml")
    assert str(caught.value).startswith("merge.yaml: ")


WITHIN = "ignored, as in mergekit"


@pytest.mark.parametrize(
    ("config", "without", "note"),
    [
        (
            changed(SLERP, models=models("b", weight=0.5)),
            SLERP,
            f"models[0].parameters.weight: {WITHIN}: slerp takes no weight",
        ),
        (changed(SLERP, parameters={"t": 0.25, "embed_slerp": True}), SLERP, "slerp takes no embed_slerp"),
        (
            changed(LINEAR, parameters={"density": 0.5, "lambda": 2, "weight": 1}),
            changed(LINEAR, parameters={"weight": 1}),
            "linear takes no density",
        ),
        (
            changed(TIES, models=[*models("base", weight=1, density=1), *TIES["models"][1:]]),
            TIES,
            f"models[0].parameters.weight: {WITHIN}: the base has no weight in ties",
        ),
        (
            changed(LINEAR, models=[*models("a", weight=0.7, normalize=False), LINEAR["models"][1]]),
            LINEAR,
            "normalize holds for all models together, and is read from the parameters at the top",
        ),
        (changed(LINEAR, **{"x-models": 1}), LINEAR, f"x-models: {WITHIN}: a key that it does not know"),
        (
            changed(LINEAR, name="mine", out_path="./made", author="me"),
            LINEAR,
            "name and 2 more: ignored, as in mergekit",
        ),
        (
            changed(LINEAR, models=[{**LINEAR["models"][0], "comment": "best"}, LINEAR["models"][1]]),
            LINEAR,
            "models[0]: comment",
        ),
        (with_slice(residual_weight=0.5), with_slice(), f"slices[0].residual_weight: {WITHIN}: it changes no result"),
        (
            with_model({"model": "org/a", "override_architecture": "LlamaForCausalLM"}),
            with_model("org/a"),
            "tensors are matched by their names here",
        ),
    ],
)
def test_what_mergekit_passes_over_is_passed_over_with_a_note(config, without, note):
    read = read_merge_config(config, "merge.yaml")
    assert any(note in told for told in read.notes), read.notes
    assert replace(read, notes=()) == read_merge_config(without, "merge.yaml")
    assert not read_merge_config(without, "merge.yaml").notes


def test_a_key_that_holds_an_anchor_may_look_like_another():
    config = yaml12.parse(
        """
        parameter: &scale {scale: [{filter: q_proj, value: 0.7}, {value: 1.0}]}
        merge_method: passthrough
        slices:
        - sources: [{model: org/a, layer_range: [0, 2], parameters: *scale}]
        """,
        "merge.yml",
    )
    read = read_merge_config(config, "merge.yml")
    assert read.notes == ("merge.yml: parameter: ignored, as in mergekit: a key that it does not know",)
    assert read.settings["scale"] == MergeParameter([{"filter": "q_proj", "value": 0.7}, 1.0])
    with pytest.raises(RecipeError, match="unknown key 'parameter'; did you mean 'parameters'"):
        read_merge_config(changed(LINEAR, parameter={"weight": 1}), "merge.yml")


def test_a_slice_without_layers_says_what_stands_around_them():
    config = sliced(LINEAR, (["a", "b"], 0, 4), (["a", "b"], 4, 4))
    for piece, weights in zip(config["slices"], ((0.5, 0.5), (1, 0)), strict=True):
        for source, weight in zip(piece["sources"], weights, strict=True):
            source["parameters"] = {"weight": weight}
    read = read_merge_config(config)
    assert read.slices == (LayerSlice((0, 0), 4), LayerSlice((4, 4), 0))
    assert read.weights.at("lm_head.weight", model="b", slice_index=1) == 0


def test_slices_that_all_name_one_base_have_it():
    config = sliced(TIES, (["base", "a"], 0, 2), (["b", "base"], 2, 4), parameters={"weight": 0.5})
    expected = read_merge_config(config)
    del config["base_model"]
    for piece in config["slices"]:
        piece["base_model"] = "org/base"
    assert read_merge_config(config) == expected


def test_a_gradient_example_of_mergekit_is_read_as_it_is():
    read = read_merge_config(
        yaml12.parse(
            """
            slices:
              - sources:
                  - model: psmathur/orca_mini_v3_13b
                    layer_range: [0, 40]
                  - model: garage-bAInd/Platypus2-13B
                    layer_range: [0, 40]
            merge_method: slerp
            base_model: psmathur/orca_mini_v3_13b
            parameters:
              t:
                - filter: self_attn
                  value: [0, 0.5, 0.3, 0.7, 1]
                - filter: mlp
                  value: [1, 0.5, 0.7, 0.3, 0]
                - value: 0.5 # fallback for rest of tensors
            dtype: float16
            """,
            "gradient-slerp.yml",
        )
    )
    assert read.use == "slerp"
    assert [spec.name for spec in read.models] == ["orca_mini_v3_13b", "Platypus2-13B"]
    assert read.settings["t"] == MergeParameter(
        [
            {"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]},
            {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]},
            0.5,
        ]
    )
    assert read.slices == (LayerSlice((0, 0), 40),)
    assert read.dtype == "float16"

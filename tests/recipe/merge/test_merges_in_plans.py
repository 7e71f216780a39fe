"""Merges that cannot be done are refused when a recipe is planned, before anything runs."""

import json

import pytest

from aya_core.contract.errors import RecipeError
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe

LLAMA = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 16}


@pytest.fixture
def plan(tmp_path):
    """Plan a merge of folders that hold a config.json and nothing else."""

    def made(merge, models, *, configs=None, before=(), **more):
        for name in ("start", *(model[2:] for model in models if isinstance(models, list) and model.startswith("./"))):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text(json.dumps({**LLAMA, **(configs or {}).get(name, {})}))
        stage = {"name": "blend", "do": "merge", "models": models, "merge": merge, **more}
        recipe = {
            "name": "x",
            "languages": ["en", "de"],
            "clusters": {"west": ["en"], "east": ["de"]},
            "stages": [*before, stage],
        }
        path = tmp_path / "recipe.json"
        path.write_text(json.dumps(recipe))
        return make_plan(load_recipe(path))

    return made


NEED_A_BASE = ["ties", "dare-ties", "dare-linear", "della", "breadcrumbs", "sce", "task-arithmetic", "model-stock"]


@pytest.mark.parametrize("name", NEED_A_BASE)
def test_a_merge_without_the_base_that_it_needs(name, plan):
    with pytest.raises(
        RecipeError, match=f"stages.blend.base: merge '{name}' works on differences from a base model; name the one"
    ):
        plan({"use": name}, ["./a", "./b"])
    plan({"use": name}, ["./a", "./b"], base="./start")


def test_a_merge_that_needs_a_base_for_one_of_its_settings(plan):
    plan({"use": "multislerp"}, ["./a", "./b"])
    with pytest.raises(RecipeError, match="merge 'multislerp' works on differences"):
        plan({"use": "multislerp", "from_base": True}, ["./a", "./b"])


@pytest.mark.parametrize(
    ("name", "count", "said"),
    [
        ("slerp", 4, "'slerp' takes exactly 2 models, and there are 4: ./m0, ./m1, ./m2, ./m3"),
        ("slerp", 1, "'slerp' takes exactly 2 models, and there are 1"),
        ("model-stock", 1, "'model-stock' takes at least 2 models beside the base, and there are 1"),
        ("nearswap", 2, "'nearswap' takes exactly 1 model beside the base, and there are 2"),
        ("passthrough", 2, "'passthrough' takes exactly 1 model, and there are 2"),
    ],
)
def test_a_merge_of_a_number_of_models_that_it_cannot_take(name, count, said, plan):
    with pytest.raises(RecipeError, match=said):
        plan({"use": name}, [f"./m{index}" for index in range(count)], base="./start")


@pytest.mark.parametrize(
    ("method", "count", "base", "said"),
    [
        ("arcee_fusion", 3, "./start", "'mergekit' takes exactly 1 model beside the base, and there are 3"),
        ("nuslerp", 3, None, "'mergekit' takes exactly 2 models, and there are 3"),
    ],
)
@pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
def test_a_method_of_mergekit_takes_as_many_models_as_mergekit_says(method, count, base, said, plan):
    names = [f"./m{index}" for index in range(count)]
    more = {"base": base} if base else {}
    with pytest.raises(RecipeError, match=said):
        plan({"use": "mergekit", "method": method}, names, **more)
    plan({"use": "mergekit", "method": method}, names[: 1 if base else 2], **more)


@pytest.mark.parametrize(
    ("merge", "weights", "said"),
    [
        ({"use": "weighted"}, [1, -1], "sum to 0 and cannot be normalized"),
        ({"use": "task-arithmetic", "normalize": True}, [1, -1], "sum to 0 and cannot be normalized"),
        ({"use": "ties"}, [1, -0.9999], "cannot be normalized where these models agree"),
        ({"use": "slerp"}, [1, 2], "have no meaning here; drop them and set t"),
        ({"use": "model-stock"}, [1, 2], "have no meaning here"),
        ({"use": "sce"}, [1, 2], "have no meaning here"),
    ],
)
def test_weights_that_a_merge_cannot_take_are_refused(merge, weights, said, plan):
    with pytest.raises(RecipeError, match=f"stages.blend.weights: .*{said}"):
        plan(merge, ["./a", "./b"], base="./start", weights=weights)
    plan(merge, ["./a", "./b"], base="./start", weights=[1, 1])


def test_a_chat_template_that_is_none_is_refused_and_a_file_is_that_of_the_recipe(plan, tmp_path):
    for template, said in (("chatmll", "no file 'chatmll'"), ("{% for m in %}", "no Jinja template: line 1")):
        with pytest.raises(RecipeError, match=f"stages.blend.chat_template: .*{said}"):
            plan({"use": "weighted"}, ["./a", "./b"], chat_template=template)
    (tmp_path / "mine.jinja").write_text("{% generation %}{{ messages }}{% endgeneration %}")
    made = plan({"use": "weighted"}, ["./a", "./b"], chat_template="mine.jinja")
    assert made.nodes["blend"].settings["chat_template"] == (tmp_path / "mine.jinja").read_text()
    plan({"use": "weighted"}, ["./a", "./b"], chat_template="chatml")


def test_a_merge_of_models_whose_configurations_differ_in_what_weights_mean(plan):
    rope = {"b": {"rope_theta": 1e6}}
    with pytest.raises(
        RecipeError, match=r"stages.blend.models: config.json: rope_parameters.rope_theta is 10000.0 .* in './a'"
    ):
        plan({"use": "weighted"}, ["./a", "./b"], configs=rope)
    plan({"use": "weighted"}, ["./a", "./b"], configs=rope, allow=["rope_theta"])
    plan({"use": "weighted"}, ["./a", "./b"], configs={"b": {"max_position_embeddings": 99}})


def test_a_merge_of_other_vocabularies_is_refused_unless_they_are_matched(plan):
    with pytest.raises(RecipeError, match=r"vocab_size is 16 in './a' and 17 in './b'"):
        plan({"use": "weighted"}, ["./a", "./b"], configs={"b": {"vocab_size": 17}})
    plan({"use": "weighted"}, ["./a", "./b"], configs={"b": {"vocab_size": 17}}, tokenizer={"source": "union"})


def test_what_is_trained_has_the_configuration_of_its_start(plan, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b", "language": "en"}\n')
    sft = {
        "name": "sft", "do": "train", "start": "./start", "data": {"use": "jsonl", "path": "rows.jsonl"}, "trainer": {"use": "sft"},
    }  # fmt: skip
    plan({"use": "weighted"}, ["sft", "./a"], before=[sft])
    with pytest.raises(RecipeError, match=r"hidden_act is 'silu' .* in 'sft' and 'gelu' in './a'"):
        plan({"use": "weighted"}, ["sft", "./a"], before=[sft], configs={"a": {"hidden_act": "gelu"}})
    runs = {**sft, "each": "cluster"}
    with pytest.raises(RecipeError, match="takes exactly 1 model beside the base, and there are 2: west, east"):
        plan({"use": "nearswap"}, "sft", before=[runs], base="./start")
    plan({"use": "slerp"}, "sft", before=[runs])

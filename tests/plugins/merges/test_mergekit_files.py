"""Files in the manner of mergekit's examples and of its tests of merges: each runs, and gives what mergekit gives."""

import pytest
import yaml
from mergekit_runs import assert_same, mergekit_run, our_run, relatives

# mergekit's dependencies reach for numpy's private names while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")

PAIR = "models: [{model: A, parameters: {weight: 0.6}}, {model: B, parameters: {weight: 0.4}}]\ndtype: bfloat16\n"
"""The models of mergekit's tests: every method is given weights, whether it takes any or not."""

PLAIN = {
    # mergekit's tests of merges
    "copy": "merge_method: passthrough\nmodels: [{model: A}]\ndtype: bfloat16",
    "stack": """
        merge_method: passthrough
        slices: [{sources: [{model: A, layer_range: [0, 2]}]}, {sources: [{model: A, layer_range: [0, 2]}]}]
        dtype: bfloat16
        """,
    "scale": """
        merge_method: passthrough
        models: [{model: A, parameters: {scale: [{filter: o_proj, value: 0}, {value: 1}]}}]
        """,
    "linear": PAIR + "merge_method: linear",
    "linear of three, one of them the base": """
        merge_method: linear
        base_model: A
        models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: 0.5}}]
        dtype: float32
        """,
    "slerp": PAIR + "merge_method: slerp\nbase_model: A\nparameters: {t: 0.35}",
    "nearswap": PAIR.replace("A,", "C,") + "merge_method: nearswap\nbase_model: C\nparameters: {t: 0.0001}",
    "task_arithmetic": PAIR + "merge_method: task_arithmetic\nbase_model: C",
    "breadcrumbs": PAIR + "merge_method: breadcrumbs\nbase_model: C",
    "breadcrumbs_ties": PAIR + "merge_method: breadcrumbs_ties\nbase_model: C\nparameters: {density: 0.9}",
    "ties": PAIR + "merge_method: ties\nbase_model: C\nparameters: {density: 0.3}",
    "multislerp": PAIR + "merge_method: multislerp",
    "multislerp from a base": PAIR + "merge_method: multislerp\nbase_model: C",
    "nuslerp": PAIR + "merge_method: nuslerp",
    "nuslerp from a base": PAIR + "merge_method: nuslerp\nbase_model: C\nparameters: {nuslerp_row_wise: true}",
    "model_stock": PAIR + "merge_method: model_stock\nbase_model: C",
    "model_stock by filter": PAIR + "merge_method: model_stock\nbase_model: C\nparameters: {filter_wise: true}",
    "sce": PAIR + "merge_method: sce\nbase_model: C\nparameters: {select_topk: 0.5}",
    "karcher": PAIR + "merge_method: karcher",
    "arcee_fusion": PAIR + "merge_method: arcee_fusion\nbase_model: A",
    "ram": PAIR + "merge_method: ram\nbase_model: C",
    "ramplus_tl": PAIR + "merge_method: ramplus_tl\nbase_model: C",
    # what its examples and its users' files do
    "gradients and filters": """
        slices: [{sources: [{model: A, layer_range: [0, 2]}, {model: B, layer_range: [0, 2]}]}]
        merge_method: slerp
        base_model: A
        parameters:
          t:
            - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
            - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
            - value: 0.5 # fallback for rest of tensors
        dtype: float16
        out_path: ./models/gradient-slerp
        """,
    "density by gradient, weight by filter": """
        models:
          - model: A
            parameters: {density: [1, 0.7, 0.1], weight: 1.0}
          - model: B
            parameters:
              density: 0.33
              weight:
                - {filter: mlp, value: 0.5}
                - value: 0
        merge_method: ties
        base_model: C
        parameters: {normalize: true, int8_mask: true}
        dtype: float16
        name: gradient-slerp-ties
        """,
    "other depths": """
        slices:
          - sources: [{model: A, layer_range: [0, 2]}]
          - sources: [{model: B, layer_range: [1, 2]}]
        merge_method: passthrough
        dtype: float16
        """,
    "first layers": "slices: [{sources: [{model: A, layer_range: [0, 1]}]}]\nmerge_method: passthrough\ndtype: float16",
    "the base among the models, weighed": """
        merge_method: ties
        base_model: C
        models: [{model: C, parameters: {weight: 1, density: 1}}, {model: A, parameters: {weight: 1, density: 0.5}}]
        dtype: float32
        """,
    "no layers around the head": """
        slices:
          - sources:
              - {model: A, layer_range: [0, 2], parameters: {weight: 0.5}}
              - {model: B, layer_range: [0, 2], parameters: {weight: 0.5}}
          - sources:
              - {model: A, layer_range: [2, 2], parameters: {weight: 1}}
              - {model: B, layer_range: [2, 2], parameters: {weight: 0}}
        merge_method: linear
        dtype: float32
        """,
    "no layers around the embeddings": """
        slices:
          - sources: [{model: B, layer_range: [0, 0]}]
          - sources: [{model: A, layer_range: [0, 2]}]
        merge_method: passthrough
        """,
    "anchors": """
        x-scale: &scale {scale: [{filter: q_proj, value: 0.7}, {value: 1.0}]}
        halves: &halves {weight: 0.5}
        merge_method: passthrough
        slices: [{sources: [{model: A, layer_range: [0, 2], parameters: *scale}]}]
        """,
    "merge keys": """
        common: &common {density: 0.5, weight: 0.5}
        merge_method: ties
        base_model: C
        models: [{model: A, parameters: {<<: *common}}, {model: B, parameters: {<<: *common, weight: 0.3}}]
        """,
    "numbers as text, booleans in words": """
        merge_method: ties
        base_model: C
        models: [{model: A, parameters: {weight: "1e-1"}}, {model: B, parameters: {weight: 5e-1}}]
        parameters: {normalize: "yes", density: "0.5"}
        """,
    "models as mappings": """
        merge_method: linear
        models:
          - model: {model: {path: A}, override_architecture: LlamaForCausalLM}
            parameters: {weight: 0.3}
          - model: {model: {path: B, revision: null}}
            parameters: {weight: 0.7}
        """,
    "a module": """
        merge_method: linear
        modules: {default: {models: [{model: A}, {model: B}], parameters: {weight: 0.5}}}
        parameters: {normalize: false}
        """,
    "nothing but nulls": """
        merge_method: linear
        models: [{model: A, parameters: {weight: 0.3}}, {model: B, parameters: {weight: 0.7}}]
        base_model: null
        slices: null
        parameters: null
        tokenizer_source: null
        dtype: null
        """,
    "a revision of a folder": "merge_method: linear\nmodels: [{model: A@main, parameters: {weight: 1}}]\ndtype: float32",
    "out_dtype": PAIR.replace("bfloat16", "float32") + "merge_method: linear\nout_dtype: float16",
    "a chat template by name": PAIR + "merge_method: linear\nbase_model: A\nchat_template: chatml\nparameters: {weight: 1}",
    "a chat template as text": PAIR + "merge_method: linear\nchat_template: \"{{messages[0]['content']}}\"",
    "union of one vocabulary": PAIR + "merge_method: linear\ntokenizer_source: union",
    "tokenizer of the base": """
        merge_method: slerp
        base_model: A
        models: [{model: A, parameters: {weight: 1.0}}, {model: B, parameters: {weight: 1.0}}]
        parameters: {t: 0.5, embed_slerp: true}
        tokenizer: {source: base}
        dtype: float32
        """,
}  # fmt: skip

DRAWN = {
    "dare_ties": PAIR + "merge_method: dare_ties\nbase_model: C\nparameters: {density: 0.66}",
    "dare_linear": PAIR + "merge_method: dare_linear\nbase_model: C\nparameters: {density: 0.66}",
    "della": PAIR + "merge_method: della\nbase_model: C\nparameters: {density: 0.66, epsilon: 0.1, lambda: 0.9}",
    "della_linear": PAIR + "merge_method: della_linear\nbase_model: C\nparameters: {density: 0.66}",
}
"""Methods that draw at random: values differ, as the draws do."""


@pytest.fixture(scope="module")
def abc(tmp_path_factory):
    """Write three relatives."""
    return relatives(tmp_path_factory.mktemp("files"), "llama")


def named(text, folders):
    """Give a file that names the models A, B and C by their folders."""
    found = "\n".join(line.removeprefix("        ") for line in text.splitlines())
    for letter, folder in zip("ABC", folders, strict=True):
        found = found.replace(f"model: {letter}", f"model: {folder}").replace(f"path: {letter}", f"path: {folder}")
    return found


def theirs_of(text, out):
    """Run a file with mergekit, which computes in `dtype`: here in float32, and stored as the file says."""
    config = yaml.safe_load(text)
    stored = config.get("out_dtype") or config.get("dtype")
    return mergekit_run({**config, "dtype": "float32" if stored else None, "out_dtype": stored}, out)


@pytest.mark.parametrize("name", PLAIN)
def test_a_file_gives_what_mergekit_gives(name, abc, tmp_path):
    text = named(PLAIN[name], abc)
    assert_same(our_run(text, tmp_path), theirs_of(text, tmp_path / "theirs"))


@pytest.mark.parametrize("name", DRAWN)
def test_a_file_that_draws_gives_the_tensors_that_mergekit_gives(name, abc, tmp_path):
    text = named(DRAWN[name], abc)
    ours, theirs = our_run(text, tmp_path), theirs_of(text, tmp_path / "theirs")
    assert {key: (value.shape, value.dtype) for key, value in ours.items()} == {
        key: (value.shape, value.dtype) for key, value in theirs.items()
    }


def test_what_is_ignored_is_told_once(abc, tmp_path):
    our_run(named(PLAIN["slerp"], abc), tmp_path)
    assert (
        "models[0].parameters.weight and 1 more: ignored, as in mergekit: slerp takes no weight"
        in (tmp_path / "said.txt").read_text()
    )

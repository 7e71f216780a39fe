"""Row maps and tables beside mergekit 0.1.5's own, by token: mergekit appends tokens in no fixed order."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer
from vocabularies import ENGLISH, SPANISH, TURKISH, InMemory, model_of, tokenizer_of

from aya_core.api import Vocabulary
from aya_plugins.merges.tokens.remapped import Remapped
from aya_plugins.merges.tokens.vocabulary import plan_vocabulary

# mergekit's dependencies reach for numpy's private names while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.core is deprecated:DeprecationWarning")
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": False,
}
TABLES = ("model.embed_tokens.weight", "lm_head.weight")


@pytest.fixture
def models(tmp_path):
    pytest.importorskip("mergekit")
    return [
        model_of(tmp_path / "english", tokenizer_of(ENGLISH, added=("<only>", "<shared>"))),
        model_of(tmp_path / "turkish", tokenizer_of(TURKISH, ("<pad>", "<s>", "</s>", "<|im_end|>"), ("<shared>",))),
        model_of(tmp_path / "spanish", tokenizer_of(SPANISH, ("</s>", "<s>", "<pad>", "<|im_end|>"))),
    ]


def theirs(models, tensors, source, base, tokens=None, pad=None):
    """Map rows and make each model's table with mergekit: its tokenizer, row maps, and tables."""
    from mergekit.common import ImmutableMap, ModelReference
    from mergekit.tokenizer.build import build_tokenizer
    from mergekit.tokenizer.config import TokenEmbeddingConfig
    from mergekit.tokenizer.embed import PermutedVocabulary

    names = [ModelReference.model_validate(str(model.folder)) for model in models]
    base_name = None if base is None else names[base]
    if source not in ("union", "base"):
        source = names[[model.name for model in models].index(source)]
    settings = {
        token: TokenEmbeddingConfig.model_validate(by_path(given, models)) for token, given in (tokens or {}).items()
    }
    made = build_tokenizer(base_name, names, source, False, add_tokens=tuple(settings))
    task = PermutedVocabulary.model_construct(
        gather_tensors=None,
        tokenizer_task=None,
        tokens=ImmutableMap(settings),
        pad_to_multiple_of=pad,
        base_model=base_name,
        vocabulary_axis=0,
    )
    tables = task.execute(made, dict(zip(names, tensors, strict=True)))
    return made.tokenizer.get_vocab(), [made.permutations[name] for name in names], [tables[name] for name in names]


def by_path(given, models):
    """Name models by their paths, as mergekit does, wherever they are named."""
    paths = {model.name: str(model.folder) for model in models}
    if isinstance(given, dict):
        return {key: by_path(value, models) for key, value in given.items()}
    return paths.get(given, given)


def tables(models):
    generator = torch.Generator().manual_seed(11)
    return [torch.randn((model.config["vocab_size"], 5), generator=generator) for model in models]


def whole(plan, tensors, model):
    remapped = Remapped(plan, [InMemory(tensor) for tensor in tensors], model)
    return remapped.read(0, int(np.prod(remapped.shape))).reshape(remapped.shape)


# What mergekit takes for a missing token is the base's row where there is a base, and the mean where there is none.
@pytest.mark.parametrize(("base", "missing"), [(0, "base"), (1, "base"), (None, "average")])
@pytest.mark.parametrize("source", ["union", "base", "spanish"])
def test_maps_and_tables_are_mergekits(models, source, base, missing):
    tensors = tables(models)
    tokens, maps, expected = theirs(models, tensors, source, base)
    plan = plan_vocabulary(models, base, Vocabulary(source=source, missing=missing))
    ours = plan.tokenizer.tokens
    assert ours.keys() == tokens.keys()
    for model in range(3):
        found = whole(plan, tensors, model)
        for token, index in ours.items():
            assert plan.maps[model][index] == maps[model][tokens[token]]
            torch.testing.assert_close(found[index], expected[model][tokens[token]], rtol=1e-6, atol=1e-7)


def test_rows_of_single_tokens_are_mergekits(models):
    tensors = tables(models)
    tokens = {
        "<shared>": {"source": "turkish", "force": True},
        "<new>": {"source": {"kind": "zero"}},
        "<|im_end|>": {"source": {"kind": "model_token", "model": "english", "token": "</s>"}},
        "Ġcat": {"source": {"kind": "model_token", "model": "spanish", "token_id": 9}, "force": True},
    }
    ids, _, expected = theirs(models, tensors, "union", 0, tokens, pad=64)
    settings = Vocabulary(source="union", missing="base", tokens=tokens, pad_to_multiple_of=64)
    plan = plan_vocabulary(models, 0, settings)
    assert plan.tokenizer.tokens.keys() == ids.keys()
    for model in range(3):
        found = whole(plan, tensors, model)
        assert found.shape == expected[model].shape
        for token, index in plan.tokenizer.tokens.items():
            torch.testing.assert_close(found[index], expected[model][ids[token]], rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(found[len(ids) :], expected[model][len(ids) :], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("source", ["union", "base"])
def test_a_whole_run_of_mergekit_has_the_same_tables_and_cuts_text_alike(models, tmp_path, source):
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions
    from transformers import LlamaConfig, LlamaForCausalLM

    weights = (0.2, 0.5, 0.3)
    for seed, model in enumerate(models):
        torch.manual_seed(seed)
        LlamaForCausalLM(LlamaConfig(vocab_size=model.config["vocab_size"], **SIZES)).save_pretrained(model.folder)
    config = {
        "merge_method": "linear",
        "base_model": str(models[0].folder),  # without one, mergekit takes any: its models are a set
        "models": [
            {"model": str(model.folder), "parameters": {"weight": weight}}
            for model, weight in zip(models, weights, strict=True)
        ],
        "tokenizer_source": source,
        "dtype": "float32",
    }
    quiet = MergeOptions(quiet=True, write_model_card=False, cuda=False, device="cpu")
    run_merge(MergeConfiguration.model_validate(config), str(tmp_path / "theirs"), quiet)

    plan = plan_vocabulary(models, 0, Vocabulary(source=source, missing="base"))
    (tmp_path / "ours").mkdir()
    plan.write(tmp_path / "ours")
    mine, other = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("ours", "theirs"))
    expected = {
        key: value for path in (tmp_path / "theirs").glob("*.safetensors") for key, value in load_file(path).items()
    }
    for name in TABLES:
        tensors = [load_file(model.folder / "model.safetensors")[name] for model in models]
        merged = sum(weight * whole(plan, tensors, model) for model, weight in enumerate(weights))
        order = [other.get_vocab()[token] for token in sorted(mine.get_vocab(), key=mine.get_vocab().get)]
        torch.testing.assert_close(merged, expected[name][order], rtol=1e-5, atol=1e-7)
    for text in (*ENGLISH, *TURKISH, *SPANISH, "a<|im_end|> <shared><only>"):
        assert mine.tokenize(text) == other.tokenize(text)
        assert mine.decode(mine(text).input_ids) == other.decode(other(text).input_ids)

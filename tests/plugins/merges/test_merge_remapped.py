"""One model's vocabulary table in the rows of the merged vocabulary."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from vocabularies import ENGLISH, SPANISH, TURKISH, InMemory, model_of, tokenizer_of

from aya_core.api import Vocabulary
from aya_plugins.merges.tokens.remapped import Remapped
from aya_plugins.merges.tokens.vocabulary import plan_vocabulary

WIDTH = 7


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("models")
    return [
        model_of(tmp_path / "english", tokenizer_of(ENGLISH), padding=4),
        model_of(tmp_path / "turkish", tokenizer_of(TURKISH, ("<pad>", "<s>", "</s>"), added=("<tool>",)), padding=60),
        model_of(tmp_path / "spanish", tokenizer_of(SPANISH, ("</s>", "<s>", "<pad>"), added=("<tool>",))),
    ]


def tables(models, seed=0, width=WIDTH):
    generator = torch.Generator().manual_seed(seed)
    shape = () if width is None else (width,)
    made = [torch.randn((model.config["vocab_size"], *shape), generator=generator) for model in models]
    for table in made:
        table.view(-1)[::5] = -0.0
    return [InMemory(table) for table in made]


def whole(plan, sources, model):
    remapped = Remapped(plan, sources, model)
    size = int(np.prod(remapped.shape))
    return remapped.read(0, size).reshape(remapped.shape)


@pytest.fixture(scope="module")
def row_of(models):
    """Look up the row that a model itself has for a token, or None."""
    padded = Vocabulary(source="base", pad_to_multiple_of=999)  # without padding there would be nothing to plan
    ids = [plan_vocabulary([model], 0, padded).tokenizer.tokens for model in models]
    by_name = {model.name: (index, ids[index]) for index, model in enumerate(models)}

    def look_up(sources, name, token):
        index, tokens = by_name[name]
        return sources[index].tensor[tokens[token]] if token in tokens else None

    return look_up


@pytest.mark.parametrize("missing", ["average", "base"])
@pytest.mark.parametrize("source", ["union", "base", "turkish"])
@pytest.mark.parametrize("model", [0, 1, 2])
def test_a_token_has_its_models_own_row_or_else_what_the_settings_say(models, row_of, model, source, missing):
    sources = tables(models)
    plan = plan_vocabulary(models, 0, Vocabulary(source=source, missing=missing))
    found = whole(plan, sources, model)
    for token, index in plan.tokenizer.tokens.items():
        own = row_of(sources, models[model].name, token)
        base = row_of(sources, "english", token)
        if own is not None:
            expected = own
        elif missing == "base" and base is not None:
            expected = base
        else:
            rows = [row_of(sources, model.name, token) for model in models]
            expected = torch.stack([row for row in rows if row is not None]).mean(0)
        torch.testing.assert_close(found[index], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("source", ["union", "base", "turkish"])
@pytest.mark.parametrize("width", [WIDTH, 1, None])
def test_values_do_not_depend_on_how_ranges_are_cut(models, source, width):
    settings = Vocabulary(source=source, tokens={"<tool>": {"source": {"kind": "zero"}}}, pad_to_multiple_of=100)
    sources = tables(models, width=width)
    plan = plan_vocabulary(models, 0, settings)
    chance = random.Random(5)
    for model in range(3):
        remapped = Remapped(plan, sources, model)
        size = int(np.prod(remapped.shape))
        cuts = [0, *sorted(chance.sample(range(1, size), 40)), size]
        with ThreadPoolExecutor(4) as pool:
            slices = list(pool.map(remapped.read, cuts, cuts[1:]))
        assert all(part.ndim == 1 and part.dtype == torch.float32 for part in slices)
        expected = whole(plan, sources, model).reshape(-1)
        assert torch.equal(torch.cat(slices).view(torch.int32), expected.view(torch.int32))
        assert remapped.read(5, 5).shape == (0,)


def test_only_the_rows_of_a_range_are_read_and_those_that_lie_together_at_once(models):
    plan = plan_vocabulary(models, 0, Vocabulary(source="union"))
    sources = tables(models)
    remapped = Remapped(plan, sources, 0)
    remapped.read(3 * WIDTH + 2, 9 * WIDTH - 1)
    assert sources[0].ranges == [(3 * WIDTH + 2, 9 * WIDTH - 1)]
    assert sources[1].ranges == sources[2].ranges == []
    first = plan.tokenizer.tokens["<tool>"]
    remapped.read(first * WIDTH, (first + 1) * WIDTH)
    assert [len(source.ranges) for source in sources] == [1, 1, 1]


def test_what_is_returned_is_new(models):
    plan = plan_vocabulary(models, 0, Vocabulary(source="union"))
    sources = tables(models)
    before = sources[0].tensor.clone()
    Remapped(plan, sources, 0).read(0, 3 * WIDTH).zero_()
    assert torch.equal(sources[0].tensor, before)


def test_it_says_what_it_is_and_how_much_of_it_is_read(models):
    plan = plan_vocabulary(models, 0, Vocabulary(source="union"))
    sources = tables(models)
    remapped = Remapped(plan, sources, 1)
    assert remapped.shape == (plan.rows, WIDTH)
    assert Remapped(plan, tables(models, width=None), 1).shape == (plan.rows,)
    assert remapped.dtype == "F32"
    whole(plan, sources, 1)
    read = sum(stop - start for source in sources for start, stop in source.ranges)
    assert remapped.bytes == read * 4


def test_tokens_get_the_rows_that_the_settings_give(models, row_of):
    sources = tables(models)
    tokens = {
        "<tool>": {"source": "spanish"},
        "the": {"source": {"kind": "zero"}, "force": True},
        "Ġcat": {"source": {"kind": "model_token", "model": "turkish", "token": "evler"}},
        "<new>": {"source": {"kind": "model_token", "model": "english", "token_id": 11}},
    }
    plan = plan_vocabulary(models, 0, Vocabulary(source="union", tokens=tokens))
    ids = plan.tokenizer.tokens
    for model in range(3):
        found = whole(plan, sources, model)
        own_tool = row_of(sources, models[model].name, "<tool>")
        spanish = row_of(sources, "spanish", "<tool>")
        assert torch.equal(found[ids["<tool>"]], spanish if own_tool is None else own_tool)
        assert not found[ids["the"]].any()
        own_cat = row_of(sources, models[model].name, "Ġcat")
        evler = row_of(sources, "turkish", "evler")
        assert torch.equal(found[ids["Ġcat"]], evler if own_cat is None else own_cat)
        assert torch.equal(found[ids["<new>"]], sources[0].tensor[11])


def test_a_token_of_no_model_is_zero(models, tmp_path):
    made = tokenizer_of(ENGLISH, added=("<late>",))
    late = model_of(tmp_path / "late", made, config={"vocab_size": made.get_vocab_size() - 1})
    sources = tables([late])
    plan = plan_vocabulary([late], 0, Vocabulary(source="base", pad_to_multiple_of=2))
    assert not whole(plan, sources, 0)[made.token_to_id("<late>")].any()


def test_padding_is_the_models_own_where_it_has_some_and_the_mean_of_its_tokens_where_none_has(models):
    sources = tables(models)
    plan = plan_vocabulary(models, 0, Vocabulary(source="base", pad_to_multiple_of=512))
    length, padded = plan.tokenizer.length, models[0].config["vocab_size"]
    found = whole(plan, sources, 0)
    assert torch.equal(found[:padded], sources[0].tensor)
    # Turkish has so many rows that some of its padding lies beyond that of the base.
    own = range(padded, models[1].config["vocab_size"])
    assert len(own) > 0
    assert torch.equal(found[own.start : own.stop], sources[1].tensor[own.start : own.stop])
    mean = found[:length].double().mean(0).float()
    torch.testing.assert_close(found[own.stop :], mean.expand(plan.rows - own.stop, WIDTH), rtol=1e-6, atol=1e-7)


def test_a_merge_of_permuted_twins_is_the_model_itself(tmp_path):
    """The same token has the same row, whatever its id: permuting a vocabulary and its table changes nothing."""
    a = model_of(tmp_path / "a", tokenizer_of(ENGLISH))
    b = model_of(tmp_path / "b", tokenizer_of(ENGLISH, ("<pad>", "</s>", "<s>")))
    plan = plan_vocabulary([a, b], 0, Vocabulary(source="union"))
    (table,) = tables([a])
    permuted = torch.empty_like(table.tensor)
    permuted[torch.from_numpy(plan.maps[1])] = table.tensor
    assert not torch.equal(permuted, table.tensor)
    assert torch.equal(whole(plan, [table, InMemory(permuted)], 1), table.tensor)

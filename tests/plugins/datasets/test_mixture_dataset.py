"""Several data sets as one: nothing is lost, and what is drawn does not depend on the order of sources."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from aya_core.api import DataError, Demonstration, Preference, RowsRef, prompt_of, user_prompt, write_rows
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.mixture import Mixture
from aya_plugins.datasets.text import Text


def questions(folder, name, count, languages=("de", "tr")):
    """A data set with so many questions in each language; a question has the same number in all."""
    folder.mkdir(exist_ok=True)
    lines = [
        json.dumps({"id": f"{language}/{name}-{n}", "language": language, "prompt": f"{name} {n}?"})
        for language in languages
        for n in range(count)
    ]
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return Jsonl(path=str(folder / f"{name}.jsonl"))


def ids(mixture, seed=0):
    return [prompt_of(row).id for row in mixture.build().rows(seed)]


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 12), min_size=1), st.data())
def test_each_source_gives_so_many_rows_of_each_language_whatever_stands_before_it(tmp_path_factory, counts, data):
    folder = tmp_path_factory.mktemp("mixture")
    limits = {name: data.draw(st.integers(1, 15)) for name in counts if data.draw(st.booleans())}
    order = data.draw(st.permutations(sorted(counts)))
    sources = {name: questions(folder, name, counts[name]) for name in order}
    found = ids(Mixture(sources=sources, per_language=limits))
    expected = Counter(
        {(code, name): min(n, limits.get(name, n)) for code in ("de", "tr") for name, n in counts.items()}
    )
    assert Counter((id[:2], id[3]) for id in found) == expected
    assert set(found) == set(ids(Mixture(sources=dict(reversed(sources.items())), per_language=limits)))


def test_a_smaller_number_draws_some_of_the_same_questions_in_every_language(tmp_path):
    sources = {"a": questions(tmp_path, "a", 40)}
    few, many = (ids(Mixture(sources=sources, per_language={"a": n})) for n in (5, 20))
    assert set(few) < set(many) < set(ids(Mixture(sources=sources)))
    for drawn in (few, many):
        assert {id[3:] for id in drawn if id.startswith("de/")} == {id[3:] for id in drawn if id.startswith("tr/")}


def test_rows_of_earlier_stages_are_sources_of_any_kind(tmp_path):
    prompt = user_prompt("one", "de", "Wie?")
    for name, row in {"best": Demonstration(prompt, "So."), "pairs": Preference(prompt, "So.", "Nein.")}.items():
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name, type(row), [row])
        (read,) = Mixture(sources={"made": RowsRef(str(tmp_path / name))}).build().rows(0)
        assert read == row


def test_the_account_says_what_each_source_gave(tmp_path):
    (tmp_path / "en.txt").write_text("one\ntwo\n")
    sources = {"asked": questions(tmp_path, "a", 3), "text": Text(path=str(tmp_path / "en.txt"))}
    made = Mixture(sources=sources, per_language={"asked": 2}).build()
    assert len(list(made.rows(0))) == 6
    columns = made.account()["columns"]
    assert (columns["from asked"], columns["from text"], columns["asked: prompt from 'prompt'"]) == (4, 2, 6)


def test_a_limit_of_no_source_and_a_folder_without_rows_are_named(tmp_path):
    with pytest.raises(ValidationError, match="no source 'askd'; did you mean 'asked'"):
        Mixture(sources={"asked": questions(tmp_path, "a", 1)}, per_language={"askd": 2})
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no rows here"):
        list(Mixture(sources={"made": RowsRef(str(tmp_path / "empty"))}).build().rows(0))


def test_an_id_that_two_sources_share_names_the_second(tmp_path):
    one = questions(tmp_path, "a", 2)
    with pytest.raises(
        DataError, match=r"source 'again': the id 'de/a-0' is in another source, too; .* id_template: 'again/\{id\}'"
    ):
        ids(Mixture(sources={"first": one, "again": one}))

"""What the card of a merge says of where it comes from."""

import shutil

import pytest
import yaml
from checkpoints import merge

from aya_plugins.merges import Ties, Weighted
from aya_plugins.modeling.cards import Card, parents, read_card


def front(out):
    _, found, body = (out / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(found), body


def write_card(folder, **about):
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(about)}---\n\n# A model\n")


def test_models_that_nobody_outside_knows_are_named_as_no_base(three, out):
    merge(Ties(), three[1:], out, base=three[0])
    found, body = front(out)
    assert "base_model" not in found
    assert "| a | 1 |" in body


def test_models_of_the_hub_are_named_by_their_ids_and_others_by_those_of_their_own_cards(three, out, tmp_path):
    snapshot = tmp_path / "cache" / "models--org--base" / "snapshots" / ("0" * 40)
    shutil.copytree(three[0], snapshot)
    write_card(three[1], base_model=["org/base", "europe", "org/other"])
    write_card(three[2], base_model="org/third")
    merge(Ties(), three[1:], out, base=snapshot)
    assert front(out)[0]["base_model"] == ["org/base", "org/other", "org/third"]


def test_the_languages_of_all_models_and_the_licence_that_they_share_hold_for_the_merge(three, out):
    write_card(three[0], license="cc-by-nc-4.0", language=["en", "no"])
    write_card(three[1], license="cc-by-nc-4.0", language=["no", "tr"])
    merge(Weighted(), three[:2], out)
    found, body = front(out)
    assert (found["license"], found["language"]) == ("cc-by-nc-4.0", ["en", "no", "tr"])
    assert (
        "Licences that the models state, all of which hold for the merge: base: cc-by-nc-4.0, a: cc-by-nc-4.0." in body
    )


@pytest.mark.parametrize("other", [{"license": "apache-2.0"}, {"license": "other", "license_name": "gemma"}, {}])
def test_licences_that_differ_or_are_not_all_stated_are_listed_and_none_is_claimed(other, three, out):
    write_card(three[0], license="cc-by-nc-4.0")
    write_card(three[1], **other)
    merge(Weighted(), three[:2], out)
    found, body = front(out)
    assert "license" not in found
    assert "base: cc-by-nc-4.0" in body
    assert other.get("license_name", other.get("license", "")) in body


@pytest.mark.parametrize("text", ["", "no front matter", "---\n[broken\n---\n", "---\n- a\n---\n"])
def test_a_card_that_cannot_be_read_says_nothing(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    assert read_card(tmp_path) in (Card(), Card(languages=("en",)))
    assert parents(tmp_path) == []
    (tmp_path / "README.md").write_bytes(b"---\nlicense: \xff\n---\n")
    assert read_card(tmp_path) == Card()


@pytest.mark.parametrize(
    ("front", "card"),
    [
        ("license: mit\nlanguage: no\n", Card((), "mit", ("no",))),
        ("license: null\nlanguage:\n- en\n- null\n", Card((), None, ("en",))),
        ("license: &a mit\nlanguage: *a\n", Card()),
        ("language: " + "[" * 2000, Card()),
        ("license: mit\n" + "# long\n" * 20_000, Card()),
    ],
    ids=["Norwegian", "nothing", "aliases", "deep", "long"],
)
def test_a_card_of_anybody_is_read_in_bounds(front, card, tmp_path):
    (tmp_path / "README.md").write_text(f"---\n{front}---\n# Model\n")
    assert read_card(tmp_path) == card

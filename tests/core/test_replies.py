"""Replies are found by who was asked what: in other steps and runs, of the same code, and never of anybody else."""

from pathlib import Path
from typing import Any

import pytest

from aya_core.api import ArbiterStrategy, Field, PluginError, StepReplies, TeacherStrategy, Work, nested
from aya_core.planning.plan import Node


class Someone(TeacherStrategy):
    """Is asked."""

    name: str = Field("one", description="A setting.")

    def build(self):
        return self


class Keeping(ArbiterStrategy):
    """Holds those who are asked, and takes their stores."""

    several: dict[str, nested("teacher")] = Field(description="Who is asked.")  # type: ignore[valid-type]

    def build(self):
        return self

    def judge(self, cases):
        return iter(())

    def keep_replies(self, stores):
        STORES.update({name: stores(one) for name, one in self.several.items()})


class Labels:
    """A registry that knows what classes are called."""

    def label_of(self, strategy: Any) -> str:
        return type(strategy).__name__


STORES: dict[str, Any] = {}


@pytest.fixture
def stores(tmp_path: Path):
    """The stores of a step of the run, by name, and how the step ends."""

    def make(step="a", place="first", setting="one", content="1", code="1", keep=False):
        arbiter = Keeping(several={place: Someone(name=setting)})
        identity = {"arbiter": {"several": {place: {"use": "someone", "name": setting, "model": "$arbiter.model"}}}}
        asked = {"settings": {}, "seed": None, "code": {"Someone": code, "Keeping": "whatever"}}
        node = Node(step, "s", "judge", "judged", {}, identity, {}, {}, 0, asked=asked)
        work = Work(
            node, Labels(), {}, tmp_path / step, lambda *_: None, {"arbiter.model": content}, tmp_path / "store", keep
        )
        replies = StepReplies(work, "arbiter", arbiter)
        STORES.clear()
        replies.give(arbiter)
        return STORES[place], replies

    return make


def test_a_reply_is_found_by_another_step_that_asks_the_same_one(stores):
    store, _ = stores()
    assert store.find("question") is None
    store.add("question", ["reply", 0])
    assert store.find("question") == ["reply", 0]
    other, replies = stores(step="b", place="elsewhere")
    assert other.find("question") == ["reply", 0]
    assert other.find("another") is None
    assert replies.measures == {"replies_taken_over": 1}


@pytest.mark.parametrize("change", [{"setting": "two"}, {"content": "2"}, {"code": "2"}])
def test_a_reply_of_anybody_else_is_not_found(stores, change: dict[str, Any]):
    store, _ = stores()
    store.add("question", "reply")
    other, replies = stores(**change)
    assert other.find("question") is None
    assert replies.measures == {}


def test_replies_of_other_code_are_told_and_taken_over_where_asked(stores, capsys):
    store, _ = stores()
    store.add("question", "old")
    store.add("another", "old")
    other, _ = stores(code="2")
    other.add("another", "new")
    assert "2 replies of other code; --keep takes them over" in capsys.readouterr().err
    kept, replies = stores(code="2", keep=True)
    assert (kept.find("question"), kept.find("another")) == ("old", "new")
    assert replies.measures == {"replies_taken_over": 2, "replies_kept": 1}


def test_only_who_is_among_the_settings_has_a_store(stores):
    _, replies = stores()
    with pytest.raises(PluginError, match="keep replies of Someone, which is none of its settings"):
        replies._store(Someone())


def test_a_damaged_line_is_counted_and_its_reply_is_gone(stores, tmp_path: Path):
    store, _ = stores()
    store.add("question", "reply")
    (journal,) = (tmp_path / "store").rglob("*.jsonl")
    journal.write_text(journal.read_text().replace("reply", "Reply"))
    other, replies = stores()
    assert other.find("question") is None
    assert replies.close().damaged == 1

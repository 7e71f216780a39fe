"""Each kind's base declares its words, and a class that says them otherwise is told so before anything runs."""

import shlex
import subprocess
import sys
from typing import ClassVar

import pytest

from aya_core.api import (
    ArbiterStrategy,
    EvaluatorStrategy,
    Field,
    Metric,
    ObjectiveStrategy,
    RowScore,
    Strategy,
    TeacherStrategy,
    TrainerStrategy,
    Verdict,
)
from aya_core.contract.errors import PluginError
from aya_core.contract.kinds import BASES, KINDS, CalibratedArbiter
from aya_core.contract.merges import MergeStrategy, PieceMerge, WholeModelMerge
from aya_core.contract.strategies import Strategy as AnyStrategy
from aya_core.contract.words import faults_of_class, faults_of_values, words_of
from aya_core.planning.registry import Registry
from aya_core.testing import check_arbiter, check_evaluator, check_strategy

HEAD = "from typing import ClassVar\nfrom aya_core.api import *\n"
JUDGE = "    def build(self):\n        return self\n    def judge(self, cases):\n        return []\n"


@pytest.fixture
def load(tmp_path):
    """Load a plugin of one file; returns the strategies, or raises."""

    def write(text, name="mine.py"):
        (tmp_path / name).write_text(HEAD + text)
        return Registry([tmp_path / name]).strategies

    return write


def arbiter(words, base="ArbiterStrategy", hook="aya_arbiters"):
    return f"class Mine({base}):\n    '''Judge.'''\n{words}{JUDGE}\n@hookimpl\ndef {hook}():\n    return {{'mine': Mine}}\n"


def output(load, text):
    with pytest.raises(PluginError) as caught:
        load(text)
    assert "mine.py" in str(caught.value)
    return str(caught.value)


# The bases ----------------------------------------------------------------------------------------------------------


def test_every_kind_has_a_base_and_every_bundled_strategy_derives_from_it():
    assert BASES.keys() == KINDS.keys()
    for kind, offered in Registry().strategies.items():
        for name, strategy in offered.items():
            assert issubclass(strategy, BASES[kind]), name
            assert faults_of_class(strategy, kind) == [], name


def test_the_defaults_of_every_word_are_of_its_type():
    for base in BASES.values():
        for word in words_of(base).values():
            value = getattr(base, word.name)
            assert isinstance(value, property) or word.wrong(value) is None, word.name


def test_a_strategy_of_a_protocol_is_the_base_of_its_kind():
    assert ArbiterStrategy is Strategy[CalibratedArbiter] is ArbiterStrategy
    assert Strategy[PieceMerge | WholeModelMerge] is MergeStrategy
    assert ObjectiveStrategy is ObjectiveStrategy


def test_words_are_said_plainly_typed_or_by_settings(load):
    for replied in (
        "    pointwise = True\n",
        "    pointwise: ClassVar[bool] = True\n",
        "    strict: bool = Field(True, description='How.')\n    @property\n    def pointwise(self):\n        return self.strict\n",
    ):
        assert load(arbiter(replied))["arbiter"]["mine"]().pointwise is True


def test_what_is_no_word_is_its_authors_to_name(load):
    """Settings may be called as they like, and so may class attributes that are far from all words or could not be meant as one."""
    offered = load(
        "class Mine(EvaluatorStrategy):\n    '''Score.'''\n"
        "    tasks: ClassVar[tuple[str, ...]] = ('one', 'two')\n    _headlin = 'x'\n"
        "    over: int = Field(3, description='How many.')\n    goals: tuple[str, ...] = Field((), description='Which.')\n"
        "    def build(self):\n        return self\n@hookimpl\ndef aya_evaluators():\n    return {'mine': Mine}\n"
    )
    assert "mine" in offered["evaluator"]


# What is wrong with a class -----------------------------------------------------------------------------------------

NEAR = {
    "typed": ("    point_wise: ClassVar[bool] = True\n", "`point_wise`, which is no word of an arbiter; did you mean `pointwise`?"),
    "plain": ("    point_wise = True\n", "`point_wise`, which is no word; did you mean `pointwise`?"),
    "property": (
        "    @property\n    def orderles(self):\n        return True\n",
        "`orderles`, which is no word of an arbiter; did you mean `orderless`?",
    ),
    "setting": ("    point_wise: bool = True\n", "`point_wise`, which is no word of an arbiter; did you mean `pointwise`?"),
    "of every kind": ("    import_: ClassVar[tuple] = ('torch',)\n", "`import_`, which is no word of an arbiter; did you mean `imports`?"),
    "of another kind": (
        "    metrics: ClassVar[dict] = {}\n",
        "`metrics`, a word of an evaluator, not of an arbiter; remove or rename it",
    ),
    "plain, of another kind": ("    metrics = {}\n", "`metrics`, a word of an evaluator, and is none; remove or rename it"),
    "plain, of earlier versions": ("    headline = 'x'\n", "`headline`, which is a word no more; `metrics` says it now"),
    "plain, where settings decide": ("    published = 'x'\n", "`published` without a type, and settings decide it; write a property"),
    "plain, far from all words": ("    depth = 3\n", "`depth` without a type; a setting is written `depth: int = Field("),
    "wrong type": ("    pointwise = 'yes'\n", "`pointwise`: input should be a valid boolean, not 'yes'"),
    "wrong type of every kind": ("    imports = 'torch'\n", "`imports`: input should be a valid tuple, not 'torch'"),
}  # fmt: skip


@pytest.mark.parametrize("case", NEAR)
def test_a_word_that_is_not_said_as_declared_is_named_with_plugin_class_and_cure(load, case):
    words, message = NEAR[case]
    found = output(load, arbiter(words))
    assert message in found
    assert "the class Mine says" in found or "arbiter 'mine' (class Mine)" in found
    assert "does not import" not in found


@pytest.mark.filterwarnings("ignore:Field name")
def test_a_word_that_became_a_setting_is_told_so(load):
    assert "has a setting `pointwise`, which is a word of an arbiter" in output(
        load, arbiter("    pointwise: bool = True\n")
    )


def test_all_misspelled_words_of_a_class_are_told_at_once(load):
    words = "    need_answers: ClassVar[bool] = True\n    metrix: ClassVar[dict[str, object]] = {}\n"
    found = output(load, arbiter(words, "EvaluatorStrategy", "aya_evaluators"))
    assert "did you mean `needs_answers`?" in found
    assert "did you mean `metrics`?" in found


def test_a_word_is_found_in_a_mixin_too(load):
    found = output(
        load,
        "class Options(Settings):\n    orderles: ClassVar[bool] = True\n" + arbiter("", "Options, ArbiterStrategy"),
    )
    assert "did you mean `orderless`?" in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (arbiter("").replace("    def build(self):\n        return self\n", ""), "arbiter 'mine' (class Mine) has no build()"),
        (arbiter("").replace("@hookimpl\n", ""), "offers nothing: aya_arbiters has no @hookimpl"),
        (arbiter("") + "def aya_routers():\n    return {}\n", "aya_routers has no @hookimpl"),
        ("X = 1\n", "offers nothing: no function in it is marked with @hookimpl"),
        (arbiter("", "TeacherStrategy"), "arbiter 'mine' (class Mine) is a teacher, not an arbiter"),
        (arbiter("", "Strategy[Teacher]"), "arbiter 'mine' (class Mine) is a teacher, not an arbiter"),
        (arbiter("", "Strategy"), "is not declared as an arbiter; write `class Mine(ArbiterStrategy)`"),
    ],
)  # fmt: skip
def test_a_class_that_its_hook_cannot_take_is_told_why(load, text, message):
    assert message in output(load, text)


# Plugins that print or exit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise SystemExit(3)\n", "exits as it loads (SystemExit: 3)"),
        ("import sys\nsys.exit('no')\n", "exits as it loads (SystemExit: no)"),
        ("@hookimpl\ndef aya_arbiters():\n    raise SystemExit(3)\n", "aya_arbiters exits as it loads (SystemExit: 3)"),
    ],
)
def test_a_plugin_that_exits_is_named(load, text, message):
    assert message in output(load, text)


LOUD = "import os\nprint('one', end='')\nos.system('echo two')\nos.write(1, b'three')\n" + arbiter("").replace(
    "    return {", "    print('four')\n    return {"
)


def test_what_a_plugin_prints_goes_to_standard_error_under_its_name(load, capfd):
    load(LOUD)
    out, err = capfd.readouterr()
    assert out == ""
    for replied in ("one", "two", "three", "four"):
        (line,) = [line for line in err.splitlines() if replied in line]
        assert "plugin" in line
        assert "mine.py" in line
        assert "prints as it loads: " in line


def test_a_plugin_may_keep_what_it_took_for_standard_output(load, capfd):
    found = load("import sys\nOUT = sys.stdout\n" + arbiter(""))
    sys.modules[found["arbiter"]["mine"].__module__].OUT.write("later\n")
    assert "later" in capfd.readouterr().err


@pytest.mark.parametrize(("redirected", "out"), [("", "mine\n"), (">&-", "")], ids=["open", "closed"])
def test_standard_output_is_as_before_once_plugins_are_loaded(tmp_path, redirected, out):
    (tmp_path / "mine.py").write_text(HEAD + "print('loud')\n" + arbiter(""))
    code = "from pathlib import Path; from aya_core.planning.registry import Registry; Registry([Path('mine.py')]); print('mine')"
    command = f'{shlex.quote(sys.executable)} -c "{code}" {redirected}'
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, out), done.stderr
    assert "mine.py prints as it loads: loud" in done.stderr


# The conformance kit ------------------------------------------------------------------------------------------------


class Judging(ArbiterStrategy):
    """Score by length."""

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            yield [Verdict(-float(len(candidate.text))) for candidate in case.candidates]


class Misspelled(Judging):
    """Score by length, each answer by itself."""

    point_wise: ClassVar[bool] = True


class Scoring(EvaluatorStrategy):
    """Count."""

    metrics = {"asked": Metric("questions")}

    def build(self):
        return self

    def evaluate(self, evaluated):
        yield RowScore("p", "en", "asked", 1.0)

    def signature(self):
        return {"version": "1"}


class Short(Scoring):
    """Count answers."""

    need_answers: ClassVar[bool] = True


class Undecided(Judging):
    """Say neither yes nor no."""

    mode: str = Field("maybe", description="How.")

    @property
    def pointwise(self):
        return self.mode


class Unnamed(AnyStrategy):
    """Belong to no kind."""

    def build(self):
        return self


@pytest.mark.parametrize(
    ("check", "strategy", "rule"),
    [
        (check_arbiter, Misspelled(), "no word of an arbiter; did you mean `pointwise`"),
        (check_evaluator, Short(), "no word of an evaluator; did you mean `needs_answers`"),
        (check_arbiter, Undecided(), "says `pointwise`: input should be a valid boolean, not 'maybe'"),
        (check_arbiter, Scoring(), "is an evaluator, not an arbiter"),
        (check_strategy, Unnamed(), "must derive from the base of its kind"),
    ],
)
def test_the_kit_makes_the_same_checks(check, strategy, rule):
    with pytest.raises(AssertionError, match=rule):
        check(strategy)


def test_a_word_that_settings_decide_is_checked_where_there_are_settings():
    assert faults_of_class(Undecided, "arbiter") == []
    assert faults_of_values(Undecided(), "arbiter") != []


def test_a_rival_is_what_the_setting_against_holds():
    class Compared(Scoring):
        against: str = "base"

    assert Compared().rival == "base"
    assert Scoring().rival is None


def test_words_of_one_kind_are_not_words_of_another():
    assert "reads" in words_of(TrainerStrategy)
    assert "reads" not in words_of(TeacherStrategy)

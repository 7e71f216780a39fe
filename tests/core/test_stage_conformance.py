"""`check_stage`: a stage that keeps the rules passes, and each rule that is broken is named."""

import math
import random
from typing import ClassVar

import pytest

from aya_core.api import (
    Action,
    Completion,
    Field,
    PluginError,
    Prompt,
    RowsRef,
    Sampling,
    Section,
    Stage,
    Table,
    ask_teacher,
    checked_answers,
    nested,
    read_rows,
    reference_or_nested,
    write_rows,
)
from aya_core.planning.registry import Registry
from aya_core.testing import check_stage

SETTINGS = {"prompts": {"use": "sample-rows"}, "teacher": {"use": "echo"}, "sampling": {"n": 2}}


def prompts_of(work):
    return read_rows(work.inputs["prompts"], Prompt)


def shout(work):
    return ask_teacher(work, lambda: prompts_of(work))


class Shouting(Stage):
    """Have every prompt shouted."""

    actions: ClassVar = {"shout": Action(shout, resumes=True, asks=True)}
    makes: ClassVar = "completions"

    prompts: reference_or_nested(RowsRef, "dataset") = Field(description="What is shouted.")
    teacher: nested("teacher") = Field(description="Who shouts.")
    sampling: Sampling = Field(Sampling(), description="How.")

    def unroll(self, build):
        build.name(self.name, self.step(build, self.name))

    def step(self, build, id, action="shout", **more):
        prompts = build.rows(self.prompts, "prompts", "prompts", f"{self.name}.prompts")
        settings = {"sampling": self.sampling.model_dump(mode="json"), **more}
        return build.add(id, action, self.makes, settings, {"prompts": prompts}, {"teacher": ("teacher", self.teacher)})


def acting(run, *, makes="completions", resumes=True, asks=True):
    """A stage whose action is another."""

    class Acting(Shouting):
        """Do something else."""

        actions: ClassVar = {"shout": Action(run, resumes=resumes, asks=asks)}

    Acting.makes = makes
    return Acting


def unrolling(unroll):
    """A stage that adds other steps."""

    class Unrolling(Shouting):
        """Add other steps."""

        def unroll(self, build):
            unroll(self, build)

    return Unrolling


def test_a_stage_that_keeps_the_rules_passes(tmp_path):
    check_stage(Shouting, SETTINGS, tmp_path)


def test_a_bundled_stage_passes_as_an_installed_one_does(tmp_path):
    check_stage(
        Registry().stages["data"],
        {"rows": {"use": "sample-rows", "kind": "preferences"}, "kind": "preferences"},
        tmp_path,
    )


def test_a_stage_that_asks_teachers_and_arbiters_goes_on_with_both(tmp_path):
    settings = {
        "prompts": {"use": "sample-rows"},
        "teachers": {"loud": {"use": "echo"}, "louder": {"use": "echo"}},
        "sampling": {"n": 3},
        "arbiter": {"use": "consensus"},
    }
    check_stage(Registry().stages["arbitrage"], settings, tmp_path)


def test_an_action_may_use_a_name_that_begins_as_those_of_hooks_do(tmp_path):
    def run(work):
        run.aya_begun = True
        return shout(work)

    check_stage(acting(run), SETTINGS, tmp_path)


def near_a_method(stage):
    class Near(stage):
        """Misspell a method."""

        def reviews(self, build):
            """Never called."""

    return Near


def near_a_word(stage):
    class Near(stage):
        """Misspell a word."""

        action: ClassVar = {}

    return Near


def undocumented(stage):
    class Undocumented(stage):
        """Have a setting that nobody explains."""

        volume: int = 11

    return Undocumented


def thawed(stage):
    class Thawed(stage, frozen=False):
        """Let its settings change."""

    return Thawed


def without_docstring(stage):
    class Silent(stage):
        pass

    return Silent


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (near_a_word, "it says `action`, which is no word of a stage; did you mean `actions`"),
        (near_a_method, "it has `reviews..`, which is no method of a stage; did you mean `review..`"),
        (undocumented, "field 'volume' of Undocumented needs a description"),
        (thawed, "settings must be frozen"),
        (without_docstring, "the class needs a docstring"),
        (lambda stage: Stage, "it has no unroll"),
    ],
)
def test_a_class_that_is_no_stage_is_told_why(tmp_path, change, rule):
    with pytest.raises(AssertionError, match=rule):
        check_stage(change(Shouting), SETTINGS, tmp_path)


class Unlike:
    """Something that JSON cannot hold."""


def twice_with_one_id(stage, build):
    stage.step(build, "shouted")


def another_each_time(stage, build):
    stage.step(build, stage.name, draw=random.random())


@pytest.mark.parametrize(
    ("unroll", "rule"),
    [
        (lambda stage, build: None, "unroll.. added no step"),
        (
            lambda stage, build: stage.step(build, stage.name, "whisper"),
            "stages.checked: no stage has the action 'whisper'",
        ),
        (
            lambda stage, build: stage.step(build, stage.name, tone=Unlike()),
            "settings of step 'checked' must be plain data",
        ),
        (another_each_time, "unroll.. must give the same steps each time"),
        (twice_with_one_id, "a recipe must be able to have it twice; begin the id of each step with the stage's name"),
    ],
)
def test_steps_that_cannot_be_planned_are_told_why(tmp_path, unroll, rule):
    with pytest.raises(AssertionError, match=rule):
        check_stage(unrolling(unroll), SETTINGS, tmp_path)


def saying(section):
    """A stage with another section of the report."""

    class Saying(Shouting):
        """Say it."""

    Saying.section = classmethod(lambda cls, stage: section(stage))
    return Saying


def test_a_section_that_says_what_stands_passes(tmp_path):
    def section(stage):
        counts = {id: made.measures["answers"] for id, made in stage.standing.items() if id == stage.name}
        return Section("Shouts", counts, [Table(("step", "answers"), [(id, str(n)) for id, n in counts.items()])])

    check_stage(saying(section), SETTINGS, tmp_path)


@pytest.mark.parametrize(
    ("section", "rule"),
    [
        (lambda stage: {"answers": 14}, r"section\(\) returned dict; expected Section or None"),
        (lambda stage: stage.standing[stage.name] and None, r"section\(\) fails where 0 of 2 steps stand: KeyError"),
        (lambda stage: Section("Shouts", {"answers": Unlike()}), r"section\(\) must be plain data"),
        (lambda stage: Section("Shouts", {"mean": math.nan}), r"section\(\) must be plain data"),
        (
            lambda stage: Section("Shouts", {}, [Table(("answers",), [(14,)])]),
            r"section\(\) must be plain data.*cells are text",
        ),
        (lambda stage: Section("Shouts", {1: "one"}), r"section\(\) must be plain data; it reads back"),
    ],
    ids=["no Section", "fails", "no JSON", "NaN", "cells", "keys"],
)
def test_a_section_that_no_report_can_keep_is_told_why(tmp_path, section, rule):
    with pytest.raises(AssertionError, match=rule):
        check_stage(saying(section), SETTINGS, tmp_path)


def leave_nothing(work):
    return {}


def draw(work):
    (work.out / "draw").write_text(str(random.random()))
    return {}


def measure_nan(work):
    (work.out / "file").touch()
    return {"loss": math.nan}


def write_no_rows(work):
    (work.out / "rows.parquet").write_text("no table")
    return {}


def write_no_row(work):
    write_rows(work.out, Prompt, [])
    return {}


def meddle(work):
    (work.inputs["prompts"] / "more").touch()
    (work.out / "file").touch()
    return {}


@pytest.mark.parametrize(
    ("run", "makes", "rule"),
    [
        (leave_nothing, "notes", "the action of step 'checked' left nothing in `work.out`"),
        (draw, "notes", "'checked' made something else: the same inputs must give the same content"),
        (measure_nan, "notes", "step 'checked' has measures that are NaN or infinite"),
        (write_no_rows, "prompts", "step 'checked' makes prompts, and its payload is none"),
        (write_no_row, "prompts", "step 'checked' made no row"),
        (meddle, "notes", "a later step changed what step 'checked.prompts' had made"),
    ],
)
def test_an_action_that_does_not_do_its_work_is_told_why(tmp_path, run, makes, rule):
    with pytest.raises(AssertionError, match=rule):
        check_stage(acting(run, makes=makes, asks=False), SETTINGS, tmp_path)


@pytest.mark.parametrize("measures", [{"rows": Unlike()}, ["rows"], None])
def test_measures_that_json_cannot_hold_are_an_error_of_the_plugin_in_any_run(tmp_path, measures):
    with pytest.raises(PluginError, match="the action 'shout' returned no measures that JSON can hold"):
        check_stage(acting(lambda work: measures, asks=False), SETTINGS, tmp_path)


def ask_all_at_once(work):
    """Keep nothing of what was asked until all is there."""
    prompts = list(prompts_of(work))
    answers = checked_answers(work.strategy("teacher").build(), prompts, Sampling(n=2), 0, "loud")
    write_rows(work.out, Completion, [row for _, rows in answers for row in rows])
    return {}


def swallow(work):
    """Take what stops it for an answer."""
    try:
        return shout(work)
    except BaseException:
        write_rows(work.out, Completion, [Completion("p", "t", 0, "?")])
        return {}


def note_stops(work):
    """Leave in the payload how often it was begun."""
    with (work.out / "begun").open("a") as file:
        file.write("again\n")
    return shout(work)


@pytest.mark.parametrize(
    ("run", "rule"),
    [
        (ask_all_at_once, "asked again for 3 of 7 answers that it had; let its action say"),
        (swallow, "step 'checked' was stopped, and went on; let exceptions through"),
        (note_stops, "a run that was stopped must give what an undisturbed one gives"),
    ],
)
def test_an_action_that_does_not_go_on_after_a_kill_is_told_so(tmp_path, run, rule):
    with pytest.raises(AssertionError, match=rule):
        check_stage(acting(run), SETTINGS, tmp_path)


def test_an_action_that_asks_and_starts_anew_after_a_kill_is_told_so(tmp_path):
    with pytest.raises(AssertionError, match="action 'shout' asks and does not resume"):
        check_stage(acting(shout, resumes=False), SETTINGS, tmp_path)

"""What a stage must do."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from aya_core.contract.artifacts import Artifact, read_rows, verify
from aya_core.contract.errors import AyaError, RecipeError
from aya_core.contract.hashes import Hashes
from aya_core.contract.records import Case, Completion, Prompt, Verdict
from aya_core.contract.reports import Section
from aya_core.contract.requests import Sampling
from aya_core.contract.stage import Stage
from aya_core.contract.words import faults_of_class
from aya_core.planning.plan import Plan, make_plan
from aya_core.planning.reading import ROW_RECORDS
from aya_core.planning.recipe import LoadedRecipe, validate_recipe
from aya_core.planning.registry import Registry
from aya_core.running.asking import reuse
from aya_core.running.asking.asked import case_key, prompt_key
from aya_core.running.inventory import Inventory
from aya_core.running.record import Recorder, RunRecord, StageRecord
from aya_core.running.run_folder import Run
from aya_core.running.work import Work
from aya_core.running.worker import do
from aya_core.testing import doubles
from aya_core.testing.strategy import Rules, check_light, check_settings

ASKS = {"teacher": "answer", "arbiter": "judge"}
"""The strategies that are asked, and by which method."""


def check_stage(stage: type[Stage], settings: Mapping[str, Any], folder: Path) -> None:
    """Check a stage in a small recipe of its own. Raises AssertionError that says which rule is broken.

    settings: what a recipe says of it, but for `name` and `do`. Beside the strategies of installed plugins it may use the data set
    `sample-rows` (`kind`: prompts, demonstrations or preferences) and the teacher `echo`. folder: an empty one; paths are relative
    to it. The steps are done in this process; a step that asks a teacher or an arbiter is stopped midway, and done again.
    """
    expect = Rules(stage.__name__)
    for fault in faults_of_class(stage, "stage"):
        expect(False, f"it {fault}")
    loaded = _load(stage, settings, folder, "checked")
    (found,) = loaded.recipe.stages
    check_settings(found)
    check_light(found, "torch")
    with expect.without(RecipeError, rule="it cannot be planned"):
        plan = make_plan(loaded)
    _check_plan(expect, loaded, plan)
    twice = "a recipe must be able to have it twice; begin the id of each step with the stage's name"
    with expect.without(RecipeError, rule=twice):
        make_plan(_load(stage, settings, folder, "checked", "checked-again"))
    watch = _Watch()
    once = _run(expect, loaded, plan, folder / "once", watch)
    _check_artifacts(expect, once)
    for standing in (once, {}):  # of a whole run, and of one that was killed before its first step ended
        _check_section(expect, stage, _record(loaded, plan, folder / "once", standing))
    again = _run(expect, loaded, plan, folder / "again", _Watch())
    _expect_equal(expect, once, again, "the same inputs must give the same content; draw from `work.node.seed` alone")
    for number, step in enumerate(watch.asked):
        _check_stopping(expect, loaded, plan, folder / f"stopped-{number}", step, watch, once)


def _check_plan(expect: Rules, loaded: LoadedRecipe, plan: Plan) -> None:
    expect(bool(plan.nodes), "unroll() added no step")
    for node in plan.nodes.values():
        action = loaded.registry.actions.get(node.action)
        expect(action is not None, f"step '{node.id}' has the action '{node.action}', which no stage offers")
        expect(
            action is None or action.resumes or not action.asks,
            f"action '{node.action}' asks and does not resume: a kill would lose what was paid for",
        )
        plain = json.loads(json.dumps(node.settings, default=lambda value: f"<{type(value).__name__}>"))
        expect(
            plain == _lists(node.settings),
            f"the settings of step '{node.id}' must be plain data that JSON can hold; they are {node.settings!r:.200}",
        )
    expect(make_plan(loaded).nodes == plan.nodes, "unroll() must give the same steps each time it is called")


def _check_artifacts(expect: Rules, made: Mapping[str, Artifact]) -> None:
    for id, artifact in made.items():
        expect(bool(artifact.files), f"the action of step '{id}' left nothing in `work.out`")
        infinite = f"step '{id}' has measures that are NaN or infinite, {artifact.measures!r:.200}"
        with expect.without(ValueError, rule=infinite):
            json.dumps(artifact.measures, allow_nan=False)
        if artifact.kind in ROW_RECORDS:
            strange = f"step '{id}' makes {artifact.kind}, and its payload is none"
            with expect.without(AyaError, LookupError, TypeError, ValueError, rule=strange):
                rows = list(read_rows(artifact.payload, ROW_RECORDS[artifact.kind]))
            expect(bool(rows), f"step '{id}' made no row; give it settings by which it makes some")
        with expect.without(AyaError, rule=f"a later step changed what step '{id}' had made"):
            verify(artifact, Hashes(), everything=True)


def _check_section(expect: Rules, stage: type[Stage], record: StageRecord) -> None:
    stand = f"{len(record.standing)} of {len(record.steps)} steps"
    fails = f"say what can be said of the steps that stand, or return None; section() fails where {stand} stand"
    with expect.without(Exception, rule=fails):
        section = stage.section(record)
    if section is None:
        return
    expect(isinstance(section, Section), f"section() returned {type(section).__name__}; expected Section or None")
    plain = "section() must be plain data: JSON without NaN as `data`, and blocks whose cells are text"
    with expect.without(TypeError, ValueError, LookupError, rule=plain):
        again = Section.from_row(json.loads(json.dumps(section.as_row(), allow_nan=False)))
    is_same = _lists(again.as_row()) == _lists(section.as_row())
    expect(is_same, "section() must be plain data; it reads back from JSON as something else")


def _record(loaded: LoadedRecipe, plan: Plan, folder: Path, standing: Mapping[str, Artifact]) -> StageRecord:
    """What a run folder says of the stage where these artifacts stand."""
    Run(folder).open(loaded)
    Recorder(folder, loaded, plan, standing).close()
    return RunRecord.read(folder).stage(loaded.recipe.stages[0].name)


def _check_stopping(
    expect: Rules, loaded: LoadedRecipe, plan: Plan, folder: Path, step: str, undisturbed: _Watch, once: Mapping[str, Artifact]
) -> None:  # fmt: skip
    """Stop a step after half of what comes, and finish it."""
    half = len(undisturbed.came[step]) // 2
    first, second = _Watch(step, half), _Watch()
    with patch.object(reuse, "PATIENCE_SECONDS", 0.0):  # half of a small chunk is written, too
        try:
            _run(expect, loaded, plan, folder, first)
        except _Stopped:
            pass
        else:
            expect(False, f"step '{step}' was stopped, and went on; let exceptions through")
        finished = _run(expect, loaded, plan, folder, second)
    twice = first.whole(step) & set(second.asked[step])
    expect(
        not twice,
        f"step '{step}' was stopped and asked again for {len(twice)} of {half} answers that it had; let its action say "
        "`resumes=True` and ask through `ask_teacher` or `fill_shards`",
    )
    _expect_equal(expect, once, finished, "a run that was stopped must give what an undisturbed one gives")


def _expect_equal(expect: Rules, one: Mapping[str, Artifact], other: Mapping[str, Artifact], rule: str) -> None:
    for id, artifact in one.items():
        expect(artifact.content == other[id].content, f"step '{id}' made something else: {rule}")


def _lists(value: Any) -> Any:
    """Plain data as it comes back from JSON, which has no tuples."""
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


class _Bench(Registry):
    """The installed plugins, the stand-ins, and the stage that is checked, whether a plugin offers it or not."""

    def __init__(self, stage: type[Stage]) -> None:
        self._stage = stage
        super().__init__([Path(doubles.__file__)])

    @cached_property
    def stages(self) -> Mapping[str, type[Stage]]:
        """See `Registry`."""
        offered = super().stages
        return offered if self._stage in offered.values() else {**offered, "checked": self._stage}

    @property
    def does(self) -> str:
        """What a recipe says after `do:` to have the stage."""
        return next(name for name, offered in self.stages.items() if offered is self._stage)


def _load(stage: type[Stage], settings: Mapping[str, Any], folder: Path, *names: str) -> LoadedRecipe:
    registry = _Bench(stage)
    stages = [{"name": name, "do": registry.does, **settings} for name in names]
    return validate_recipe({"name": "check", "stages": stages}, source="check_stage", folder=folder, registry=registry)


def _run(expect: Rules, loaded: LoadedRecipe, plan: Plan, folder: Path, watch: _Watch) -> dict[str, Artifact]:
    """Do the steps that do not stand yet, one after the other, in this process; return all artifacts."""
    inventory = Inventory(Run(folder))
    for node in plan.nodes.values():
        if inventory.look(node) is not None:
            continue
        contents = inventory.contents(node)
        if contents is None:
            raise AssertionError(f"{expect.who}: step '{node.id}' reads steps that are added after it")
        fingerprint = inventory.fingerprint(node, contents)
        record = {"fingerprint": fingerprint, "contents": contents}
        place = inventory.run.place(node, fingerprint)
        place.parent.mkdir(parents=True, exist_ok=True)
        do(
            node, loaded.registry, inventory.paths(node), place, record, lambda done, total, measures: None,
            make_work=partial(_WatchedWork, watch=watch),
        )  # fmt: skip
        inventory.look(node)
    return inventory.standing


class _Stopped(BaseException):
    """Stops a step as Ctrl-C does: nothing that handles errors takes it for one."""


@dataclass
class _Watch:
    """What is asked and what comes, by step, by the keys of what is asked. stop: the step that ends after so many came."""

    stop: str = ""
    after: int = 0
    asked: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    came: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    wanted: dict[int, int] = field(default_factory=dict)

    def ask(self, step: str, keys: Sequence[int], each: int) -> None:
        """Note that something is asked. each: how many answers are wanted of each."""
        self.asked[step] += keys
        self.wanted |= dict.fromkeys(keys, each)

    def come(self, step: str, key: int) -> None:
        """Note that an answer comes, unless it is time to stop."""
        if step == self.stop and len(self.came[step]) == self.after:
            raise _Stopped
        self.came[step].append(key)

    def whole(self, step: str) -> set[int]:
        """What all wanted answers came of."""
        return {key for key, count in Counter(self.came[step]).items() if count == self.wanted[key]}


@dataclass(frozen=True)
class _WatchedWork(Work):
    """Work whose teacher and arbiter are watched."""

    watch: _Watch = field(default_factory=_Watch)

    def strategy(self, kind: str, key: str | None = None) -> Any:
        """See `Work`."""
        strategy = super().strategy(kind, key)
        if kind in ASKS:
            _replace(strategy, "build", lambda build: lambda: self._watched(build(), kind))
        return strategy

    def _watched(self, built: Any, kind: str) -> Any:
        _replace(built, ASKS[kind], self._answering if kind == "teacher" else self._judging)
        return built

    def _answering(self, answer: Callable[..., Iterator[Completion]]) -> Callable[..., Iterator[Completion]]:
        def watched(prompts: Sequence[Prompt], sampling: Sampling, seed: int) -> Iterator[Completion]:
            keys = {prompt.id: prompt_key(prompt) for prompt in prompts}
            self.watch.ask(self.node.id, list(keys.values()), sampling.n)
            for completion in answer(prompts, sampling, seed):
                self.watch.come(self.node.id, keys[completion.prompt_id])
                yield completion

        return watched

    def _judging(self, judge: Callable[..., Iterator[Sequence[Verdict]]]) -> Callable[..., Iterator[Sequence[Verdict]]]:
        def watched(cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
            keys = [case_key(case.prompt, case.candidates) for case in cases]
            self.watch.ask(self.node.id, keys, 1)
            for key, verdicts in zip(keys, judge(cases), strict=True):
                self.watch.come(self.node.id, key)
                yield verdicts

        return watched


def _replace(thing: Any, method: str, wrap: Callable[[Any], Any]) -> None:
    """Replace a method of one object, settings that are frozen included."""
    object.__setattr__(thing, method, wrap(getattr(thing, method)))

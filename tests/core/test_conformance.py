"""The conformance kit accepts strategies that behave, and names the rule that each other one breaks."""

import json
import random
import shutil
from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict

from aya_core.api import (
    SHARE,
    ArbiterStrategy,
    Completion,
    DatasetStrategy,
    Demonstration,
    EvaluatorStrategy,
    Field,
    GroupLoss,
    LogLikelihood,
    MergeStrategy,
    Metric,
    ObjectiveStrategy,
    PairLoss,
    Prompt,
    RouterStrategy,
    RowScore,
    Settings,
    Strategy,
    TeacherStrategy,
    TrainerStrategy,
    Verdict,
    nested,
    stable_hash,
    user_prompt,
)
from aya_core.testing import (
    check_arbiter,
    check_dataset,
    check_evaluator,
    check_merge,
    check_objective,
    check_router,
    check_strategy,
    check_teacher,
    check_trainer,
    sample_demonstrations,
    sample_groups,
    sample_preferences,
    sample_prompts,
    tiny_causal_lm,
)

CALLS = count()
"""What a badly behaved strategy lets its answers depend on."""


def breaks(rule: str) -> Any:
    """Expect the kit to name this rule."""
    return pytest.raises(AssertionError, match=rule)


class Made(
    DatasetStrategy,
    TeacherStrategy,
    RouterStrategy,
    ArbiterStrategy,
    ObjectiveStrategy,
    TrainerStrategy,
    MergeStrategy,
    EvaluatorStrategy,
):
    """Build what the test gives, of whichever kind."""

    thing: Any = Field(None, exclude=True, repr=False, description="What to build.")

    def build(self) -> Any:
        return self.thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made)  # the thing itself is not written as JSON

    __hash__ = None  # type: ignore[assignment]


# Every strategy -----------------------------------------------------------------------------------------------------


class Options(Settings):
    depth: int = Field(1, description="How deep.")


class Tidy(ArbiterStrategy):
    """Do as one should."""

    size: int = Field(3, description="How many.")
    options: Options = Field(Options(), description="What else.")
    inner: nested("arbiter") | None = Field(None, description="An arbiter inside.")

    def build(self) -> object:
        return object()


class Undocumented(Tidy):
    pass


class Undescribed(Tidy):
    """Leave a field without a description."""

    mystery: int = 0


class UndescribedInside(Tidy):
    """Leave a field of inner settings without a description."""

    class Inner(Settings):
        mystery: int = 0

    more: Inner = Field(Inner(), description="What else.")


class Thawed(Tidy):
    """Let settings be changed."""

    model_config = ConfigDict(frozen=False)


class Lax(Tidy):
    """Take unknown keys for granted."""

    model_config = ConfigDict(extra="ignore")


class Forgetful(Tidy):
    """Leave a setting out of what is written."""

    secret: int = Field(1, exclude=True, description="Not written.")


def test_a_tidy_strategy_is_accepted_alone_and_around_another():
    check_strategy(Tidy())
    check_strategy(Tidy(inner=Made()))


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (Undocumented(), "needs a docstring"),
        (Undescribed(), "field 'mystery' of Undescribed needs a description"),
        (UndescribedInside(), "field 'mystery' of Inner needs a description"),
        (Thawed(), "settings must be frozen"),
        (Lax(), "must refuse unknown keys"),
        (Forgetful(secret=2), "must survive being written as JSON"),
    ],
)
def test_a_strategy_that_is_not_plain_settings_is_told_why(strategy: Strategy[Any], rule: str):
    with breaks(rule):
        check_strategy(strategy)


@pytest.mark.parametrize("heavy", ["torch", "wave"])
def test_a_module_that_imports_what_build_should_import_is_told_so(tmp_path, monkeypatch, heavy: str):
    module = f"eager_{heavy}"
    (tmp_path / f"{module}.py").write_text(
        f"import {heavy}\nfrom aya_core.api import ArbiterStrategy\n\n"
        f"class Eager(ArbiterStrategy):\n    '''Import too early.'''\n    imports = ({heavy!r},)\n    def build(self): return self\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    strategy = __import__(module).Eager()
    with breaks(f"importing {module} imports {heavy}; import it inside build"):
        check_strategy(strategy)


# Data sets ----------------------------------------------------------------------------------------------------------


class Rows:
    def __init__(self, *rows: Any) -> None:
        self._rows = rows

    def rows(self, seed: int) -> Iterator[Any]:
        yield from self._rows


class ListOfRows(Rows):
    def rows(self, seed: int) -> Any:
        return list(self._rows)


class Restless:
    def rows(self, seed: int) -> Iterator[Any]:
        yield user_prompt("a", "en", f"Call {next(CALLS)}?")


class Once:
    def __init__(self) -> None:
        self._left = iter(sample_prompts())

    def rows(self, seed: int) -> Iterator[Any]:
        return self._left


def test_a_data_set_of_each_kind_is_accepted():
    for rows in (sample_prompts(), sample_demonstrations(), sample_preferences()):
        check_dataset(Made(thing=Rows(*rows)))


def test_groups_repeat_the_id_of_their_prompt_where_they_are_meant():
    rows = sample_groups()
    check_dataset(Made(thing=Rows(*rows)), groups=True)
    with breaks("id 'en-1' came twice; ids must be unique"):
        check_dataset(Made(thing=Rows(*rows)))
    with breaks("id 'en-1' came twice; answers to a prompt must come one after the other"):
        check_dataset(Made(thing=Rows(*rows, rows[0])), groups=True)
    with breaks("row 'en-1' must be a demonstration with a score"):
        check_dataset(Made(thing=Rows(*sample_demonstrations())), groups=True)


ASSISTANT = {"role": "assistant", "content": "!"}


@pytest.mark.parametrize(
    ("dataset", "rule"),
    [
        (Rows(), "yielded nothing"),
        (Rows("text"), "yielded str"),
        (Rows(user_prompt("a", "en", "?"), user_prompt("a", "en", "!")), "id 'a' came twice"),
        (Rows(user_prompt("a", "", "?")), "has no language"),
        (Rows(Prompt("a", "en", ())), "must end with a message of the user"),
        (Rows(Prompt("a", "en", (ASSISTANT,))), "must end with a message of the user"),
        (Rows(user_prompt("a", "en", "?"), Demonstration(user_prompt("b", "en", "?"), "!")), "must be of one kind"),
        (ListOfRows(*sample_prompts()), "must stream"),
        (Restless(), "same rows in the same order for the same seed, when asked twice"),
        (Once(), "yielded nothing|same rows in the same order"),
    ],
)
def test_a_data_set_that_misbehaves_is_told_why(dataset: Any, rule: str):
    with breaks(rule):
        check_dataset(Made(thing=dataset))


# Teachers -----------------------------------------------------------------------------------------------------------


class Parrot:
    """Repeats the question; the cases below change one thing each."""

    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        for prompt in reversed(prompts):
            for index in range(sampling.n):
                yield Completion(prompt.id, "", index, f"{prompt.text} {seed} {index}")


class Scoring(Parrot):
    def log_likelihoods(self, pairs: Any) -> list[LogLikelihood]:
        return [LogLikelihood(-float(len(text)), len(text)) for _, text in pairs]


class Silent(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        return iter(())


class OneShort(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        return (answer for answer in super().answer(prompts, sampling, seed) if answer.index == 0)


class Stranger(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        yield Completion("nobody asked", "", 0, "!")


class Talkative(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        yield from super().answer(prompts or sample_prompts(), sampling, seed)


class Moody(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        for answer in super().answer(prompts, sampling, seed):
            yield Completion(answer.prompt_id, "", answer.index, f"{answer.text} {next(CALLS)}")


class Texts(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Any:
        return iter(["!"] * len(prompts))


class Endless(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        for answer in super().answer(prompts, sampling, seed):
            yield Completion(answer.prompt_id, "", answer.index, answer.text, finish_reason="")


class InDebt(Parrot):
    def answer(self, prompts: Any, sampling: Any, seed: int) -> Iterator[Completion]:
        for answer in super().answer(prompts, sampling, seed):
            yield Completion(answer.prompt_id, "", answer.index, answer.text, completion_tokens=-1)


class Sure(Scoring):
    def log_likelihoods(self, pairs: Any) -> list[LogLikelihood]:
        return [LogLikelihood(1.0, 1)] * len(pairs)


class Uncounted(Scoring):
    def log_likelihoods(self, pairs: Any) -> list[LogLikelihood]:
        return [LogLikelihood(-1.0, 0)] * len(pairs)


class Lazy(Scoring):
    def log_likelihoods(self, pairs: Any) -> list[LogLikelihood]:
        return super().log_likelihoods(pairs)[1:]


class Sorting(Scoring):
    def log_likelihoods(self, pairs: Any) -> list[LogLikelihood]:
        return sorted(super().log_likelihoods(pairs))


def test_teachers_with_and_without_likelihoods_are_accepted():
    check_teacher(Made(thing=Parrot()))
    check_teacher(Made(thing=Scoring()))


@pytest.mark.parametrize(
    ("teacher", "rule"),
    [
        (Silent(), "left every prompt out"),
        (OneShort(), r"got samples \[0\]; expected one each of \[0, 1\]"),
        (Stranger(), "yielded 'nobody asked', which was not asked"),
        (Talkative(), "answered although nothing was asked"),
        (Moody(), "same call must give the same answers"),
        (Texts(), "yielded str; expected Completion"),
        (Endless(), "must say why it ended"),
        (InDebt(), "token counts must not be negative"),
        (Sure(), "log-likelihood of 1.0 nats"),
        (Uncounted(), "must count its tokens"),
        (Lazy(), "gave 13 for 14 pairs"),
        (Sorting(), "must score each pair by itself, in the order asked"),
    ],
)
def test_a_teacher_that_misbehaves_is_told_why(teacher: Any, rule: str):
    with breaks(rule):
        check_teacher(Made(thing=teacher))


# Routers ------------------------------------------------------------------------------------------------------------


class Routing:
    def __init__(self, function: Any) -> None:
        self.route = function


def by_lot(prompts: Any, teachers: Any, seed: int) -> list[list[str]]:
    return [[min(teachers, key=lambda name: stable_hash([seed, prompt.id, name]))] for prompt in prompts]


def in_turn(prompts: Any, teachers: Any, seed: int) -> list[list[str]]:
    return [[teachers[place % len(teachers)]] for place, _ in enumerate(prompts)]


def in_turn_over_calls(prompts: Any, teachers: Any, seed: int) -> list[list[str]]:
    return [[teachers[next(CALLS) % len(teachers)]] for _ in prompts]


def test_routers_that_decide_prompt_by_prompt_are_accepted():
    check_router(Made(thing=Routing(by_lot)))
    check_router(Made(thing=Routing(lambda prompts, teachers, seed: [teachers] * len(prompts))))
    check_router(Made(thing=Routing(lambda prompts, teachers, seed: [[] for _ in prompts])))


@pytest.mark.parametrize(
    ("route", "rule"),
    [
        (lambda prompts, teachers, seed: [teachers], "answered 1 of 7 prompts"),
        (lambda prompts, teachers, seed: ["ana" for _ in prompts], "gave the text 'ana'"),
        (lambda prompts, teachers, seed: [["zoe"] for _ in prompts], r"named \['zoe'\] for 'en-1'"),
        (lambda prompts, teachers, seed: [["ana", "ana"] for _ in prompts], "named a teacher of 'en-1' twice"),
        (in_turn_over_calls, "same call must give the same routes"),
        (in_turn, "must not depend on which other prompts"),
    ],
)
def test_a_router_that_misbehaves_is_told_why(route: Any, rule: str):
    with breaks(rule):
        check_router(Made(thing=Routing(route)))


# Arbiters -----------------------------------------------------------------------------------------------------------


class Judging:
    """Judges every candidate by a function; `whole` judges all cases at once."""

    def __init__(self, each: Any = None, whole: Any = None) -> None:
        self._each, self._whole = each, whole

    def judge(self, cases: Any) -> Any:
        if self._whole is not None:
            return self._whole(cases)
        return ([self._each(candidate) for candidate in case.candidates] for case in cases)


def length(candidate: Completion) -> Verdict:
    return Verdict(float(len(candidate.text)))


class Keeping(Judging):
    """Keeps the length of each candidate under a key."""

    def __init__(self, key: Any) -> None:
        super().__init__(self._kept_length)
        self._key = key
        self._store: Any = None

    def keep_replies(self, stores: Any) -> None:
        self._store = stores(self)

    def _kept_length(self, candidate: Completion) -> Verdict:
        if self._store is None:
            return length(candidate)
        kept = self._store.find(self._key(candidate))
        if kept is None:
            kept = len(candidate.text)
            self._store.add(self._key(candidate), kept)
        return Verdict(float(kept))


def rank_among_all(cases: Any) -> list[list[Verdict]]:
    lengths = sorted(len(candidate.text) for case in cases for candidate in case.candidates)
    return [[Verdict(lengths.index(len(c.text)) / len(lengths)) for c in case.candidates] for case in cases]


def test_arbiters_that_score_abstain_and_fail_are_accepted():
    check_arbiter(Made(thing=Judging(length)))
    check_arbiter(Made(thing=Keeping(lambda candidate: candidate.text)))
    check_arbiter(Made(thing=Judging(lambda candidate: Verdict.abstain("no opinion"))))
    check_arbiter(Made(thing=Judging(lambda candidate: Verdict.fail("broken"))))


@pytest.mark.parametrize(
    ("arbiter", "rule"),
    [
        (Judging(whole=lambda cases: [[Verdict(1.0)] * 3]), "judged 1 of 7 cases"),
        (Judging(whole=lambda cases: [[Verdict(1.0)] for _ in cases]), "gave 1 verdicts on the 3 candidates of 'en-1'"),
        (Judging(lambda candidate: 1.0), "gave float; expected Verdict"),
        (Judging(lambda candidate: Verdict(float("nan"))), "a score of nan; expected a finite number"),
        (Judging(lambda candidate: Verdict(None)), "a score of None; expected a finite number"),
        (Judging(lambda candidate: Verdict(1.0, "failed", "no")), "a verdict that failed has no score"),
        (Judging(lambda candidate: Verdict(None, "abstained")), "a verdict that abstained must give its reason"),
        (Judging(lambda candidate: Verdict(None, "lost")), "a verdict is 'lost'"),
        (Judging(lambda candidate: Verdict(float(next(CALLS)))), "must not depend on other cases"),
        (Judging(whole=rank_among_all), "must not depend on other cases"),
        (Keeping(lambda candidate: candidate.teacher), "are others where replies are kept"),
    ],
)
def test_an_arbiter_that_misbehaves_is_told_why(arbiter: Any, rule: str):
    with breaks(rule):
        check_arbiter(Made(thing=arbiter))


# Objectives ---------------------------------------------------------------------------------------------------------


def hinge(pairs: Any) -> PairLoss:
    chosen, rejected = pairs.chosen - pairs.reference_chosen, pairs.rejected - pairs.reference_rejected
    return PairLoss((1 - chosen + rejected).relu(), chosen.detach(), rejected.detach())


def summed(pairs: Any) -> PairLoss:
    found = hinge(pairs)
    return PairLoss(found.losses.sum(), found.chosen_rewards, found.rejected_rewards)


def attached(pairs: Any) -> PairLoss:
    found = hinge(pairs)
    return PairLoss(found.losses, pairs.chosen, found.rejected_rewards)


def detached(pairs: Any) -> PairLoss:
    found = hinge(pairs)
    return PairLoss(found.losses.detach(), found.chosen_rewards, found.rejected_rewards)


def infinite(pairs: Any) -> PairLoss:
    found = hinge(pairs)
    return PairLoss(found.losses / 0, found.chosen_rewards, found.rejected_rewards)


def meddling(pairs: Any) -> PairLoss:
    pairs.reference_chosen.add_(1)
    return hinge(pairs)


def noisy(pairs: Any) -> PairLoss:
    import torch

    found = hinge(pairs)
    return PairLoss(found.losses + torch.rand(()), found.chosen_rewards, found.rejected_rewards)


def test_an_objective_that_is_a_pure_function_is_accepted():
    check_objective(Made(thing=hinge))


@pytest.mark.parametrize(
    ("objective", "rule"),
    [
        (lambda pairs: hinge(pairs).losses, "returned Tensor; expected PairLoss"),
        (summed, r"losses has shape \(\); expected one value per pair"),
        (infinite, "losses must be finite"),
        (detached, "losses must carry a gradient"),
        (attached, "rewards must carry no gradient"),
        (meddling, "must not change its input: reference_chosen"),
        (noisy, "must be a pure function"),
    ],
)
def test_an_objective_that_misbehaves_is_told_why(objective: Any, rule: str):
    with breaks(rule):
        check_objective(Made(thing=objective))


class OverGroups(Made):
    """Build what the test gives, which is a loss over groups."""

    over = "groups"


class OverTrees(Made):
    """Build what the test gives, which is a loss over something unheard of."""

    over = "trees"


class Freed(Made):
    """Build what the test gives, which says that it needs no reference."""

    needs_reference = False


class FreedOverGroups(OverGroups):
    """Build what the test gives, which is over groups and says that it needs no reference."""

    needs_reference = False


def reinforce(groups: Any) -> GroupLoss:
    """Without a baseline: only the sums over real tokens count."""
    import torch

    mask = torch.arange(groups.logps.shape[1]) < groups.tokens[:, None]
    drift = ((groups.logps.detach() - groups.reference_logps) * mask).sum(1)
    return GroupLoss(-groups.scores * (groups.logps * mask).sum(1), groups.scores, drift)


def by_width(groups: Any) -> GroupLoss:
    found = reinforce(groups)
    return GroupLoss(found.losses / groups.logps.shape[1], found.advantages, found.kl)


def leaning(groups: Any) -> GroupLoss:
    found = reinforce(groups)
    return GroupLoss(found.losses + found.kl, found.advantages, found.kl)


def pulling(groups: Any) -> GroupLoss:
    found = reinforce(groups)
    return GroupLoss(found.losses, found.advantages, (groups.logps - groups.reference_logps).sum(1))


def clipping(groups: Any) -> GroupLoss:
    found = reinforce(groups)
    return GroupLoss(found.losses, found.advantages, found.kl, found.kl[:2])


def rewriting(groups: Any) -> GroupLoss:
    groups.scores.sub_(groups.scores.mean())
    return reinforce(groups)


def test_an_objective_over_groups_is_accepted_with_and_without_a_reference():
    check_objective(OverGroups(thing=reinforce))
    check_objective(FreedOverGroups(thing=reinforce))
    check_objective(OverGroups(thing=leaning))


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (OverTrees(thing=hinge), "it says `over`: input should be 'pairs' or 'groups', not 'trees'"),
        (OverGroups(thing=lambda groups: reinforce(groups).losses), "returned Tensor; expected GroupLoss"),
        (OverGroups(thing=by_width), "losses must not change with the width of the tables"),
        (OverGroups(thing=pulling), "kl must carry no gradient"),
        (OverGroups(thing=clipping), r"clip_ratio has shape \(2,\); expected one value per sample"),
        (OverGroups(thing=rewriting), "must not change its input: scores"),
        (
            FreedOverGroups(thing=leaning),
            "says that it needs no reference .*, but its losses change with the reference",
        ),
        (Freed(thing=hinge), "says that it needs no reference .*, but its losses change with the reference"),
    ],
)
def test_an_objective_over_groups_or_without_reference_that_misbehaves_is_told_why(strategy: Any, rule: str):
    with breaks(rule):
        check_objective(strategy)


# Merges -------------------------------------------------------------------------------------------------------------


class Mean:
    needs_base = False

    def __init__(self, function: Any = None) -> None:
        self._function = function or (lambda tensors, weights, key: (tensors[0] + tensors[1]) / 2)

    def __call__(self, tensors: Any, weights: Any, base: Any, key: int) -> Any:
        return self._function(tensors, weights, key)


class Baseless(Mean):
    needs_base = None


def in_place(tensors: Any, weights: Any, key: int) -> Any:
    return tensors[0].add_(tensors[1]).div_(2)


def thrown(tensors: Any, weights: Any, key: int) -> Any:
    import torch

    return tensors[0] * torch.bernoulli(torch.full_like(tensors[0], 0.5))


class CheckpointMean:
    """Averages the tensors of two checkpoints; the cases below change one thing each."""

    def merge(self, job: Any) -> dict[str, Any]:
        from safetensors.torch import load_file, save_file

        one, two = (load_file(model.folder / "model.safetensors") for model in job.models)
        merged = {name: (values + two[name]) / 2 for name, values in one.items()}
        self.change(merged, job)
        save_file(merged, job.out / "model.safetensors", metadata={"format": "pt"})
        for name in ("config.json", "tokenizer.json"):
            shutil.copy(job.models[0].folder / name, job.out / name)
        return {"tensors": len(merged)}

    def change(self, merged: dict[str, Any], job: Any) -> None:
        pass


class MeanEngine:
    """Lifts any merge to the mean of checkpoints."""

    def merge(self, jobs: Any) -> list[dict[str, Any]]:
        return [CheckpointMean().merge(job) for _, job in jobs]


class Losing(CheckpointMean):
    def change(self, merged: dict[str, Any], job: Any) -> None:
        merged.pop("model.norm.weight")


class Vandal(CheckpointMean):
    def change(self, merged: dict[str, Any], job: Any) -> None:
        (job.models[1].folder / "config.json").write_text("{}")


class Dice(CheckpointMean):
    def change(self, merged: dict[str, Any], job: Any) -> None:
        merged["model.norm.weight"] *= random.random()


class Broken(CheckpointMean):
    def change(self, merged: dict[str, Any], job: Any) -> None:
        merged["model.norm.weight"] /= 0


def test_merges_of_tensors_and_of_checkpoints_are_accepted(tmp_path):
    check_merge(Made(thing=Mean()))
    check_merge(Made(thing=CheckpointMean()), tmp_path / "whole")
    check_merge(Made(thing=Mean()), tmp_path / "lifted", engine=MeanEngine())


@pytest.mark.parametrize(
    ("merge", "rule"),
    [
        (Baseless(), "must say `needs_base`"),
        (Mean(lambda tensors, weights, key: tensors[0].flatten()[:1]), "expected the same shape"),
        (Mean(lambda tensors, weights, key: tensors[0] / 0), "values that are not finite"),
        (Mean(in_place), "must not modify the tensors"),
        (Mean(thrown), "draw random numbers from a generator seeded by place.key"),
    ],
)
def test_a_merge_of_tensors_that_misbehaves_is_told_why(merge: Any, rule: str):
    with breaks(rule):
        check_merge(Made(thing=merge))


@pytest.mark.parametrize(
    ("merge", "rule"),
    [
        (Losing(), "tensor 'model.norm.weight' of the models is missing"),
        (Vandal(), "must not change the models it merges"),
        (Dice(), "same models and seed must give the same checkpoint"),
        (Broken(), "values that are not finite"),
    ],
)
def test_a_merge_of_checkpoints_that_misbehaves_is_told_why(merge: Any, rule: str, tmp_path):
    with breaks(rule):
        check_merge(Made(thing=merge), tmp_path)


def test_a_merge_of_checkpoints_needs_a_folder_to_be_checked_in():
    with breaks("pass one"):
        check_merge(Made(thing=CheckpointMean()))


# Trainers -----------------------------------------------------------------------------------------------------------


class Copying:
    """A trainer that learns nothing; the cases below change one thing each."""

    measures: ClassVar[dict[str, float]] = {"loss": 1.0}

    def train(self, job: Any) -> dict[str, float]:
        shutil.copytree(job.start, job.out, dirs_exist_ok=True)
        job.report(1, 2, {"loss": 1.0})
        self.change(job)
        return self.measures

    def change(self, job: Any) -> None:
        pass


class Diverging(Copying):
    measures: ClassVar[dict[str, float]] = {"loss": float("nan")}


class Unfinished(Copying):
    def change(self, job: Any) -> None:
        (job.out / "model.safetensors").unlink()


class Overwriting(Copying):
    def change(self, job: Any) -> None:
        (job.start / "config.json").write_text("{}")


class Overshooting(Copying):
    def change(self, job: Any) -> None:
        job.report(3, 2, {})


class Unseeded(Copying):
    def change(self, job: Any) -> None:
        with (job.out / "model.safetensors").open("ab") as file:
            file.write(str(next(CALLS)).encode())


class WithObjective(Made):
    """Build what the test gives, which needs an objective."""

    needs_objective = True
    reads = "preferences"


class OfVerdicts(Made):
    """Build what the test gives, which reads verdicts."""

    reads = "judged"


class OfGroups(Made):
    """Build what the test gives, which reads groups."""

    reads = "groups"


class Illiterate(Made):
    """Build what the test gives, which reads something unheard of."""

    reads = "minds"


def test_trainers_are_accepted_whatever_they_read(tmp_path):
    check_trainer(Made(thing=Copying()), tmp_path / "plain")
    check_trainer(OfVerdicts(thing=Copying()), tmp_path / "verdicts")
    check_trainer(OfGroups(thing=Copying()), tmp_path / "groups")
    check_trainer(WithObjective(thing=Copying()), tmp_path / "preferences", objective=hinge)


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (Made(thing=Diverging()), "final measure 'loss' is nan"),
        (Made(thing=Unfinished()), r"job.out has no \*.safetensors"),
        (Made(thing=Overwriting()), "must leave rows and start checkpoint as they are"),
        (Made(thing=Overshooting()), "reported step 3 of 2"),
        (Made(thing=Unseeded()), "same job must give the same weights"),
        (WithObjective(thing=Copying()), "needs an objective"),
        (Illiterate(thing=Copying()), "it says `reads`: input should be 'demonstrations', .* or 'any', not 'minds'"),
    ],
)
def test_a_trainer_that_misbehaves_is_told_why(strategy: Strategy[Any], rule: str, tmp_path):
    with breaks(rule):
        check_trainer(strategy, tmp_path)


# Evaluators ---------------------------------------------------------------------------------------------------------


class Scores(Made):
    """Build what the test gives, which scores models."""

    metrics = {"length": Metric("characters"), "nats": Metric("nats"), "m": Metric(), "share": SHARE}


class ScoresAnswers(Scores):
    """Build what the test gives, which scores answers."""

    needs_answers = True


class Against(ScoresAnswers):
    """Build what the test gives, which compares answers with a rival's."""

    against: str = Field("rival", description="The rival.")


class Evaluating:
    def __init__(self, function: Any, signature: Any = None) -> None:
        self.evaluate = function
        self.signature = lambda: {"version": "1"} if signature is None else signature


def lengths(evaluated: Any) -> Iterator[RowScore]:
    languages = {prompt.id: prompt.language for prompt in evaluated.prompts}
    for answer in evaluated.answers:
        yield RowScore(answer.prompt_id, languages[answer.prompt_id], "length", float(len(answer.text)))


def likelihoods(evaluated: Any) -> Iterator[RowScore]:
    pairs = [(row.prompt, row.completion) for row in sample_demonstrations()]
    for (prompt, _), found in zip(pairs, evaluated.log_likelihoods(pairs), strict=True):
        yield RowScore(prompt.id, prompt.language, "nats", found.nats, found.tokens)


def rivals(evaluated: Any) -> Iterator[RowScore]:
    for answer in evaluated.rival:
        yield RowScore(answer.prompt_id, "en", "length", float(len(answer.text)))


def one(**changes: Any) -> Any:
    score = {"prompt_id": "p", "language": "en", "metric": "m", "value": 1.0, **changes}
    return lambda evaluated: [RowScore(**score)]


def test_evaluators_of_answers_rivals_and_likelihoods_are_accepted():
    check_evaluator(ScoresAnswers(thing=Evaluating(lengths)))
    check_evaluator(Against(thing=Evaluating(rivals)))
    check_evaluator(Scores(thing=Evaluating(likelihoods)))


@pytest.mark.parametrize(
    ("strategy", "rule"),
    [
        (Scores(thing=Evaluating(lengths)), "scored nothing"),
        (ScoresAnswers(thing=Evaluating(rivals)), "scored nothing"),
        (Scores(thing=Evaluating(lambda evaluated: [1.0])), "yielded float; expected RowScore"),
        (Scores(thing=Evaluating(one(value=float("inf")))), "value of inf; must be finite"),
        (Scores(thing=Evaluating(one(weight=0.0))), "weight of 0.0; must be above 0"),
        (Scores(thing=Evaluating(one(metric=""))), "must name its metric, prompt and language"),
        (Scores(thing=Evaluating(lambda s: one(value=float(next(CALLS)))(s))), "same model must get the same scores"),
        (
            Scores(thing=Evaluating(one(metric="n"))),
            "the metric 'n', which it does not declare .declared: length, nats, m, share.",
        ),
        (
            Scores(thing=Evaluating(one(metric="share", value=1.5))),
            "1.5 for 'share', whose range it declares as 0 to 1",
        ),
        (Made(thing=Evaluating(one())), "`metrics` is empty"),
        (Scores(thing=Evaluating(one(), signature={})), "must name, as text, what moves the numbers"),
        (Scores(thing=Evaluating(one(), signature={"shots": 5})), "must name, as text, what moves the numbers"),
    ],
)
def test_an_evaluator_that_misbehaves_is_told_why(strategy: Strategy[Any], rule: str):
    with breaks(rule):
        check_evaluator(strategy)


# Tiny models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["cohere", "llama", "gemma2"])
def test_a_tiny_model_loads_and_reads_its_chat_template(tmp_path, family: str):
    import torch
    import transformers

    folder = tiny_causal_lm(tmp_path / family, family)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    prompt = sample_prompts()[0]
    text = tokenizer.apply_chat_template(prompt.messages, tokenize=False, add_generation_prompt=True)
    assert text == "<bos><|user|>How many legs has a spider?<eos><|assistant|>"
    tokens = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    assert tokenizer.unk_token_id not in tokens
    with torch.no_grad():
        assert torch.isfinite(model(tokens).logits).all()


def test_a_seed_gives_the_same_tiny_model_and_leaves_the_global_one_alone(tmp_path):
    import torch
    from safetensors.torch import load_file

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    folders = [tiny_causal_lm(tmp_path / str(n), seed=seed, logit_scale=0.5) for n, seed in enumerate((1, 1, 2))]
    assert torch.equal(torch.rand(3), expected)
    first, same, other = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(same[name], values) for name, values in first.items())
    assert not all(torch.equal(other[name], values) for name, values in first.items())
    assert json.loads((folders[0] / "config.json").read_text())["logit_scale"] == 0.5

"""The loop of a search, on toy objectives: no models, no files but the journal."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies as st

from aya_core.contract.errors import AyaError, DataError
from aya_core.contract.merge_parameters import MergeParameter
from aya_core.contract.merges import MergeStrategy
from aya_core.planning.registry import Registry
from aya_recipe.search.searching import TrialJournal, Tried, best_of, search
from aya_recipe.search.space import Space, space_of


def cma(space, seed=0, population=None):
    return Registry().manager.hook.aya_optimizer()(space.dimensions, population, seed)


def weights_of(count):
    return Space(tuple("abcdefgh"[:count]), {}, {})


@dataclass
class Toy:
    """Scores candidates by a function of weights and settings, and notes what it is asked to do."""

    function: object
    prepared: list = field(default_factory=list)
    scored: list = field(default_factory=list)
    there: set = field(default_factory=set)

    def prepare(self, batch, best):
        self.there &= {best.number} if best else set()
        self.there |= {candidate.number for candidate in batch}
        self.prepared.append(list(batch))

    def score(self, candidate):
        assert candidate.number in self.there
        self.scored.append(candidate)
        score = self.function(candidate.weights, candidate.settings)
        return Tried(candidate, score, 0.1, 7) if math.isfinite(score) else Tried(candidate, None, failed="not finite")

    def stands(self, tried):
        return True

    def discard(self, candidate):
        self.there.remove(candidate.number)


def bowl(*target):
    """A convex function of weights, smallest at the target."""
    return lambda weights, settings: sum((w - t) ** 2 for w, t in zip(weights.values(), target, strict=True))


def run(tmp_path, toy, space, *, budget=32, goal="min", seed=0, population=None, optimizer=None):
    journal = TrialJournal(tmp_path / "journal.jsonl")
    optimizer = optimizer or cma(space, seed, population)
    return search(optimizer, space, toy, journal, budget=budget, goal=goal)


class Fixed:
    """An optimizer that asks for given points, and keeps what it is told."""

    def __init__(self, *generations):
        self.generations = list(generations)
        self.output = []

    def ask(self):
        return self.generations[len(self.output)]

    def tell(self, points, losses):
        self.output.append((points, losses))


@pytest.mark.parametrize("target", [(1.6, 0.4), (0.3, 1.2, 1.5), (0.2, 0.4, 1.1, 1.3, 2.0)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_a_convex_function_the_best_is_much_nearer_than_uniform(target, seed, tmp_path):
    toy = Toy(bowl(*target))
    tried = run(tmp_path, toy, weights_of(len(target)), seed=seed)
    assert best_of(tried, "min").score < 0.5 * tried[0].score
    more = tmp_path / "more"
    more.mkdir()
    long = run(more, Toy(bowl(*target)), weights_of(len(target)), seed=seed, budget=200)
    assert best_of(long, "min").score < 0.02 * tried[0].score


def test_maximizing_is_minimizing_the_opposite(tmp_path):
    function = bowl(0.5, 1.5)
    down = run(tmp_path, Toy(function), weights_of(2))
    up_folder = tmp_path / "up"
    up_folder.mkdir()
    up = run(up_folder, Toy(lambda w, s: -function(w, s)), weights_of(2), goal="max")
    assert [one.candidate for one in up] == [one.candidate for one in down]
    assert best_of(up, "max").candidate == best_of(down, "min").candidate


def test_a_setting_is_searched_beside_the_weights(tmp_path):
    space = Space(("a", "b"), {"density": (0.1, 1.0)}, {"density": 1.0})
    tried = run(tmp_path, Toy(lambda w, s: (w["a"] - 1.3) ** 2 + (s["density"] - 0.4) ** 2), space, budget=60)
    best = best_of(tried, "min")
    assert tried[0].candidate.settings == {"density": 1.0}
    assert best.candidate.settings["density"] == pytest.approx(0.4, abs=0.15)
    assert best.score < 0.1 * tried[0].score


@pytest.mark.parametrize("budget", [2, 6, 7, 8, 13, 14])
def test_the_budget_is_spent_exactly_and_uniform_goes_first(budget, tmp_path):
    toy = Toy(bowl(0.5, 1.5))
    tried = run(tmp_path, toy, weights_of(2), budget=budget)
    assert [one.candidate.number for one in tried] == list(range(budget))
    assert len(toy.scored) == budget == sum(map(len, toy.prepared))
    assert tried[0].candidate.weights == {"a": 1.0, "b": 1.0}
    assert tried[0].candidate.generation == 0
    assert {one.candidate.generation for one in tried[1:7]} <= {1}


@pytest.mark.parametrize("lines", range(16))
def test_a_search_played_again_after_any_kill_tries_the_same_and_scores_nothing_twice(lines, tmp_path):
    first = Toy(bowl(0.4, 1.1, 1.5))
    whole = run(tmp_path, first, weights_of(3), budget=15, seed=5)
    journal = tmp_path / "journal.jsonl"
    written = journal.read_bytes().splitlines(keepends=True)
    cut = b"".join(written[:lines]) + (written[lines][:20] if lines < 15 else b"")
    journal.write_bytes(cut)
    best = best_of(whole[:lines], "min").candidate.number if lines else None
    again = Toy(first.function, there=set() if best is None else {best})
    assert run(tmp_path, again, weights_of(3), budget=15, seed=5) == whole
    assert [candidate.number for candidate in again.scored] == list(range(lines, 15))
    assert journal.read_bytes() == b"".join(written)
    assert again.there == {best_of(whole, "min").candidate.number}


def test_what_a_journal_says_of_another_candidate_does_not_count(tmp_path):
    run(tmp_path, Toy(bowl(0.5, 1.5)), weights_of(2), seed=1, budget=7)
    toy = Toy(bowl(0.5, 1.5), there={0})
    run(tmp_path, toy, weights_of(2), seed=2, budget=7)
    assert len(toy.scored) == 6  # all but the uniform one


def test_of_the_checkpoints_only_the_best_is_kept(tmp_path):
    toy = Toy(bowl(0.5, 1.5))
    tried = run(tmp_path, toy, weights_of(2), budget=20)
    assert toy.there == {best_of(tried, "min").candidate.number}


def test_of_equals_the_earliest_is_best_and_so_uniform_before_all(tmp_path):
    toy = Toy(lambda weights, settings: 3.0)
    assert best_of(run(tmp_path, toy, weights_of(3), budget=20), "max").candidate.number == 0
    assert toy.there == {0}


def test_a_candidate_that_fails_counts_as_worse_than_the_worst_and_is_named(tmp_path):
    optimizer = Fixed([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], [[0.0, 0.0]] * 3)
    function = bowl(0.5, 1.5)
    toy = Toy(lambda w, s: math.nan if w["b"] > 1.2 else function(w, s))
    tried = run(tmp_path, toy, weights_of(2), budget=5, optimizer=optimizer)
    assert [one.failed for one in tried] == [None, None, "not finite", None, None]
    assert tried[2].score is None
    (points, losses), *rest = optimizer.output
    assert len(points) == len(losses) == 3
    assert not rest  # the second generation was cut, and of a part nothing is told
    assert losses[1] > max(losses[0], losses[2])
    assert all(map(math.isfinite, losses))


def test_a_whole_generation_may_fail(tmp_path):
    toy = Toy(lambda w, s: 1.0 if w["a"] == 1.0 else math.inf)
    tried = run(tmp_path, toy, weights_of(2), budget=30)
    assert best_of(tried, "min").candidate.number == 0
    assert sum(one.failed is not None for one in tried) == 29


def test_without_a_score_of_the_uniform_merge_there_is_no_search(tmp_path):
    with pytest.raises(DataError, match="uniform weights, which the search starts from, has no score: not finite"):
        run(tmp_path, Toy(lambda w, s: math.nan), weights_of(2))
    assert len(run(tmp_path, Toy(bowl(0.5, 1.5)), weights_of(2), budget=3)) == 3  # nothing of it was written down


@given(st.lists(st.floats(-60, 60), min_size=2, max_size=6))
def test_weights_are_positive_one_in_the_mean_and_go_with_their_model(point):
    space = weights_of(len(point))
    weights, settings = space.at(point)
    assert settings == {}
    assert all(weight >= 0 for weight in weights.values())
    assert sum(weights.values()) == pytest.approx(len(point), abs=1e-5)
    turned, _ = space.at(point[::-1])
    assert list(turned.values()) == pytest.approx(list(weights.values())[::-1], abs=2e-6)


@given(st.floats(-100, 100), st.floats(0, 1))
def test_a_setting_stays_between_its_bounds_and_starts_as_written(value, share):
    low, high = 0.1, 0.7
    start = min(low + share * (high - low), high)
    space = Space((), {"t": (low, high)}, {"t": start})
    assert low <= space.at([value])[1]["t"] <= high
    assert space.at([0.0])[1]["t"] == pytest.approx(start, rel=1e-5)


def test_both_bounds_of_a_setting_can_be_reached():
    space = Space((), {"t": (0.1, 0.7)}, {"t": 0.4})
    assert space.at([2.0])[1]["t"] == 0.7
    assert space.at([-2.0])[1]["t"] == 0.1


class Merge(MergeStrategy):
    """A merge with settings of several sorts."""

    density: MergeParameter = MergeParameter(0.5)
    t: float | None = None
    name: str = "x"

    def build(self):
        return self


def test_a_search_starts_from_the_settings_of_the_merge():
    over = {"weights": None, "density": (0.1, 1.0), "t": (0.0, 0.5)}
    space = space_of(Merge(), ["a", "b"], over)
    assert space.at([0.0] * 4) == ({"a": 1.0, "b": 1.0}, {"density": 0.5, "t": 0.25})
    assert space_of(Merge(), ["a", "b"], {"t": (0.0, 1.0)}).models == ()


@pytest.mark.parametrize(
    ("merge", "over", "message"),
    [
        (Merge(density=MergeParameter([0.1, 0.9])), {"density": (0.0, 1.0)}, "`density` of the merge is"),
        (Merge(), {"name": (0.0, 1.0)}, "a search moves single numbers"),
        (Merge(density=MergeParameter(0.05)), {"density": (0.1, 1.0)}, "`density` is 0.05; that is outside 0.1 to 1"),
    ],
)
def test_settings_that_cannot_be_searched_are_refused(merge, over, message):
    with pytest.raises(AyaError, match=message):
        space_of(merge, ["a", "b"], over)

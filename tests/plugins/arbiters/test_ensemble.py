"""Laws of the ensemble: gates before scores, one scorer is itself, nothing depends on places, no part of a sum."""

from typing import ClassVar

import pytest
from hypothesis import given, settings, strategies as st

from aya_core.api import ArbiterStrategy, CalibratedArbiter, Case, Completion, Field, Verdict, user_prompt
from aya_core.contract.explain import SettingsError
from aya_core.planning.registry import Registry
from aya_plugins.arbiters.consensus import Consensus
from aya_plugins.arbiters.ensemble import Ensemble
from aya_plugins.arbiters.verifier import Verifier


class Counts(ArbiterStrategy):
    """Scores by how often a letter occurs; has no opinion on answers with a `?`, breaks on those with a `!`."""

    pointwise = True

    letter: str = Field("a", description="What is counted.")

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            yield [self._verdict(candidate.text) for candidate in case.candidates]

    def _verdict(self, text):
        if "?" in text:
            return Verdict.abstain("cannot tell", {"asked": 1.0})
        if "!" in text:
            return Verdict.fail("too loud")
        return Verdict(float(text.count(self.letter)), details={"asked": 0.0})


class Short(Counts):
    """Passes answers of few letters."""

    most: int = Field(4, description="Letters.")

    def _verdict(self, text):
        return Verdict(float(len(text))) if len(text) <= self.most else Verdict.abstain(f"{len(text)} letters")


class Rank(Counts):
    """Compares: scores by how many of the other candidates are shorter. Keeps what it was asked."""

    pointwise = False
    asked: ClassVar[list] = []

    def judge(self, cases):
        self.asked.append([[candidate.text for candidate in case.candidates] for case in cases])
        for case in cases:
            texts = [candidate.text for candidate in case.candidates]
            if len(texts) == 1:
                yield [Verdict.abstain("nothing to compare with")]
            else:
                yield [Verdict(float(sum(len(other) < len(text) for other in texts))) for text in texts]


class Sampled(Counts):
    """Needs a sample; keeps the one it got."""

    samples: ClassVar[list] = []

    def build(self):
        return _Sampled(self)


class _Sampled:
    def __init__(self, settings):
        self.judge, self.samples = settings.judge, settings.samples

    def calibrate(self, cases):
        self.samples.append([[candidate.text for candidate in case.candidates] for case in cases])


def case(*texts, id="p", language="en"):
    prompt = user_prompt(id, language, "?")
    return Case(prompt, tuple(Completion(id, "t", n, text) for n, text in enumerate(texts)))


def judge(ensemble, *texts):
    arbiter = ensemble.build()
    if isinstance(arbiter, CalibratedArbiter):
        arbiter.calibrate([case("a", "aaa")])
    [verdicts] = arbiter.judge([case(*texts)])
    return verdicts


def scores(verdicts):
    return [verdict.score for verdict in verdicts]


answers = st.lists(st.text("ab?!", max_size=6), min_size=1, max_size=5)
ensembles = st.builds(
    Ensemble,
    gates=st.sampled_from([{}, {"short": Short()}]),
    scores=st.just({"a": Counts(), "b": Counts(letter="b"), "rank": Rank()}),
    combine=st.sampled_from(["weighted", "lexicographic"]),
)


@given(answers, st.sampled_from([Counts(), Consensus(), Rank(), Verifier()]))
def test_one_scorer_without_gates_is_that_scorer(texts, scorer):
    [alone] = scorer.build().judge([case(*texts)])
    together = judge(Ensemble(scores={"only": scorer}), *texts)
    assert [(v.score, v.status) for v in together] == [(v.score, v.status) for v in alone]
    assert all(
        ours.reason == f"only: {theirs.reason}" for ours, theirs in zip(together, alone, strict=True) if theirs.reason
    )


@settings(deadline=None)
@given(ensembles, answers.flatmap(lambda texts: st.tuples(st.just(texts), st.permutations(range(len(texts))))))
def test_verdicts_follow_their_candidates_when_these_change_places(ensemble, drawn):
    texts, places = drawn
    verdicts = judge(ensemble, *texts)
    moved = judge(ensemble, *(texts[place] for place in places))
    assert [v.status for v in moved] == [verdicts[place].status for place in places]
    assert scores(moved) == pytest.approx([verdicts[place].score for place in places])


@given(ensembles, answers)
def test_nobody_passes_a_gate_that_stops_all(ensemble, texts):
    closed = Ensemble(gates={"none": Short(most=-1)}, scores=ensemble.scores, combine=ensemble.combine)
    assert judge(closed, *texts) == [Verdict.abstain(f"none: {len(text)} letters") for text in texts]


@given(answers)
def test_a_gate_that_all_pass_changes_no_score(texts):
    members = {"a": Counts(), "rank": Rank()}
    gated = Ensemble(gates={"short": Short(most=99)}, scores=members)
    assert scores(judge(gated, *texts)) == scores(judge(Ensemble(scores=members), *texts))


def test_scorers_see_only_what_passed_and_each_is_asked_once_for_all_cases():
    Rank.asked.clear()
    arbiter = Ensemble(gates={"short": Short(), "loud": Counts()}, scores={"rank": Rank()}).build()
    cases = [case("a", "aaaaaa", "a!", "aaa", id="1"), case("aaaaaaa", id="2"), case("ab", "b", id="3")]
    first, second, third = arbiter.judge(cases)
    assert Rank.asked == [[["a", "aaa"], ["ab", "b"]]]
    assert scores(first) == [0, None, None, 1]
    assert [v.reason for v in first] == ["", "short: 6 letters", "loud: too loud", ""]
    assert [v.status for v in first] == ["scored", "abstained", "failed", "scored"]
    assert [v.reason for v in second] == ["short: 7 letters"]
    assert scores(third) == [1, 0]


def test_a_wrong_answer_that_is_gated_does_not_move_the_consensus():
    right = ["the cat sat", "the cat sits", "a cat sat"]
    plain = Ensemble(scores={"agreement": Consensus()})
    gated = Ensemble(gates={"short": Short(most=20)}, scores={"agreement": Consensus()})
    among = judge(gated, *right, "eine ganz andere Antwort")
    assert scores(among) == [*scores(judge(plain, *right)), None]


def test_weights_multiply_and_what_has_no_weight_has_1():
    members = {"a": Counts(), "b": Counts(letter="b")}
    assert scores(judge(Ensemble(scores=members, weights={"b": -0.5}), "aab", "bb")) == [1.5, -1.0]


def test_a_part_of_a_sum_is_no_score():
    members = {"a": Counts(), "rank": Rank()}
    verdicts = judge(Ensemble(scores=members), "aa", "a?", "a!")
    assert [(v.score, v.status, v.reason) for v in verdicts] == [
        (2, "scored", ""), (None, "abstained", "a: cannot tell"), (None, "failed", "a: too loud"),
    ]  # fmt: skip


def test_details_hold_what_every_member_said_under_its_name():
    members = {"a": Counts(), "rank": Rank()}
    ensemble = Ensemble(gates={"short": Short(), "b": Counts(letter="b")}, scores=members)
    stopped, asking, passed, other = judge(ensemble, "aaaaaa", "a?", "ab", "b")
    assert stopped.details == {}
    assert asking.details == {"short": 2, "b/asked": 1}
    assert passed.details == {"short": 2, "b": 1, "b/asked": 0, "a": 1, "a/asked": 0, "rank": 1}
    inner = Ensemble(scores={"inner": ensemble})
    [*_, again, _] = judge(inner, "aaaaaa", "a?", "ab", "b")
    assert again.details == {"inner": 2, **{f"inner/{name}": value for name, value in passed.details.items()}}
    assert other.details["rank"] == 0


def test_an_order_is_by_the_first_score_and_ties_by_the_next():
    members = {"a": Counts(), "b": Counts(letter="b")}
    texts = ["ab", "abb", "bbb", "aab", "ba"]
    ordered = Ensemble(scores=members, combine="lexicographic")
    # aab beats four; abb three; ab and ba are tied and beat one; bbb beats none.
    assert scores(judge(ordered, *texts)) == [1.5 / 4, 3 / 4, 0, 1, 1.5 / 4]
    turned = Ensemble(scores=members, combine="lexicographic", order=("b", "a"))
    assert scores(judge(turned, *texts)) == [0.5 / 4, 3 / 4, 1, 2 / 4, 0.5 / 4]


@given(st.lists(st.text("ab", max_size=6), min_size=1, max_size=5))
def test_the_mean_share_of_beaten_candidates_is_a_half(texts):
    ordered = Ensemble(scores={"a": Counts(), "rank": Rank()}, combine="lexicographic")
    assert sum(scores(judge(ordered, *texts))) == pytest.approx(len(texts) / 2)


def test_scores_that_differ_by_rounding_are_tied():
    class Noisy(Counts):
        """Like a model in another batch."""

        def _verdict(self, text):
            return Verdict(1000 + 1e-3 * len(text))

    ordered = Ensemble(scores={"noisy": Noisy(), "a": Counts()}, combine="lexicographic")
    assert scores(judge(ordered, "ba", "abb")) == [0.5, 0.5]
    assert scores(judge(ordered, "b", "ab")) == [0, 1]


def test_who_cannot_compare_a_lone_candidate_counts_as_the_mean_where_there_is_one():
    members = {"a": Counts(), "rank": Rank()}
    settings = {"gates": {"short": Short()}, "scores": members}
    kept, _ = judge(Ensemble(**settings), "aa", "aaaaaaaaa")
    assert (kept.status, kept.reason) == ("abstained", "rank: nothing to compare with")
    kept, _ = judge(Ensemble(**settings, combine="lexicographic"), "aa", "aaaaaaaaa")
    assert kept.score == 0.5
    arbiter = Ensemble(**settings, normalize="language").build()
    arbiter.calibrate([case("a", "aaa")])  # a: mean 2, deviation 1; rank: mean 0.5, deviation 0.5
    [[kept, _], pair] = arbiter.judge([case("aaa", "aaaaaaaaa"), case("a", "aaa")])
    assert (kept.score, kept.details["a"], kept.details["a/raw"]) == (1, 1, 3)
    assert scores(pair) == [-2, 2]
    [[unsure]] = arbiter.judge([case("a?")])  # `a` judges by itself, so its abstention stands
    assert unsure.reason == "a: cannot tell"


def test_who_alone_would_have_scored_and_cannot_leaves_an_abstention():
    ordered = Ensemble(scores={"rank": Rank(), "agreement": Consensus()}, combine="lexicographic")
    assert judge(ordered, "a")[0].reason == "rank: nothing to compare with"


@pytest.mark.parametrize("combine", ["weighted", "lexicographic"])
def test_the_one_answer_that_passes_the_gates_can_win_without_a_comparison(combine):
    settings = {
        "gates": {"short": Short()},
        "scores": {"a": Counts(), "rank": Rank()},
        "combine": combine,
        "alone": "wins",
    }
    arbiter = Ensemble(**settings).build()
    Rank.asked.clear()
    [[kept, gated], pair] = arbiter.judge([case("aa", "aaaaaaaaa"), case("a", "aaa")])
    assert (kept.status, gated.status) == ("scored", "abstained")
    assert kept.score == (0.5 if combine == "lexicographic" else 2)
    assert [verdict.details["won_alone"] for verdict in (kept, gated, *pair)] == [1, 0, 0, 0]
    assert Rank.asked == [[["a", "aaa"]]]  # it is not asked about who is alone
    assert scores(pair) == scores(judge(Ensemble(**settings | {"alone": "abstains"}), "a", "aaa"))


def test_who_is_alone_wins_even_where_no_scorer_judges_by_itself_and_loses_where_one_refuses():
    only_compared = Ensemble(gates={"short": Short()}, scores={"agreement": Consensus()}, alone="wins")
    assert scores(judge(only_compared, "aa", "aaaaaaaaa", "aaaaaaaab")) == [0, None, None]
    refused = Ensemble(gates={"short": Short()}, scores={"a": Counts(), "rank": Rank()}, alone="wins")
    kept, _ = judge(refused, "a?", "aaaaaaaaa")
    assert (kept.status, kept.reason, kept.details["won_alone"]) == ("abstained", "a: cannot tell", 0)
    [nobody] = judge(refused, "aaaaaaaaa")
    assert nobody.status == "abstained"


def test_nothing_is_counted_where_every_scorer_judges_by_itself():
    [kept] = judge(Ensemble(gates={"short": Short()}, scores={"a": Counts()}, alone="wins"), "aa")
    assert (kept.score, "won_alone" in kept.details) == (2, False)


def test_members_that_need_a_sample_get_what_passes_the_gates_before_them():
    Sampled.samples.clear()
    inner = Ensemble(scores={"sampled": Sampled(letter="b")}, normalize="language")
    ensemble = Ensemble(gates={"loud": Counts(), "sampled-gate": Sampled(), "short": Short()}, scores={"inner": inner})
    arbiter = ensemble.build()
    assert isinstance(arbiter, CalibratedArbiter)
    arbiter.calibrate([case("a!", "b", "aaaaaaaa"), case("!", id="q"), case("bb", id="r")])
    assert Sampled.samples == [[["b", "aaaaaaaa"], ["bb"]], [["b"], ["bb"]]]
    [verdicts] = arbiter.judge([case("b", "bb", "bbb")])
    assert scores(verdicts) == [-1, 1, 3]
    assert not isinstance(Ensemble(scores={"a": Counts()}).build(), CalibratedArbiter)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scores": {}}, r"`scores` is empty: gates only say which answers may compete"),
        ({}, r"'scores' is missing; arbiters whose scores are combined, by name"),
        ({"scores": {"a": {"use": "consensus"}}, "weights": {"b": 1}}, r"weights: no score named 'b'"),
        ({"scores": {"a": {"use": "consensus"}}, "weights": {"a": float("nan")}}, r"'a' has weight nan; expected a finite"),
        ({"scores": {"a": {"use": "consensus"}}, "gates": {"a": {"use": "verifier"}}}, r"'a' is both a gate and a score"),
        ({"scores": {"a/b": {"use": "consensus"}}}, r"scores: 'a/b' cannot name a member"),
        ({"scores": {"a": {"use": "consensus", "beta": -1}}}, r"scores\.a\.beta: input should be greater than 0; got -1"),
        ({"scores": {"a": {"use": "concensus"}}}, r"scores\.a: no arbiter named 'concensus'; did you mean 'consensus'"),
        ({"scores": {"a": {"use": "consensus"}}, "order": ["b"]}, r"order: expected each of a once"),
        (
            {"scores": {"a": {"use": "consensus"}}, "combine": "lexicographic", "normalize": "language"},
            r"`normalize` changes nothing where `combine: lexicographic` compares",
        ),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        Registry().validate("arbiter", {"use": "ensemble", **settings})


def test_what_is_written_down_keeps_the_order_of_the_members():
    registry = Registry()
    members = {"b": {"use": "verifier"}, "a": {"use": "consensus"}}
    spec = {"use": "ensemble", "scores": members, "combine": "lexicographic"}
    dumped = registry.dump("arbiter", registry.validate("arbiter", spec))
    assert dumped["order"] == ["b", "a"]
    assert registry.dump("arbiter", registry.validate("arbiter", dumped)) == dumped


def test_an_ensemble_judges_answers_by_themselves_if_all_its_members_do():
    assert Ensemble(gates={"short": Short()}, scores={"a": Counts()}).pointwise
    assert not Ensemble(scores={"a": Counts(), "rank": Rank()}).pointwise
    assert not Ensemble(gates={"rank": Rank()}, scores={"a": Counts()}).pointwise
    assert not Ensemble(scores={"a": Counts()}, combine="lexicographic").pointwise

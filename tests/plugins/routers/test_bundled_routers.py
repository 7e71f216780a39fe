"""Laws of the routers: a route depends on its prompt alone, and the best teacher is really best."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from aya_core.api import AyaError, Completion, DataError, Judged, Pool, Prompt, Router, Verdict, user_prompt
from aya_core.contract.artifacts import write_rows
from aya_plugins.routers.all_teachers import AllTeachers
from aya_plugins.routers.fixed import Fixed
from aya_plugins.routers.random_teachers import RandomTeachers
from aya_plugins.routers.single import Single
from aya_plugins.routers.standing import best_teacher

TEACHERS = ("ana", "bo", "cem")
PROMPTS = [user_prompt(f"p{n}", ("en", "tr")[n % 2], "?") for n in range(400)]


def judged(prompt: str, teacher: str, score: float | None, index: int = 0) -> Judged:
    verdict = Verdict.fail("no") if score is None else Verdict(score)
    return Judged(Completion(prompt, teacher, index, "!"), verdict)


def route(router: Router, prompts: list[Prompt] = PROMPTS, teachers: tuple[str, ...] = TEACHERS, seed: int = 0) -> Any:
    return [tuple(names) for names in router.route(prompts, Pool(dict.fromkeys(teachers)), seed)]


def test_all_sends_every_prompt_to_every_teacher():
    assert route(AllTeachers().build()) == [TEACHERS] * len(PROMPTS)


def test_single_sends_every_prompt_to_the_teacher_named():
    assert route(Single(teacher="bo").build()) == [("bo",)] * len(PROMPTS)


def test_a_teacher_that_is_not_in_the_pool_is_an_error_with_the_nearest_name():
    for strategy in (Single(teacher="cam"), Fixed(default="cam")):
        with pytest.raises(AyaError, match="no teacher named 'cam' in this stage; did you mean 'cem'"):
            route(strategy.build())


def test_single_needs_exactly_one_way_to_choose():
    for settings in ({}, {"teacher": "bo", "verdicts": "pilot.verdicts"}):
        with pytest.raises(ValidationError, match="either a teacher or verdicts"):
            Single(**settings)


def test_single_takes_the_teacher_with_the_best_verdicts(tmp_path: Path):
    scores = {"ana": 1.0, "bo": 3.0, "cem": 2.0}
    write_rows(tmp_path, Judged, [judged("p0", name, score) for name, score in scores.items()])
    assert set(route(Single(verdicts=str(tmp_path)).build())) == {("bo",)}


def test_the_best_teacher_is_best_where_all_were_scored():
    # Alone on an easy prompt, bo scores 100; where all answered, means are ana 2, bo 1, cem (0 + 2) / 2 = 1.
    rows = [
        judged("shared", "ana", 2),
        judged("shared", "bo", 1),
        judged("shared", "cem", 0),
        judged("shared", "cem", 2, index=1),
        judged("easy", "bo", 100),
        judged("failed", "ana", None),
        judged("failed", "bo", 100),
        judged("failed", "cem", 100),
    ]
    assert best_teacher(rows, TEACHERS) == "ana"
    assert best_teacher(rows, ("bo", "cem")) == "bo"


def test_verdicts_that_compare_nothing_are_an_error():
    with pytest.raises(DataError, match="score no prompt for each of the teachers ana, bo"):
        best_teacher([judged("p0", "ana", 1), judged("p1", "bo", 1)], ("ana", "bo"))


def test_random_draws_each_teacher_about_equally_often():
    drawn = Counter(names[0] for names in route(RandomTeachers().build()))
    assert set(drawn) == set(TEACHERS)
    assert min(drawn.values()) > 100  # of 400; the expected 133 less 3.5 standard deviations


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_random_route_depends_on_seed_and_prompt_alone(k: int):
    router = RandomTeachers(k=k).build()
    whole = route(router)
    assert [route(router, [prompt])[0] for prompt in PROMPTS] == whole
    assert route(router, teachers=TEACHERS[::-1]) == whole
    assert all(len(set(names)) == k for names in whole)
    assert k == 3 or route(router, seed=1) != whole


def test_a_teacher_that_joins_moves_prompts_to_itself_alone():
    router = RandomTeachers().build()
    before, after = route(router), route(router, teachers=(*TEACHERS, "dee"))
    assert all(now in (then, ("dee",)) for then, now in zip(before, after, strict=True))


def test_more_random_teachers_than_there_are_is_an_error():
    with pytest.raises(AyaError, match="k is 4, but there are 3 teachers"):
        route(RandomTeachers(k=4).build())


def test_fixed_sends_each_language_to_its_teacher_and_others_to_the_default():
    router = Fixed(teachers={"tr": "cem"}, default="ana").build()
    assert route(router)[:4] == [("ana",), ("cem",), ("ana",), ("cem",)]


def test_fixed_learns_the_best_teacher_of_each_language_and_names_come_first(tmp_path: Path):
    verdicts, prompts = tmp_path / "verdicts", tmp_path / "prompts"
    verdicts.mkdir()
    prompts.mkdir()
    best = {"en": "ana", "tr": "bo"}
    rows = [judged(p.id, name, float(name == best[p.language])) for p in PROMPTS[:10] for name in TEACHERS]
    write_rows(verdicts, Judged, rows)
    write_rows(prompts, Prompt, PROMPTS[:10])
    learned = Fixed(verdicts=str(verdicts), prompts=str(prompts)).build()
    assert route(learned) == [(best[prompt.language],) for prompt in PROMPTS]
    output = Fixed(teachers={"tr": "cem"}, verdicts=str(verdicts), prompts=str(prompts)).build()
    assert route(output)[:2] == [("ana",), ("cem",)]


def test_a_language_without_a_teacher_is_an_error():
    with pytest.raises(AyaError, match="no teacher for 'tr' and no default"):
        route(Fixed(teachers={"en": "ana"}).build())


@pytest.mark.parametrize("settings", [{}, {"verdicts": "x"}, {"default": "ana", "prompts": "x"}])
def test_fixed_must_say_how_it_chooses(settings: dict[str, str]):
    with pytest.raises(ValidationError):
        Fixed(**settings)

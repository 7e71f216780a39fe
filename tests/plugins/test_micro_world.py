"""Laws of the micro-world: what is held out stays out, a seed repeats its rows, the score ranks answers."""

from itertools import combinations, permutations

import pytest

from aya_plugins.datasets.micro_world import Example, examples, score, share_in, vocabulary
from aya_plugins.datasets.micro_world.lexicon import DIGITS, LEXICONS
from aya_plugins.datasets.micro_world.world import HASH_CLASSES, TASKS

LANGUAGES = tuple(LEXICONS)
TRAINING = ("teach", "reward", "arbitrage", "online")


def rows(
    split: str,
    *,
    per_language: int = 100,
    languages: tuple[str, ...] = LANGUAGES,
    seed: int = 0,
    corrupt: float = 0.0,
) -> list[Example]:
    return list(examples(split, per_language=per_language, languages=languages, seed=seed, corrupt=corrupt))


def problem(example: Example) -> tuple[str, ...]:
    """The task and its concepts, the same for all languages."""
    places = {word: str(place) for place, word in enumerate(LEXICONS[example.language].concepts)}
    places |= {digit: str(place) for place, digit in enumerate(DIGITS)}
    return (example.task, *[places[word] for word in example.prompt.split()[1:]])


def test_every_language_has_24_concepts_and_all_of_them_differ():
    assert len(LEXICONS) == 23
    assert all(len(set(lexicon.concepts)) == len(lexicon.concepts) == 24 for lexicon in LEXICONS.values())


def test_no_two_languages_share_an_instruction_and_none_is_a_concept():
    instructions = [word for _, *words in LEXICONS.values() for word in words]
    concepts = {word for lexicon in LEXICONS.values() for word in lexicon.concepts}
    assert len(set(instructions)) == len(LEXICONS) * len(TASKS)
    assert concepts.isdisjoint(instructions)


def test_the_vocabulary_holds_every_word_once_and_no_word_holds_a_space():
    words = vocabulary()
    assert len(set(words)) == len(words)
    assert all(word.split() == [word] for word in words)
    seen = {word for example in rows("teach") for word in f"{example.prompt} {example.answer}".split()}
    assert seen <= set(words)


@pytest.mark.parametrize("split", TRAINING)
@pytest.mark.parametrize("kept_out", ["dev", "heldout"])
def test_no_training_split_holds_a_kept_out_problem_in_any_language(split: str, kept_out: str):
    kept_out_problems = {problem(example) for seed in (0, 1) for example in rows(kept_out, seed=seed)}
    assert kept_out_problems.isdisjoint(problem(example) for example in rows(split, per_language=500))


def test_tuning_and_held_out_problems_differ():
    assert {problem(row) for row in rows("dev")}.isdisjoint(problem(row) for row in rows("heldout"))


@pytest.mark.parametrize("split", HASH_CLASSES)
def test_no_language_meets_a_prompt_twice_and_ids_are_unique(split: str):
    drawn = rows(split, per_language=300)
    assert len({(row.language, row.prompt) for row in drawn}) == len({row.id for row in drawn}) == len(drawn)


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others():
    assert rows("teach", corrupt=0.3) == rows("teach", corrupt=0.3)
    assert {row.prompt for row in rows("teach", seed=1)} != {row.prompt for row in rows("teach")}


def test_rows_do_not_depend_on_how_many_are_asked_for_nor_on_the_other_languages():
    alone = rows("online", per_language=20, languages=("ko",))
    among = [row for row in rows("online", per_language=2000, languages=("vi", "ko", "en")) if row.language == "ko"]
    assert among[:20] == alone


def test_each_language_gets_the_number_of_rows_asked_for():
    drawn = rows("heldout", per_language=7)
    assert [row.language for row in drawn] == [language for language in LANGUAGES for _ in range(7)]


def test_each_answer_is_the_one_that_its_task_defines():
    places = dict(zip(LEXICONS["en"].concepts, range(24), strict=True))
    following = {"twelve": "one", "Sunday": "Monday", "purple": "red"}
    for example in rows("teach", per_language=500, languages=("en",)):
        words = example.prompt.split()[1:]
        expected = {
            "write": lambda words: [LEXICONS["en"].concepts[int(word) - 1] for word in words],
            "reverse": lambda words: words[::-1],
            "sort": lambda words: sorted(words, key=places.__getitem__),
            "next": lambda words: [following.get(word) or LEXICONS["en"].concepts[places[word] + 1] for word in words],
            "largest": lambda words: [max(words, key=places.__getitem__)],
        }[example.task](words)
        assert example.answer.split() == expected


def test_a_reversed_answer_is_a_permutation_of_its_prompt_and_so_is_a_sorted_one():
    for example in rows("teach"):
        if example.task in ("reverse", "sort"):
            assert sorted(example.answer.split()) == sorted(example.prompt.split()[1:])


def test_corruption_leaves_prompts_alone_and_answers_about_that_share_in_another_language():
    clean, confused = rows("teach"), rows("teach", corrupt=0.4)
    assert [row.prompt for row in clean] == [row.prompt for row in confused]
    changed = sum(bad.answer != good.answer for bad, good in zip(confused, clean, strict=True))
    assert changed / len(clean) == pytest.approx(0.4, abs=0.04)


def test_a_corrupt_answer_says_the_right_thing_in_some_language():
    for confused, clean in zip(rows("dev", corrupt=1.0), rows("dev"), strict=True):
        places = [LEXICONS[clean.language].concepts.index(word) for word in clean.answer.split()]
        tongues = [lexicon.concepts for language, lexicon in LEXICONS.items() if language != clean.language]
        assert confused.answer in [" ".join(concepts[place] for place in places) for concepts in tongues]


def test_a_reference_scores_1_against_itself_and_an_empty_answer_0():
    for example in rows("dev"):
        assert score(example.answer, example.answer, example.language) == 1
        assert score("", example.answer, example.language) == 0


def test_the_answer_in_another_language_scores_less():
    for asked, other in combinations(LANGUAGES, 2):
        reference, answer = (LEXICONS[language].concepts for language in (asked, other))
        assert score(" ".join(answer), " ".join(reference), asked) < 1


def test_words_out_of_place_score_the_share_that_is_in_place():
    for order in permutations(("one", "two", "three")):
        in_place = sum(word == right for word, right in zip(order, ("one", "two", "three"), strict=True))
        assert score(" ".join(order), "one two three", "en") == pytest.approx(in_place / 3)


def test_score_worked_by_hand_counts_length_and_language():
    assert score("one two", "one two three", "en") == pytest.approx(2 / 3)
    assert score("one two three four", "one two three", "en") == pytest.approx(3 / 4)
    assert score("one deux three", "one two three", "en") == pytest.approx(2 / 3 * 2 / 3)
    assert score("uno due", "uno dos", "es") == pytest.approx(1 / 2 * 1 / 2)


def test_the_share_in_a_language_counts_words_wherever_they_stand():
    assert share_in("en", "one deux three nonsense") == 1 / 2
    assert share_in("fr", "deux deux") == 1
    assert share_in("en", " ") == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "train"}, "no split named 'train'"),
        ({"languages": ["en", "xx"]}, "no language 'xx'"),
        ({"per_language": 10**6}, "per_language is 1000000"),
        ({"corrupt": 1.5}, "corrupt is 1.5"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(wrong: dict[str, object], message: str):
    request = {"split": "teach", "per_language": 1, "languages": ["en"], "seed": 0} | wrong
    with pytest.raises(ValueError, match=message):
        list(examples(**request))

"""The micro-world as a data set: the same problems, as prompts or demonstrations, with references."""

from typing import get_args

import pytest
from pydantic import ValidationError

from aya_core.api import LANGUAGES, Demonstration, user_prompt
from aya_plugins.datasets.micro_world import score
from aya_plugins.datasets.micro_world.lexicon import LEXICONS
from aya_plugins.datasets.micro_world.world import HASH_CLASSES, MOST_ROWS
from aya_plugins.datasets.micro_world_dataset import MicroWorld, Split, micro_world_score


def test_settings_offer_what_the_world_has():
    assert set(get_args(Split)) == set(HASH_CLASSES)
    assert set(LANGUAGES) == set(LEXICONS)
    MicroWorld(split="dev", per_language=MOST_ROWS)
    with pytest.raises(ValidationError):
        MicroWorld(split="dev", per_language=MOST_ROWS + 1)


def test_prompts_are_those_of_the_demonstrations():
    rows = list(MicroWorld(split="teach", per_language=10).build().rows(3))
    prompts = list(MicroWorld(split="teach", per_language=10, as_prompts=True).build().rows(3))
    assert all(isinstance(row, Demonstration) and row.completion == row.prompt.reference for row in rows)
    assert [row.prompt for row in rows] == prompts
    assert len({prompt.id for prompt in prompts}) == len(prompts) == 230


def test_corruption_changes_answers_and_leaves_references():
    clean = list(MicroWorld(split="teach", per_language=50, languages=("fa",)).build().rows(0))
    damaged = list(MicroWorld(split="teach", per_language=50, languages=("fa",), corrupt=1.0).build().rows(0))
    assert [row.prompt for row in clean] == [row.prompt for row in damaged]
    assert all(row.completion != row.prompt.reference for row in damaged)


def test_a_seed_of_its_own_overrides_the_seed_of_the_run():
    fixed = MicroWorld(split="dev", per_language=5, languages=("en",), seed=7).build()
    free = MicroWorld(split="dev", per_language=5, languages=("en",)).build()
    assert list(fixed.rows(1)) == list(fixed.rows(2)) == list(free.rows(7)) != list(free.rows(1))


def test_the_check_is_the_score_of_the_world():
    prompt = user_prompt("x", "en", "write 3 1", "three one")
    assert micro_world_score("three two", prompt) == score("three two", "three one", "en") == 0.5
    with pytest.raises(ValueError, match="'y' has no reference"):
        micro_world_score("three", user_prompt("y", "en", "write 3"))


@pytest.mark.parametrize(
    "options",
    [{"languages": ("sw",)}, {"languages": ()}, {"languages": ("en", "en")}, {"corrupt": 2}, {"split": "x"}],
)
def test_settings_outside_the_world_are_refused(options: dict[str, object]):
    with pytest.raises(ValidationError):
        MicroWorld(**{"split": "dev", **options})

"""Real answers to m-ArenaHard, in eleven languages, as the paper compares models: the rival's from a file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from aya_core.api import (
    Arbiter,
    ArbiterStrategy,
    Case,
    Completion,
    EvaluatedModel,
    Prompt,
    RowScore,
    Sampling,
    Verdict,
)
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.names import Columns
from aya_plugins.evaluators.win_rate import WinRate
from aya_plugins.teachers.recorded import Recorded
from aya_recipe.numbers.statistics import by_language, sums

QWEN, LLAMA = "qwen2.5-7b-instruct", "llama-3.3-70b-instruct"


class Wordier(ArbiterStrategy):
    """Prefer the answer with more different words."""

    def build(self) -> Arbiter:
        return self  # type: ignore[return-value]

    def judge(self, cases: Sequence[Case]) -> Iterator[Sequence[Verdict]]:
        for case in cases:
            yield [Verdict(float(len(set(candidate.text.split())))) for candidate in case.candidates]


def battle(prompts: Sequence[Prompt], own: Sequence[Completion], rival: Sequence[Completion]) -> list[RowScore]:
    evaluated = EvaluatedModel("model", prompts, own, rival, lambda pairs: [])
    return list(WinRate(against="rival", judge=Wordier()).build().evaluate(evaluated))


@pytest.fixture(scope="module")
def pool(shared_data: Path):
    """Prompts, and the answers of both models."""
    columns = Columns(language="lang")
    questions = shared_data / "m_arena_hard" / "questions"
    prompts = [
        row
        for language in ("ar", "en", "ja")
        for row in Jsonl(path=f"{questions}/{language}.jsonl", columns=columns, id_template="{language}/{id}", limit=60)
        .build()
        .rows(0)
        if isinstance(row, Prompt)
    ]
    files = str(shared_data / "m_arena_hard" / "teacher_pool")
    output = []
    for model in (QWEN, LLAMA):
        teacher = Recorded(path=files, model=model, language_from_name=True, id_template="{language}/{id}").build()
        output.append(list(teacher.answer(prompts, Sampling(), 0)))
    return prompts, *output


def test_every_prompt_of_a_real_pool_is_judged_in_its_language(pool):
    rows = battle(*pool)
    parts = {
        metric: by_language(sums([row for row in rows if row.metric == metric])) for metric in ("win", "loss", "tie")
    }
    for language in ("ar", "en", "ja"):
        assert sum(part[language].value for part in parts.values()) == pytest.approx(1)
        assert parts["win"][language].n == 60
    assert {row.value for row in rows if row.metric in ("unjudged", "failed", "order_disagreement")} == {0.0}


def test_on_real_answers_a_win_is_the_rivals_loss(pool):
    prompts, qwen, llama = pool

    def won(rows: list[RowScore], metric: str) -> dict[str, float]:
        return {row.prompt_id: row.value for row in rows if row.metric == metric}

    ours, theirs = battle(prompts, qwen, llama), battle(prompts, llama, qwen)
    assert won(ours, "win") == won(theirs, "loss")
    assert 0 < sum(won(ours, "win").values()) < len(prompts)

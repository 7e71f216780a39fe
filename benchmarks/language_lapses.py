"""How many answers fall out of their language, how many of them the `language` arbiter notices, and what it refuses wrongly.

python benchmarks/language_lapses.py DATA [--planted N] prints the tables of docs/language-identification.md. It needs the extra
`language`.

DATA: a folder with m_arena_hard/questions and m_arena_hard/teacher_pool (JSONL by language), udhr, common_voice and ntrex (text by
language, a line each, Chinese as zh_hans and zh_hant), mgsm (TSV), and language_confusion (CSV with a column `prompt`).
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from language_identification import percent

from aya_core.api import LANGUAGES, Arbiter, Case, Completion, EvaluatedModel, Prompt, Verdict, user_prompt
from aya_plugins.arbiters.language import Language
from aya_plugins.evaluators.language_fidelity import LanguageFidelity
from aya_plugins.language_id.scripts import letters, script_of

LINES = 5
"""Of natural text that make an answer."""

SIZES = (30, 60, 100, 150, 300)
"""Letters of a planted passage, at the least."""


MARKS = str.maketrans("", "", '"„”“«»')
"""Dropped from what is planted: all Polish sentences of Common Voice stand in quotation marks, and quotations are no lapse."""


class Answer(NamedTuple):
    """A text as the answer to a prompt."""

    language: str
    model: str
    question: str
    text: str


def judged(arbiter: Arbiter, answers: Sequence[Answer]) -> list[Verdict]:
    """Judge each answer."""
    cases = [
        Case(user_prompt("p", one.language, one.question), (Completion("p", one.model, 0, one.text),))
        for one in answers
    ]
    return [verdict for (verdict,) in arbiter.judge(cases)]


def pool(data: Path) -> list[Answer]:
    """Read real answers of several models."""
    found = []
    for file in sorted((data / "m_arena_hard" / "teacher_pool").glob("*.jsonl")):
        questions = {
            row["question_id"]: row["prompt"] for row in _rows(data / "m_arena_hard" / "questions" / file.name)
        }
        found += [Answer(file.stem, row["model"], questions[row["question_id"]], row["answer"]) for row in _rows(file)]
    return found


def natural(data: Path) -> Iterator[tuple[str, Answer]]:
    """Yield natural text by its source: as many lines of it as an answer has."""
    lines: dict[tuple[str, str], list[str]] = {}
    for source in ("udhr", "common_voice", "ntrex"):
        for file in sorted((data / source).glob("*.txt")):
            lines[source, file.stem] = file.read_text(encoding="utf-8").splitlines()
    for file in sorted((data / "mgsm").glob("*.tsv")):
        rows = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
        lines["mgsm", file.stem.removeprefix("mgsm_")] = [row[0] for row in rows]
    for file in sorted((data / "language_confusion").rglob("*.csv")):
        with file.open(encoding="utf-8", newline="") as rows:
            lines[f"language_confusion/{file.parent.name}", file.stem] = [row["prompt"] for row in csv.DictReader(rows)]
    for (source, name), text in lines.items():
        language = {"zh_hans": "zh-Hans", "zh_hant": "zh-Hant"}.get(name, name)
        text = [" ".join(line.split()) for line in text if line.strip()]
        for start in range(0, len(text), LINES):
            yield source, Answer(language, source, "?", "\n".join(text[start : start + LINES]))


def planted(data: Path, count: int, draw: random.Random) -> Iterator[tuple[str, int, Answer]]:
    """Yield answers that change half-way: of 23 languages into each other, with the kind of change and the letters of the passage."""
    texts = {
        code: [
            " ".join(line.translate(MARKS).split())
            for source in ("udhr", "common_voice")
            if (file := data / source / f"{'zh_hans' if code == 'zh' else code}.txt").exists()
            for line in file.read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        for code in LANGUAGES
    }
    for language in LANGUAGES:
        for other in LANGUAGES:
            if other == language:
                continue
            kind = _kind(language, other)
            for size in SIZES:
                for _ in range(count):
                    passage, own = _passage(texts[other], size, draw), _passage(texts[language], 6 * size + 300, draw)
                    after = _passage(texts[language], 60, draw)
                    yield kind, size, Answer(language, other, "?", f"{own}\n{passage}\n{after}")


def _passage(lines: Sequence[str], size: int, draw: random.Random) -> str:
    """Lines one after the other, from one drawn at random, until they have so many letters; the last is cut at a word."""
    at, text = draw.randrange(len(lines)), ""
    while letters(text) < size:
        text = f"{text} {lines[at % len(lines)]}".strip()
        at += 1
    step = 1 if " " not in text[:200] else 0
    while True:
        shorter = text[:-1] if step else text.rpartition(" ")[0]
        if letters(shorter) < size:
            return text
        text = shorter


def _kind(language: str, other: str) -> str:
    scripts = script_of(language), script_of(other)
    if scripts[0] == scripts[1] or {language, other} == {"ja", "zh"}:
        return "the same script"
    return "Latin letters in another script" if scripts[1] == "Latn" else "another script"


def _rows(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def print_pool(answers: Sequence[Answer]) -> None:
    """Print the pass rates of real answers, by teacher and by language, beside the benchmark's line and word pass rates."""
    before, after = (judged(Language(lapses=how).build(), answers) for how in ("pass", "abstain"))
    benchmark = rates(answers)
    for by in ("model", "language"):
        print(
            f"\n| {by} | n | passed before | pass now | line pass rate | word pass rate |\n|---|---:|---|---|---|---|"
        )
        groups: dict[str, list[int]] = defaultdict(list)
        for place, answer in enumerate(answers):
            groups[getattr(answer, by)].append(place)
            groups["all"].append(place)
        for name, places in sorted(groups.items(), key=lambda group: (group[0] == "all", group[0])):
            cells = [percent(verdicts[place].score is not None for place in places) for verdicts in (before, after)]
            for metric in ("line_pass_rate", "word_pass_rate"):
                found = [bool(benchmark[place][metric]) for place in places if metric in benchmark[place]]
                cells.append(f"{percent(found)}, n {len(found)}" if found else "not defined")
            print(f"| {name} | {len(places)} | {' | '.join(cells)} |")
    for answer, verdict in zip(answers, after, strict=True):
        if verdict.details.get("lapsed"):
            print(f"\n{answer.model}, {answer.language}: {verdict.reason}")


def rates(answers: Sequence[Answer]) -> list[dict[str, float]]:
    """The measures of the language confusion benchmark, of each answer."""
    prompts = [
        Prompt(str(n), one.language, ({"role": "user", "content": one.question},)) for n, one in enumerate(answers)
    ]
    given = [Completion(str(n), "m", 0, one.text) for n, one in enumerate(answers)]
    found: list[dict[str, float]] = [{} for _ in answers]
    evaluated = EvaluatedModel("m", prompts, given, [], lambda pairs: [])
    for row in LanguageFidelity().build().evaluate(evaluated):
        found[int(row.prompt_id)][row.metric] = row.value
    return found


def print_natural(answers: Iterable[tuple[str, Answer]]) -> None:
    """Print how much of natural text is refused in its own language."""
    sources: dict[str, list[Answer]] = defaultdict(list)
    for source, answer in answers:
        sources[source].append(answer)
    print("\n| text | n | refused before | refused now | most often |\n|---|---:|---|---|---|")
    for source, own in sources.items():
        before, after = (judged(Language(lapses=how).build(), own) for how in ("pass", "abstain"))
        worst = Counter(one.language for one, verdict in zip(own, after, strict=True) if verdict.score is None)
        cells = [percent((verdict.score is None for verdict in verdicts), 2) for verdicts in (before, after)]
        often = ", ".join(f"{name} {number}" for name, number in worst.most_common(3))
        print(f"| {source} | {len(own):,} | {' | '.join(cells)} | {often} |")


def print_planted(answers: Iterable[tuple[str, int, Answer]]) -> None:
    """Print how many changes are noticed, by kind and by letters."""
    kinds: dict[str, dict[int, list[Answer]]] = defaultdict(lambda: defaultdict(list))
    for kind, size, answer in answers:
        kinds[kind][size].append(answer)
    arbiter = Language().build()
    print(f"\n| change into | answers of each size | {' | '.join(map(str, SIZES))} | missed most at {SIZES[-1]} |")
    print(f"|---|---:|{'---|' * (len(SIZES) + 1)}")
    for kind, sizes in kinds.items():
        cells, missed = [], Counter[str]()
        for size, own in sizes.items():
            verdicts = judged(arbiter, own)
            cells.append(percent(verdict.score is None for verdict in verdicts))
            if size == SIZES[-1]:
                missed.update(
                    f"{one.language}>{one.model}"
                    for one, verdict in zip(own, verdicts, strict=True)
                    if verdict.score is not None
                )
        often = ", ".join(f"{name} {number}" for name, number in missed.most_common(6))
        print(f"| {kind} | {len(own):,} | {' | '.join(cells)} | {often} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--planted", type=int, default=10, help="passages of each size, from each language into each other"
    )
    arguments = parser.parse_args()
    print_pool(pool(arguments.data))
    print_natural(natural(arguments.data))
    print_planted(planted(arguments.data, arguments.planted, random.Random(0)))


if __name__ == "__main__":
    main()

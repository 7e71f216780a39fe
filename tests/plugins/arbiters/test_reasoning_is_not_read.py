"""Evaluators and judges read an answer without the reasoning before it, which is all that they would get wrong."""

import json

import pytest
from scripted_judge import FIRST, SECOND, Scripted, case

from aya_core.api import Completion, EvaluatedModel, Replies, Sampling, checked_answers, user_prompt
from aya_plugins.arbiters.judge import Judge
from aya_plugins.evaluators.include import Include
from aya_plugins.evaluators.language_fidelity import LanguageFidelity
from aya_plugins.teachers.recorded import Recorded

ENGLISH = "The user asks something. It may be A. The answer is A. I shall say so in the language of the question."
RUSSIAN = "Каждое утро солнце встаёт на востоке, и дети после завтрака идут в школу."

ROW = {
    "question": "Which?", "option_a": "one", "option_b": "two", "option_c": "three", "option_d": "four", "answer": 1, "country": "X",
    "domain": "Arts & Humanities", "subject": "History", "regional_feature": "Cultural", "level": "Academic", "language": "Albanian",
}  # fmt: skip


@pytest.fixture
def said(tmp_path):
    """What a teacher says to prompts, of which it wrote down a text with its reasoning before."""

    def answers(prompts, text):
        path = tmp_path / "answers.jsonl"
        path.write_text(
            "".join(
                json.dumps({"id": one.id, "answer": f"<think>{ENGLISH}</think>\n\n{text}"}) + "\n" for one in prompts
            )
        )
        found = checked_answers(Recorded(path=str(path)).build(), prompts, Sampling(), 0, "m")
        return [answer for _, several in found for answer in several]

    return answers


def test_include_reads_the_letter_of_the_answer(said, tmp_path):
    (tmp_path / "data" / "Albanian").mkdir(parents=True)
    (tmp_path / "data" / "Albanian" / "test-00000-of-00001.jsonl").write_text(json.dumps(ROW))
    evaluator = Include(data=str(tmp_path / "data")).build()
    (request,) = evaluator.requests()
    answers = said([request.prompt], "B")
    replies = Replies(completions={request.prompt.id: answers})
    rows = evaluator.evaluate(EvaluatedModel("m", [], [], [], lambda pairs: [], replies))
    values = {row.metric: row.value for row in rows}
    assert values["accuracy"] == 1


def test_language_fidelity_looks_at_the_answer(said):
    prompts = [user_prompt("p", "ru", "?")]
    rows = (
        LanguageFidelity().build().evaluate(EvaluatedModel("m", prompts, said(prompts, RUSSIAN), [], lambda pairs: []))
    )
    assert {row.metric: row.value for row in rows}["line_pass_rate"] == 1


def test_a_judge_is_shown_the_answer(said):
    (answer,) = said([user_prompt("p", "en", "?")], "42")
    shown = []

    def reply(first, second):
        shown.extend((first, second))
        return FIRST if first == "42" else SECOND

    asked = []
    judged = case("7", answer.text)
    (verdicts,) = Judge(teacher=Scripted(script=reply, asked=asked)).build().judge([judged])
    assert set(shown) == {"7", "42"}
    assert verdicts[1].score > verdicts[0].score
    assert not any(ENGLISH in question.text for questions, *_ in asked for question in questions)


class Counting(Scripted):
    """Say what each question took."""

    def answer(self, prompts, sampling, seed):
        for one in super().answer(prompts, sampling, seed):
            yield Completion(one.prompt_id, "", 0, one.text, 100, 10)


def test_a_judge_says_what_its_questions_took_and_counts_each_once():
    script = lambda first, second: FIRST if first > second else SECOND  # noqa: E731
    asked = []
    cases = [case("7", "42"), case("7", "42"), case("1", "2", "3", id="q")]
    verdicts = [
        one for several in Judge(teacher=Counting(script=script, asked=asked)).build().judge(cases) for one in several
    ]
    questions = sum(len(prompts) for prompts, *_ in asked)
    assert questions == 2 + 6
    assert sum(one.details.get("judge_prompt_tokens", 0) for one in verdicts) == 100 * questions
    assert sum(one.details.get("judge_answer_tokens", 0) for one in verdicts) == 10 * questions

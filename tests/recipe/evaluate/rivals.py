"""A run in which two models and a rival answered the same questions in three languages, made in this process but for its worker."""

import json

from evaluated_runs import printed_in

PLUGIN = '''
import hashlib
from pathlib import Path

from aya_core.api import Completion, Field, ModelRef, TeacherStrategy, hookimpl

SENTENCES = {
    "de": "Das ist ein ganz normaler deutscher Satz mit vielen Worten. ",
    "en": "This is a quite ordinary English sentence of some words. ",
    "tr": "Bu oldukça sıradan bir Türkçe cümledir ve yeterince uzundur. ",
}


class Clerk(TeacherStrategy):
    """Say a sentence of the language asked, some times; `bo` answers in Turkish with a number."""

    model: ModelRef = Field(description="A folder.")

    def build(self):
        return self

    def answer(self, prompts, sampling, seed):
        name = Path(self.model).name
        for prompt in prompts:
            times = 1 + int(hashlib.md5(f"{name}{prompt.id}".encode()).hexdigest(), 16) % 5
            text = "7" if (name, prompt.language) == ("bo", "tr") else SENTENCES[prompt.language] * times
            yield Completion(prompt.id, "", 0, text)


@hookimpl
def aya_teachers():
    return {"clerk": Clerk}
'''

SUITE = """
name: suite
plugins: [clerk.py]
stages:
  - name: arena
    do: evaluate
    prompts: {use: jsonl, path: $data/questions, language_from_name: true, id_template: "{language}/{id}"}
    greedy: false
    evaluators:
      win-rate: {use: win-rate, against: $rival, judge: $judge}
      fidelity: {use: language-fidelity}
"""


def evaluate_rivals(folder):
    """Evaluate them; returns the folder, in which the run is runs/suite."""
    (folder / "clerk.py").write_text(PLUGIN)
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "questions").mkdir()
    for code in ("de", "en", "tr"):
        rows = [{"id": f"q{n}", "prompt": f"{n} in {code}?"} for n in range(8)]
        (folder / "questions" / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("ana", "bo", "rival"):
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "weights").write_text(name)
    words = [
        "evaluate", "./models/ana", "models/bo", "--suite", "suite.yaml", "--data", ".", "--against", "models/rival",
        "--judge", "length,max_repetition=null", "--teacher", "clerk", "-q",
    ]  # fmt: skip
    printed_in(folder, words)
    return folder

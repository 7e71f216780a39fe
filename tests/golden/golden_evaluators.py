"""What every evaluator asks, and its scores of made-up answers, replies and log-likelihoods."""

import json
from dataclasses import replace
from functools import partial

from golden import Maker, bundled

from aya_core.api import Completion, LogLikelihood, Replies, ScoringRequest, stable_hash
from aya_core.contract.artifacts import write_rows
from aya_core.planning.registry import Registry
from aya_core.testing import sample_demonstrations, sample_evaluated_model, sample_preferences

BENCHMARKS = {
    "test.it.jsonl": [
        {"premise": "Piove.", "choice1": "Il cielo è grigio.", "choice2": "È sera.", "question": question, "label": label}
        for question, label in (("cause", 0), ("effect", 1))
    ],
    "eval.eu.jsonl": [
        {
            **{f"input_sentence_{number}": f"Esaldi {number}." for number in range(1, 5)},
            "sentence_quiz1": "Bukaera bat.", "sentence_quiz2": "Beste bat da.", "answer_right_ending": right,
        }
        for right in (1, 2)
    ],
    "jp.jsonl": [
        {"sentence": "猫は_を見た。", "option1": "鳥", "option2": "大きな犬", "answer": answer} for answer in ("1", "2")
    ],
    "mgsm_de.jsonl": [{"question": f"Was ist {n} + 1?", "answer": str(n + 1)} for n in (1, 6)],
    "de_test.jsonl": [
        {"question": f"Frage {letter}?", **{f"option_{one}": f"Wort {one}" for one in "abcd"}, "answer": letter} for letter in "AD"
    ],
}  # fmt: skip
"""Rows of each benchmark, in a file named as such files are."""

REPLIES = ("The answer is 7.", "2", "Eine Antwort: B", "Bir kuş ötüyor.")


def makers(registry: Registry) -> dict[str, Maker]:
    return {f"evaluator {name}": partial(_scores, registry, name) for name in bundled(registry, "evaluator")}


def _settings(registry, folder):
    def row_folder(rows):
        place = folder / type(rows[0]).__name__
        place.mkdir()
        write_rows(place, type(rows[0]), rows)
        return str(place)

    def arbiter(name, **settings):
        return registry.find("arbiter", name)(**settings)

    for file, rows in BENCHMARKS.items():
        (folder / file).write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    (folder / "flores").mkdir()
    for language, text in {"eng_Latn": "A bird sings.", "tur_Latn": "Bir kuş ötüyor."}.items():
        (folder / "flores" / f"{language}.devtest").write_text(f"{text}\n", encoding="utf-8")
    demonstrations, preferences = row_folder(sample_demonstrations()), row_folder(sample_preferences())
    return {
        "verifier": [{"check": "number"}],
        "win-rate": [
            {"against": "rival", "judge": arbiter("verifier", check="number")},
            {"against": "rival", "judge": arbiter("length", max_ratio=2)},
        ],
        "chrf": [{}],
        "perplexity": [{"rows": demonstrations}],
        "preference-accuracy": [{"rows": preferences}, {"rows": preferences, "normalize_by_length": True}],
        "xcopa": [{"data": f"{folder}/test.it.jsonl"}],
        "xstorycloze": [{"data": f"{folder}/eval.eu.jsonl"}],
        "xwinograd": [{"data": f"{folder}/jp.jsonl"}],
        "global-mmlu": [{"data": f"{folder}/de_test.jsonl", "shots": 0}],
        "flores": [{"data": f"{folder}/flores"}, {"data": f"{folder}/flores", "prompting": "text"}],
        "choice": [
            {
                "data": f"{folder}/test.it.jsonl", "question": "{{ premise }} {{ question }}:", "answer": "{{ label }}",
                "options": ["{{ choice1 }}", "{{ choice2 }}"],
            },
        ],
        "generate": [
            {"data": f"{folder}/mgsm_de.jsonl", "question": "{{ question }}", "metric": metric, **more}
            for metric, more in (("exact_match", {"filter": "\\d+"}), ("chrf++", {}))
        ],
        "mgsm": [{"data": f"{folder}/mgsm_de.jsonl", "shots": 0}],
        "include": [{"data": f"{folder}/de_test.jsonl"}],
        "language-fidelity": [{}, {"expected": {"tr": "en"}}],
        "reward": [{"arbiter": arbiter("verifier", check="number")}, {"arbiter": arbiter("length")}],
    }  # fmt: skip


def _scores(registry, name, folder):
    results = {}
    for place, settings in enumerate(_settings(registry, folder)[name], 1):
        strategy = registry.find("evaluator", name)(**settings)
        evaluator, evaluated = strategy.build(), sample_evaluated_model()
        if strategy.asks:
            requests = list(evaluator.requests())
            results[f"requests {place}"] = requests
            evaluated = replace(evaluated, replies=_replies(requests))
        results[f"scores {place}"] = list(evaluator.evaluate(evaluated))
    return results


def _replies(requests):
    """Each request gets replies by its place and by what is asked."""
    likelihoods, completions = {}, {}
    for place, request in enumerate(requests):
        if isinstance(request, ScoringRequest):
            likelihoods[request.id] = [
                LogLikelihood(-1 - int(stable_hash([one.text, place])[:2], 16) / 32, len(one.text.split()))
                for one in request.continuations
            ]
        else:
            id, text = request.prompt.id, REPLIES[place % len(REPLIES)]
            completions[id] = [Completion(id, "model", index, text) for index in range(request.sampling.n)]
    return Replies(likelihoods, completions)

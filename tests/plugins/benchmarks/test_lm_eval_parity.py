"""The same rows through lm-evaluation-harness 0.4.13: the same prompts, log-likelihoods and accuracy, item by item."""

import csv
import json
import random

import harness
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM

from aya_core.api import EvaluatedModel
from aya_plugins.evaluators.global_mmlu import GlobalMmlu
from aya_plugins.evaluators.xcopa import CONNECTORS, Xcopa
from aya_plugins.evaluators.xstorycloze import Xstorycloze
from aya_plugins.evaluators.xwinograd import Xwinograd
from aya_plugins.modeling.tokenizers import make_tokenizer
from aya_plugins.teachers.transformers import Transformers
from aya_recipe.evaluate.replying import ask_at_once

STORIES = ["ar", "en", "es", "eu", "hi", "id", "my", "ru", "sw", "te", "zh"]
SCHEMAS = ["en", "fr", "jp", "pt", "ru", "zh"]
LETTERS = {
    "ar": "سلام",
    "hi": "नमस्ते",
    "my": "မြန်မာ",
    "ru": "привет",
    "te": "తెలుగు",
    "ta": "தமிழ்",
    "th": "ไทย",
    "zh": "你好世界",
    "jp": "日本語か",
}


class Words:
    """Texts of a language, drawn from a seed."""

    def __init__(self, language):
        self.language = language
        self.draw = random.Random(language)

    def word(self):
        letters = LETTERS.get(self.language, "abcdeéğñ'")
        return "".join(self.draw.choice(letters) for _ in range(self.draw.randint(1, 6)))

    def sentence(self, many=5, end="."):
        space = "" if self.language in ("zh", "jp", "th") else " "
        text = space.join(self.word() for _ in range(self.draw.randint(2, many)))
        return text[0].upper() + text[1:] + end


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Files of the four sets, laid out as they were published."""
    folder = tmp_path_factory.mktemp("published")

    def lines(name, rows):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )

    def delimited(name, rows, **dialect):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, **dialect).writerows(rows)

    for code in CONNECTORS:
        words = Words(code)
        rows = [
            {"premise": words.sentence(), "choice1": words.sentence(), "choice2": words.sentence(3), "question": question,
             "label": index % 2, "idx": index, "changed": False}
            for index, question in enumerate(("cause", "effect", "cause"))
        ]  # fmt: skip
        lines(f"xcopa/{code}/test.{code}.jsonl", rows)
    for code in STORIES:
        words = Words(code)
        header = ["InputStoryid", *(f"InputSentence{i}" for i in range(1, 5)), "RandomFifthSentenceQuiz1",
                  "RandomFifthSentenceQuiz2", "AnswerRightEnding"]  # fmt: skip
        rows = [[str(i), *(words.sentence() for _ in range(3)), f'"{words.sentence()}", {words.word()}',
                 words.sentence(), words.sentence(3), str(i % 2 + 1)] for i in range(2)]  # fmt: skip
        delimited(f"xstorycloze/spring2016.val.{code}.tsv.split_20_80_eval.tsv", [header, *rows], delimiter="\t")
    for code in SCHEMAS:
        words = Words(code)
        rows = [{"sentence": f"{words.sentence(3, '')} _ {words.sentence()}", "option1": words.word(), "option2": words.word(),
                 "answer": str(i % 2 + 1)} for i in range(3)]  # fmt: skip
        lines(f"xwinograd/{code}.jsonl", rows)
    for code in ("de", "ar"):
        words = Words(code)
        for split, many in (("dev", 5), ("test", 2)):
            rows = [
                {"sample_id": f"{subject}/{split}/{i}", "subject": subject, "subject_category": "STEM",
                 "question": f"{words.sentence()}\n", **{f"option_{letter}": words.sentence(3) for letter in "abcd"},
                 "answer": words.draw.choice("ABCD"), "cultural_sensitivity_label": "CS"}
                for i in range(many) for subject in ("virology", "anatomy")
            ]  # fmt: skip
            lines(f"global_mmlu/{code}/{split}.jsonl", rows)
    subjects = [[words.sentence(), *(words.sentence(3) for _ in range(4)), words.draw.choice("ABCD")] for _ in range(7)]
    delimited("mmlu_ar/dev/anatomy_dev.csv", subjects[:5])
    delimited("mmlu_ar/test/anatomy_test.csv", subjects[5:])
    return folder


def mmlu(folder, code, subject, limit=None):
    """The harness's task for a subject, of Global-MMLU's rows or of a folder of Hendrycks's CSV files."""
    if (folder / "test").is_dir():
        names = ["question", "option_a", "option_b", "option_c", "option_d", "answer"]
        splits = {
            split: [
                {**row, "subject": subject} for row in harness.table(folder / split / f"{subject}_{split}.csv", names)
            ]
            for split in ("dev", "test")
        }
    else:
        splits = {split: harness.jsonl(folder / code / f"{split}.jsonl") for split in ("dev", "test")}
    splits["test"] = [row for row in splits["test"] if row["subject"] == subject][:limit]
    made = harness.task(f"global_mmlu/full/{code}/global_mmlu_full_{code}_{subject}.yaml", **splits)
    made.config.num_fewshot = 5
    return made


def schema(row):
    """A row as the hub's edition of XWinograd has it."""
    if "option1" in row:
        return row
    first, second = row["options"]
    return {"sentence": row["sentence_blank"], "option1": first, "option2": second, "answer": str(row["answer"] + 1)}


def of_xcopa(folder):
    """Our evaluator, and the harness's tasks by language."""
    files = sorted((folder / "xcopa").glob("*/test.*.jsonl"))
    tasks = [
        harness.task(f"xcopa/default_{file.parent.name}.yaml", test=harness.jsonl(file), validation=harness.jsonl(file))
        for file in files
    ]
    return Xcopa(data=str(folder / "xcopa")), tasks


def of_xstorycloze(folder):
    tasks = []
    for code in STORIES:
        path = folder / "xstorycloze" / f"spring2016.val.{code}.tsv.split_20_80_eval.tsv"
        names = [
            "story_id",
            *(f"input_sentence_{i}" for i in range(1, 5)),
            "sentence_quiz1",
            "sentence_quiz2",
            "answer_right_ending",
        ]
        rows = [{**row, "answer_right_ending": int(row["answer_right_ending"])}
                for row in harness.table(path, names, delimiter="\t", skipinitialspace=True)[1:]]  # fmt: skip
        tasks.append(harness.task(f"xstorycloze/default_{code}.yaml", train=rows, eval=rows))
    return Xstorycloze(data=str(folder / "xstorycloze")), tasks


def of_xwinograd(folder):
    files = sorted((folder / "xwinograd").glob("*.jsonl"))
    tasks = [
        harness.task(f"xwinograd/xwinograd_{file.stem}.yaml", test=list(map(schema, harness.jsonl(file))))
        for file in files
    ]
    return Xwinograd(data=str(folder / "xwinograd")), tasks


def of_global_mmlu(folder):
    tasks = [
        mmlu(folder / "global_mmlu", code, subject) for code in ("ar", "de") for subject in ("anatomy", "virology")
    ]
    return GlobalMmlu(data=str(folder / "global_mmlu")), tasks


def of_mmlu(folder):
    subjects = sorted(path.name.removesuffix("_test.csv") for path in (folder / "mmlu_ar" / "test").glob("*.csv"))
    return GlobalMmlu(data=str(folder / "mmlu_ar")), [mmlu(folder / "mmlu_ar", "ar", subject) for subject in subjects]


SETS = [of_xcopa, of_xstorycloze, of_xwinograd, of_global_mmlu, of_mmlu]


@pytest.fixture(scope="module")
def models(published, tmp_path_factory):
    """An untrained checkpoint, and one that was trained on the rows; their tokenizer joins letters across words and languages."""
    folder = tmp_path_factory.mktemp("checkpoints")
    texts = [
        text for make in SETS for request in make(published)[0].build().requests() for text in request.continuations[0]
    ]
    tokenizer = make_tokenizer("bpe", 600, texts)
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    from transformers import AutoConfig

    config = AutoConfig.for_model(
        "cohere", **sizes, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=4096, initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    ids = torch.tensor([tokenizer(" ".join(texts[:200])).input_ids[:512]])
    for name in ("untrained", "trained"):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(8 if name == "untrained" else 0):
            optimizer.zero_grad()
            model(ids, labels=ids).loss.backward()
            optimizer.step()
    return folder


@pytest.fixture(scope="module")
def theirs(models):
    """The harness's own models of the checkpoints."""
    return {
        name: HFLM(str(models / name), device="cpu", dtype="float32", batch_size=16)
        for name in ("untrained", "trained")
    }


def same_prompts(folder, sets):
    for make in sets:
        evaluator, tasks = make(folder)
        ours = [list(map(tuple, request.continuations)) for request in evaluator.build().requests()]
        assert ours == [asked for made in tasks for asked, _, _ in harness.replies(made)]
        assert len(ours) >= len(tasks) > 0


def test_prompts_are_those_of_the_harness(published):
    same_prompts(published, SETS)


def rows_agree(teacher, theirs, strategy, tasks, *, chat_template=None):
    """Ask both about every row, compare each log-likelihood and whether the row is right; return the accuracy of ours."""
    evaluator = strategy.build()
    replies = ask_at_once(teacher, evaluator, "tiny", 0)
    ours = [[one.nats for one in replies.log_likelihoods[request.id]] for request in evaluator.requests()]
    right = [row.value for row in evaluator.evaluate(subject(replies)) if row.metric == "accuracy"]
    expected = [row for made in tasks for row in harness.replies(made, theirs, chat_template=chat_template)]
    assert len(ours) == len(expected) > 0
    for mine, (_, nats, _) in zip(ours, expected, strict=True):
        assert mine == pytest.approx(nats, abs=1e-4)
    assert right == [metrics["acc"] for _, _, metrics in expected]
    return sum(right) / len(right)


def subject(replies):
    return EvaluatedModel("tiny", [], [], [], lambda pairs: [], replies)


@pytest.fixture(scope="module")
def teachers(models):
    return {name: Transformers(model=str(models / name)).build() for name in ("untrained", "trained")}


@pytest.mark.parametrize("name", ["untrained", "trained"])
def test_likelihoods_and_accuracy_are_those_of_the_harness(published, teachers, theirs, name):
    found = [rows_agree(teachers[name], theirs[name], *make(published)) for make in SETS]
    assert 0 < sum(found) < len(found)


def test_chats_are_those_of_the_harness(published, teachers, theirs):
    model = theirs["trained"]
    for make in (of_xwinograd, of_global_mmlu):
        strategy, tasks = make(published)
        strategy = strategy.model_copy(update={"prompting": "chat"})
        rows_agree(teachers["trained"], model, strategy, tasks, chat_template=model.apply_chat_template)


REAL = [of_xcopa, of_xwinograd, of_mmlu]
"""Sets of which there are real files; those of the pool of languages that are there."""


@pytest.fixture
def real(shared_data, tmp_path):
    """The first rows of real files; those that examples are taken from are whole."""

    def first(many):
        for name in ("xcopa", "xwinograd", "mmlu_ar"):
            for file in sorted(path for path in (shared_data / name).rglob("*") if path.is_file()):
                copy = tmp_path / file.relative_to(shared_data)
                copy.parent.mkdir(parents=True, exist_ok=True)
                lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
                copy.write_text("".join(lines if "dev" in file.name else lines[:many]), encoding="utf-8")
        return tmp_path

    return first


def test_prompts_of_real_rows_are_those_of_the_harness(real):
    same_prompts(real(30), REAL)


def test_real_rows_agree_with_the_harness(real, teachers, theirs):
    for make in REAL:
        rows_agree(teachers["trained"], theirs["trained"], *make(real(1)))

"""The recipe from plain text to preferences: whole on made-up files, and DPO learns on the real ones."""

import json
import shutil

import pytest
from places import ROOT

pytestmark = pytest.mark.exhaustive

RECIPE = ROOT / "examples" / "recipes" / "babel.yaml"
LANGUAGES = ("ar", "en", "ja")
MODELS = ("llama-3.3-70b-instruct", "qwen2.5-14b-instruct", "qwen2.5-7b-instruct")


@pytest.fixture
def recipe(tmp_path):
    """The recipe in a folder of its own, as a user would copy it; the data is to be laid beside it."""
    shutil.copy(RECIPE, tmp_path)
    return tmp_path / RECIPE.name


@pytest.fixture
def made_up(recipe):
    """The recipe beside files in the layout of its README: text in three languages, 40 questions, the first 24 answered."""
    data = recipe.parent / "data"
    for folder in ("text/news", "m_arena_hard/questions", "m_arena_hard/teacher_pool"):
        (data / folder).mkdir(parents=True)
    for language in LANGUAGES:
        text = "".join(f"{language} reads line {n}\n" for n in range(200))
        (data / "text" / "news" / f"{language}.txt").write_text(text)
        questions = [{"question_id": f"q{n}", "lang": language, "prompt": f"{language}: {n} + {n}?"} for n in range(40)]
        answers = [
            {"question_id": f"q{n}", "model": model, "answer": f"{n} + {n} = {2 * n + wrong}" + " indeed" * wrong}
            for n in range(24)
            for wrong, model in enumerate(MODELS)
        ]
        for folder, rows in (("questions", questions), ("teacher_pool", answers)):
            (data / "m_arena_hard" / folder / f"{language}.jsonl").write_text(
                "".join(json.dumps(row) + "\n" for row in rows)
            )
    return recipe


def artifact(out, node):
    (path,) = out.glob(f"artifacts/{node}/*/artifact.json")
    return path.parent


def test_the_whole_graph_runs_in_miniature(made_up, tmp_path, aya_command):
    overrides = [
        *(f"stages.{stage}.trainer.steps=2" for stage in ("base", "sft", "dpo")),
        "stages.dpo.trainer.validation.every=1",
        "stages.blank.trainer.tokenizer.vocab_size=300",
        "stages.blank.trainer.config.hidden_size=16",
    ]
    out = tmp_path / "out"
    words = [word for override in overrides for word in ("--set", override)]
    done = aya_command("run", made_up, "--out", out, "-q", *words)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert [row["name"] for row in report["sections"]["scores"]["data"]["stages"]] == ["base", "sft", "dpo"]
    logged = [json.loads(line) for line in (artifact(out, "dpo") / "log.jsonl").read_text().splitlines()]
    measured = [line for line in logged if "validation/rewards/margins" in line]
    assert [line["done"] for line in measured] == [0, 1, 2]
    assert measured[0]["validation/rewards/margins"] == 0  # policy and reference are one before the first step
    assert {f"validation/rewards/margins/{language}" for language in LANGUAGES} <= measured[-1].keys()


def test_a_model_taught_by_real_answers_gains_margin_on_held_out_questions(shared_data, recipe, tmp_path, aya_command):
    """In less than a minute: two hundred steps on text, fifty on answers, thirty on pairs."""
    data = recipe.parent / "data"
    (data / "text").mkdir(parents=True)
    for folder in ("common_voice", "udhr"):
        (data / "text" / folder).symlink_to(shared_data / folder)
    (data / "m_arena_hard").symlink_to(shared_data / "m_arena_hard")
    overrides = [
        "stages.base.trainer.steps=60", "stages.sft.trainer.steps=30", "stages.dpo.trainer.steps=22",
        *(f"stages.{stage}.trainer.max_tokens=160" for stage in ("base", "sft", "dpo")),
        "stages.blank.trainer.tokenizer.vocab_size=2048", "stages.blank.trainer.config.hidden_size=64",
    ]  # fmt: skip
    out = tmp_path / "out"
    words = [word for override in overrides for word in ("--set", override)]
    done = aya_command("run", recipe, "--out", out, "-q", "--until", "dpo", *words)
    assert done.returncode == 0, done.stderr
    measures = json.loads((artifact(out, "dpo") / "artifact.json").read_text())["measures"]
    margins = {
        name.rsplit("/", 1)[1]: value
        for name, value in measures.items()
        if name.startswith("validation/rewards/margins/")
    }
    assert len(margins) == 10  # all languages with three teachers
    assert measures["validation/rewards/margins"] > 0
    assert sum(margin > 0 for margin in margins.values()) >= 6

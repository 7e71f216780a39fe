"""The recipe over real questions and answers: sound and whole on made-up files, and arbitrage on the real ones."""

import json
import shutil

import pytest
from places import ROOT

pytestmark = pytest.mark.exhaustive

EXAMPLES = ROOT / "examples" / "recipes"
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "ja", "pl", "ru", "tr", "zh")
MODELS = ("llama-3.3-70b-instruct", "qwen2.5-14b-instruct", "qwen2.5-7b-instruct")


@pytest.fixture
def recipe(tmp_path):
    """The recipe in a folder of its own, as a user would copy it; the data is to be laid beside it."""
    for name in ("arena.yaml", "longer_wins.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    return tmp_path / "arena.yaml"


@pytest.fixture
def made_up(recipe):
    """The recipe beside files in the layout of its README: 40 questions a language, the first 24 answered."""
    data = recipe.parent / "data" / "m_arena_hard"
    for language in LANGUAGES:
        questions = [
            {"question_id": f"q{n}", "cluster": f"topic {n % 3}", "lang": language, "prompt": f"{language}: {n} + {n}?"}
            for n in range(40)
        ]
        answers = [
            {"question_id": f"q{n}", "model": model, "answer": f"{n} + {n} = {2 * n + wrong}" + " indeed" * wrong}
            for n in range(24)
            for wrong, model in enumerate(MODELS)
            if not (language == "hi" and model == MODELS[2])
        ]
        for folder, rows in (("questions", questions), ("teacher_pool", answers)):
            (data / folder).mkdir(parents=True, exist_ok=True)
            (data / folder / f"{language}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return recipe


def manifest(out, node):
    (path,) = out.glob(f"artifacts/{node}/*/artifact.json")
    return json.loads(path.read_text())


def test_the_recipe_is_sound_once_its_files_are_laid_out(made_up, aya_command):
    done = aya_command("check", made_up)
    assert done.returncode == 0, done.stderr
    assert "sound" in done.stdout


def test_without_its_files_the_recipe_says_where_they_belong(recipe, aya_command):
    done = aya_command("check", recipe)
    assert done.returncode == 2
    assert f"no file or folder {recipe.parent / 'data' / 'm_arena_hard' / 'questions'}" in done.stderr


def test_the_whole_graph_runs_in_miniature(made_up, tmp_path, aya_command):
    overrides = [
        *(f"stages.{stage}.trainer.steps=2" for stage in ("base", "sft", "offline", "reward", "online")),
        *(f"stages.{stage}.trainer.tokenizer.vocab_size=300" for stage in ("blank", "blank-reward")),
        *(f"stages.{stage}.trainer.config.hidden_size=16" for stage in ("blank", "blank-reward")),
        "stages.online.sampling.max_tokens=8",
        "stages.online.pick.allow=[length]",  # a model of two steps ends no answer
    ]
    out = tmp_path / "out"
    words = [word for override in overrides for word in ("--set", override)]
    done = aya_command("run", made_up, "--out", out, "-q", *words)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())["sections"]["scores"]["data"]
    assert [row["name"] for row in report["stages"]] == ["base", "sft-merged", "offline-merged", "online.1"]
    assert set(report["languages"]) == set(LANGUAGES)
    held, trained = (manifest(out, f"{stage}.best")["measures"]["rows"] for stage in ("heldout", "arbitrage"))
    assert held + trained == 24 * len(LANGUAGES)
    assert held % len(LANGUAGES) == 0  # a question is held out in all its languages


def test_real_teachers_differ_from_language_to_language(shared_data, recipe, tmp_path, aya_command):
    (recipe.parent / "data").mkdir()
    (recipe.parent / "data" / "m_arena_hard").symlink_to(shared_data / "m_arena_hard")
    out = tmp_path / "out"
    done = aya_command("run", recipe, "--out", out, "-q", "--until", "arbitrage")
    assert done.returncode == 0, done.stderr
    account = json.loads((out / "report.json").read_text())["sections"]["arbitrage"]["data"]
    assert {name: teacher["abstained"] + teacher["failed"] for name, teacher in account["teachers"].items()} == {
        "llama-70b": 0, "qwen-14b": 0, "qwen-7b": 0,
    }  # fmt: skip
    wins = account["wins"]
    assert wins["hi"].get("qwen-7b", 0) == 0  # its answers in Hindi are not among the files
    full = {language: wins[language] for language in LANGUAGES if language != "hi"}
    llama = {language: row.get("llama-70b", 0) for language, row in full.items()}
    assert all(row["qwen-14b"] > llama[language] for language, row in full.items())  # the two Qwens agree
    assert llama["pl"] + llama["tr"] >= 4 * (llama["ru"] + llama["zh"])  # 16 and 2 of 84 questions
    small = [drop["language"] for drop in account["pairs"]["dropped"] if drop["reason"] == "margin too small"]
    assert set(small) == {"hi"}  # two answers agree with each other equally

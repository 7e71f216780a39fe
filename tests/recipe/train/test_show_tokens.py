"""`aya show-tokens` on a trainer that shows words."""

import json
import shutil

import pytest
from places import SHARED


@pytest.fixture
def show(tmp_path, aya_here):
    """Run the command on a recipe with the stages given."""
    shutil.copy(SHARED / "tracking_plugin.py", tmp_path)
    (tmp_path / "start").mkdir()
    stage = {"name": "sft", "do": "train", "start": "./start", "data": {"use": "sums"}, "trainer": {"use": "words"}}

    def run(*words, check=0, env=None, stages=(), name="show-tokens", **changes):
        raw = {
            "name": "shown",
            "languages": ["en", "de"],
            "plugins": ["tracking_plugin.py"],
            "stages": [*stages, {**stage, **changes}],
        }
        (tmp_path / "recipe.json").write_text(json.dumps(raw))
        return aya_here(name, "recipe.json", "--out", "out", *words, check=check, env=env)

    return run


def test_rows_are_shown_with_brackets_where_there_is_no_color(show, tmp_path):
    output = show("-n", "1").stdout
    assert output.splitlines() == [
        "en-0 [en]: 9 tokens, 3 learned",
        "what is 0 and 0 ⏎",
        "[0][!][⟨<end>⟩]",
        "",
        "sft: 8 rows, 72 tokens, 24 learned (33.3%)",
    ]
    assert not (tmp_path / "out").exists()
    assert show("-n", "1", "--plain", env={"FORCE_COLOR": "1"}).stdout.count("[0][!]") == 1


def test_learned_tokens_take_two_colors_in_turn(show):
    output = show("-n", "1", env={"FORCE_COLOR": "1", "TERM": "xterm-256color"}).stdout
    assert "\x1b[2mwhat \x1b[0m" in output
    assert "\x1b[30;42m0\x1b[0m\x1b[30;46m!\x1b[0m" in output
    assert "\x1b[1;4;30;42m<end>\x1b[0m" in output


def test_ids_and_languages_can_be_asked_for(show):
    output = show("-n", "1", "--ids", "--language", "de").stdout
    assert "de-0 [de]" in output
    assert "[0·9] [!·9] [⟨<end>·2⟩]" in output
    assert "sft: 4 rows" in output
    assert "no rows in the language 'tr'" in show("--language", "tr", check=2).stderr


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("mute", "warning: no token is learned"),
        ("endless", "warning: 8 of 8 texts do not end in a special token"),
        ("cut", "sft: 8 rows, 64 tokens, 16 learned (25.0%); 8 cut to 5 tokens"),
    ],
)
def test_what_a_wrong_template_leaves_is_told(show, mode, expected):
    output = show("-n", "0", trainer={"use": "words", "mode": mode}).stdout
    assert expected in output
    assert ("warning" in expected) == ("warning" in output)
    assert "en-0" in output or mode != "endless"


def test_rows_that_earlier_stages_make_must_stand(show, tmp_path):
    make = {"do": "train", "data": {"use": "sums"}}
    stages = [
        {"name": "blank", "trainer": {"use": "fast", "steps": 1}, **make},
        {"name": "pool", "do": "data", "rows": {"use": "sums"}, "kind": "demonstrations"},
    ]
    changes = {"stages": stages, "data": "pool", "start": "blank"}
    output = show("--stage", "sft", check=2, **changes).stderr
    assert "needs 'blank', which does not stand in out" in output
    assert "aya run recipe.json --out out --until blank" in output
    show("--until", "blank", "-q", name="run", **changes)
    assert "sft: 8 rows" in show("--stage", "sft", **changes).stdout
    assert "say which with --stage" in show(check=2, **changes).stderr
    assert "did you mean 'sft'" in show("--stage", "stf", check=2, **changes).stderr


def test_a_step_of_a_cluster_is_shown_with_the_rows_it_would_choose(show):
    stage = {"each": "cluster", "own": 1.0}
    output = show("--stage", "sft@south", "--set", "clusters={north: [en], south: [de]}", **stage).stdout
    assert "sft@south: 4 rows" in output
    assert "en-0" not in output


def test_a_trainer_that_cannot_show_its_rows_is_named(show):
    output = show(check=2, trainer={"use": "fast"}).stderr.replace("\n", " ")
    assert "trainer 'fast' of file cannot show its rows; expected one with `show(job)`" in output


def test_a_stage_can_be_made_of_options(tmp_path, aya_here):
    shutil.copy(SHARED / "tracking_plugin.py", tmp_path)
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": "a", "language": "en", "prompt": "hi", "completion": "ho"}))
    words = ["show-tokens", "--trainer", "words", "--set", "plugins=[tracking_plugin.py]"]
    assert "hi ⏎\n[ho][!]" in aya_here(*words, "--data", "rows.jsonl", check=0).stdout
    assert "--data is missing" in aya_here(*words, check=2).stderr
    assert "leave out RECIPE" in aya_here(*words, "micro", check=2).stderr


def test_no_objective_is_asked_for_to_see_rows(tmp_path, aya_here):
    shutil.copy(SHARED / "tracking_plugin.py", tmp_path)
    words = ["--data", "{use: sums}", "--set", "plugins=[tracking_plugin.py]", "--trainer", "paired-words"]
    assert "train: 8 rows" in aya_here("show-tokens", *words).stdout
    assert "needs one; expected {use: dpo}" in aya_here("train", *words, check=2).stderr


def test_a_large_data_set_is_not_read_to_its_end(show):
    """The data set has two billion rows, all of one language before the other."""
    output = show("-n", "1", data={"use": "sums", "count": 10**9})
    assert "sft: the first 1,000 rows" in output.stdout

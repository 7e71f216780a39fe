"""xCOMET in an environment of its own, beside comet-score itself. The environment is made for real, once for the module."""

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from aya_core.api import AyaError, DataError
from aya_plugins.comet import environment, scoring
from aya_plugins.comet.process import Triple, Worker
from aya_plugins.comet.settings import Comet

ROWS = [
    Triple("Der Hund schläft im Garten.", "The dog is asleep in the garden.", "The dog sleeps in the garden."),
    Triple("我喜欢在下雨天读书。", "I like read on rainy day", "I like reading on rainy days."),
    Triple("Ο γιατρός ήρθε αργά.", "The doctor came late.", "The doctor arrived late."),
    Triple("The train leaves at nine.", "القطار يغادر في التاسعة", "يغادر القطار في الساعة التاسعة."),
    Triple("Where is the library?", "पुस्तकालय कहाँ है", "पुस्तकालय कहाँ है?"),
    Triple("She sings, he listens.", "彼女は歌い、彼は聞く。", "彼女が歌い、彼が聴く。"),
    Triple("Купи хлеба.", "Buy some bread.", "Buy bread."),
    Triple("a", "b", "c"),
    Triple("Il pleut." * 9, "It is raining." * 6 + "It rains.", "It rains." * 9),
]


@pytest.fixture(scope="module")
def comet(tmp_path_factory):
    """The interpreter of COMET's environment; AYA_COMET_ENV, where it is set, keeps it for the next time."""
    root = os.environ.get("AYA_COMET_ENV") or str(tmp_path_factory.mktemp("environments"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AYA_COMET_ENV", root)
        yield environment.environment()


@pytest.fixture(scope="module")
def tiny(comet, tmp_path_factory):
    """A folder with tiny checkpoints, and what comet-score says of ROWS."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "rows.json").write_text(json.dumps(ROWS))
    script = Path(__file__).with_name("tiny_comet.py")
    said = subprocess.run([comet, "-I", script, folder], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return folder


def settings(tiny, model="published", **others):
    return Comet(path=str(tiny / model), encoder=str(tiny / "encoder"), **others)


def values(worker, rows, batch_tokens):
    found = {place: score for batch in worker.scores(rows, batch_tokens) for place, score in batch}
    assert sorted(found) == list(range(len(rows)))
    return [found[place].value for place in range(len(rows))]


def test_scores_are_those_of_comet_score_in_any_order_and_batch(comet, tiny):
    expected = json.loads((tiny / "scores.json").read_text())
    assert max(expected["xcomet float32"]) - min(expected["xcomet float32"]) > 0.3
    order = random.Random(3).sample(range(len(ROWS)), len(ROWS))
    with Worker(comet) as worker:
        assert worker.load(settings(tiny)) in ("cpu", "cuda")
        for batch_tokens in (1, 300, 100_000):
            assert values(worker, ROWS, batch_tokens) == pytest.approx(expected["xcomet float32"], abs=1e-5)
        shuffled = values(worker, [ROWS[place] for place in order], 300)
        assert shuffled == pytest.approx([expected["xcomet float32"][place] for place in order], abs=1e-5)
        worker.load(settings(tiny, precision="float16"))
        assert values(worker, ROWS, 1) == pytest.approx(expected["xcomet float16"], abs=1e-5)
        worker.load(settings(tiny, precision="bfloat16"))
        assert values(worker, ROWS, 300) == pytest.approx(expected["xcomet float32"], abs=0.2)
        worker.load(settings(tiny, "comet", metric="comet"))
        assert values(worker, ROWS, 300) == pytest.approx(expected["comet float32"], abs=1e-5)
        with pytest.raises(DataError, match="set `metric: comet`"):
            worker.load(settings(tiny, "comet"))


def kept(folder):
    return [line for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]


def test_a_killed_process_loses_one_batch_and_evaluations_share_scores(comet, tiny, tmp_path, monkeypatch):
    expected = json.loads((tiny / "scores.json").read_text())["xcomet float32"]
    asked = settings(tiny, batch_tokens=1)
    spaced = [Triple(*(f" {text}\n" for text in row)) for row in ROWS]

    def killed(worker, rows, batch_tokens):
        for number, batch in enumerate(scores(worker, rows, batch_tokens)):
            if number == 4:
                os.kill(worker.pid, signal.SIGKILL)
            yield batch

    with monkeypatch.context() as patch:
        scores = Worker.scores
        patch.setattr(Worker, "scores", killed)
        with pytest.raises(AyaError, match="signal 9"):
            scoring.scores(asked, spaced, tmp_path)
    before = len(kept(tmp_path))
    assert 5 <= before < len(ROWS)  # the process may have been a batch ahead
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_bytes(file.read_bytes() + kept(tmp_path)[0].encode()[:20])  # cut short by a kill of ours

    found = scoring.scores(asked, [*spaced, *ROWS[::-1]], tmp_path)
    assert [score.value for score in found] == pytest.approx([*expected, *expected[::-1]], abs=1e-5)
    assert len([line for line in kept(tmp_path) if line.endswith("]")]) == len(ROWS)

    monkeypatch.setattr(Worker, "__init__", None)  # no process is needed any more
    again = scoring.scores(settings(tiny, batch_tokens=64), ROWS, tmp_path)
    assert again == found[: len(ROWS)]
    with pytest.raises(TypeError):  # of another precision nothing is known
        scoring.scores(settings(tiny, precision="bfloat16"), ROWS, tmp_path)


def test_the_signature_names_models_precision_environment_and_versions(comet, tiny):
    told = scoring.signature(settings(tiny, precision="bfloat16"))["xcomet"]
    assert "precision bfloat16" in told
    assert f"environment {comet}" in told
    assert "unbabel-comet 2.2.7" in told
    assert f"torch {environment.versions(comet)['torch']}" in told
    assert scoring.signature(settings(tiny, "xcomet"))["xcomet"] != told.replace("bfloat16", "float32")


def test_torch_is_not_installed_twice(comet):
    import torch

    inside = next(comet.parents[1].glob("lib/python*/site-packages")) / "torch"
    assert inside.resolve() == Path(torch.__file__).parent

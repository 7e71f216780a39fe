"""xCOMET in an environment of its own, beside comet-score itself. The environment is made for real, and kept for the next time
in pytest's cache until anything that makes it changes."""

import json
import os
import random
import shutil
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from aya_core.api import AyaError, Completion, DataError, EvaluatedModel, Replies
from aya_plugins.comet import environment, scoring
from aya_plugins.comet.process import Sample, Worker
from aya_plugins.comet.settings import Comet
from aya_plugins.evaluators.flores import Flores

ROWS = [
    Sample("Der Hund schläft im Garten.", "The dog is asleep in the garden.", "The dog sleeps in the garden."),
    Sample("我喜欢在下雨天读书。", "I like read on rainy day", "I like reading on rainy days."),
    Sample("Ο γιατρός ήρθε αργά.", "The doctor came late.", "The doctor arrived late."),
    Sample("The train leaves at nine.", "القطار يغادر في التاسعة", "يغادر القطار في الساعة التاسعة."),
    Sample("Where is the library?", "पुस्तकालय कहाँ है", "पुस्तकालय कहाँ है?"),
    Sample("She sings, he listens.", "彼女は歌い、彼は聞く。", "彼女が歌い、彼が聴く。"),
    Sample("Купи хлеба.", "Buy some bread.", "Buy bread."),
    Sample("a", "b", "c"),
    Sample("Il pleut." * 9, "It is raining." * 6 + "It rains.", "It rains." * 9),
]


@pytest.fixture(scope="module")
def comet(pytestconfig):
    """The interpreter of COMET's environment. `pytest --cache-clear` has it made anew; AYA_COMET_ENV names another place."""
    kept = pytestconfig.cache.mkdir("comet")
    root = kept / sha256(Path(environment.__file__).read_bytes()).hexdigest()[:16]
    for other in set(kept.iterdir()) - {root}:
        shutil.rmtree(other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AYA_COMET_ENV", os.environ.get("AYA_COMET_ENV") or str(root))
        yield environment.environment()


@pytest.fixture(scope="module")
def started(comet, tmp_path_factory):
    """A folder with tiny checkpoints and what comet-score says of ROWS, and a process of ours.

    One after the other: the first compiles the modules of a new environment, which takes most of the time, for both.
    """
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "rows.json").write_text(json.dumps(ROWS))
    script = Path(__file__).with_name("tiny_comet.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(folder))
        replied = subprocess.run([comet, "-I", script, folder], capture_output=True, text=True)
        assert replied.returncode == 0, replied.stderr
        with Worker(comet) as worker:
            yield folder, worker


@pytest.fixture
def tiny(started):
    return started[0]


@pytest.fixture
def worker(started):
    return started[1]


def settings(tiny, model="published", **others):
    return Comet(**{"path": str(tiny / model), "encoder": str(tiny / "encoder"), **others})


def values(worker, rows, batch_tokens):
    found = {place: score for batch in worker.scores(rows, batch_tokens) for place, score in batch}
    assert sorted(found) == list(range(len(rows)))
    return [found[place].value for place in range(len(rows))]


def test_scores_are_those_of_comet_score_in_any_order_and_batch(worker, tiny):
    expected = json.loads((tiny / "scores.json").read_text())
    assert max(expected["xcomet float32"]) - min(expected["xcomet float32"]) > 0.3
    order = random.Random(3).sample(range(len(ROWS)), len(ROWS))
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


def test_checkpoints_that_are_not_right_are_refused(worker, tiny, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    for model in ("lacking", "empty"):
        shutil.copytree(tiny / "published", tmp_path / model)
    weights = tmp_path / "lacking" / "checkpoints" / "model.ckpt"
    output = torch.load(weights)
    del output["state_dict"]["estimator.ff.0.weight"]
    torch.save(output, weights)
    (tmp_path / "empty" / "hparams.yaml").unlink()
    with pytest.raises(DataError, match="no weights for 1 parameters, such as estimator"):
        worker.load(settings(tmp_path, "lacking", encoder=str(tiny / "encoder")))
    with pytest.raises(DataError, match=r"hparams\.yaml is missing"):
        worker.load(settings(tmp_path, "empty"))
    with pytest.raises(DataError, match="does not compute xcomet; set `metric: comet`"):
        worker.load(settings(tiny, "comet"))
    with pytest.raises(DataError, match=r"XL at 0123.* gated, and licensed CC-BY-NC-SA-4\.0.*set HF_TOKEN"):
        worker.load(Comet(name="Unbabel/XCOMET-XL", revision=commit, encoder=str(tiny / "encoder")))
    with pytest.raises(DataError, match="facebook/xlm-roberta-xl at 0123"):
        worker.load(Comet(path=str(tiny / "published"), encoder_revision=commit))


def test_the_signature_names_models_precision_environment_and_versions(comet, tiny):
    output = scoring.signature(settings(tiny, precision="bfloat16"))["xcomet"]
    assert "precision bfloat16" in output
    assert f"environment {comet}" in output
    assert "unbabel-comet 2.2.7" in output
    assert f"torch {environment.versions(comet)['torch']}" in output
    assert scoring.signature(settings(tiny, "xcomet"))["xcomet"] != output.replace("bfloat16", "float32")


def test_torch_is_not_installed_twice(comet):
    inside = next(comet.parents[1].glob("lib/python*/site-packages")) / "torch"
    assert inside.resolve() == Path(torch.__file__).parent


def kept(folder):
    return [line for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]


# The last, for it kills the process of the others.
def test_a_killed_process_loses_one_batch_and_evaluations_share_scores(worker, tiny, tmp_path, monkeypatch):
    expected = json.loads((tiny / "scores.json").read_text())["xcomet float32"]
    spaced = [Sample(*(f" {text}\n" for text in row)) for row in ROWS]
    spaced += [Sample("eins", f"one {number}", "one") for number in range(400)]  # so that much is left at the kill

    def killed(worker, rows, batch_tokens):
        for number, batch in enumerate(scores(worker, rows, batch_tokens)):
            if number == 1:
                os.kill(worker.pid, signal.SIGKILL)
            yield batch

    with monkeypatch.context() as patch:
        scores = Worker.scores
        patch.setattr(Worker, "scores", killed)
        patch.setattr(scoring, "Worker", lambda python: worker)
        with pytest.raises(AyaError, match="SIGKILL"):
            scoring.scores(settings(tiny, batch_tokens=1), spaced, tmp_path)
    assert 2 <= len(kept(tmp_path)) < len(spaced)
    (file,) = tmp_path.rglob("*.jsonl")
    file.write_bytes(file.read_bytes() + kept(tmp_path)[0].encode()[:20])  # cut short by a kill of ours

    found = scoring.scores(settings(tiny), [*ROWS[::-1], *spaced], tmp_path)[: 2 * len(ROWS)]
    assert [score.cut for score in found[len(ROWS) :]] == [False] * (len(ROWS) - 1) + [True]
    assert [score.value for score in found] == pytest.approx([*expected[::-1], *expected], abs=1e-5)
    assert len([line for line in kept(tmp_path) if line.endswith("]")]) == len(spaced)

    monkeypatch.setattr(Worker, "__init__", None)  # no process is needed any more
    again = scoring.scores(settings(tiny, batch_tokens=64), ROWS, tmp_path)
    assert again == found[len(ROWS) :]
    with pytest.raises(TypeError):  # of another precision nothing is known
        scoring.scores(settings(tiny, precision="bfloat16"), ROWS, tmp_path)

    data = tmp_path / "data"
    data.mkdir()
    (data / "deu_Latn.devtest").write_text(ROWS[0].source)
    (data / "eng_Latn.devtest").write_text(ROWS[0].reference)
    flores = Flores(data=str(data), comet=settings(tiny)).build()
    into_english = next(request.prompt.id for request in flores.requests() if "into English" in request.prompt.text)
    replies = Replies(completions={into_english: [Completion(into_english, "m", 0, f"{ROWS[0].hypothesis}\n")]})
    evaluated = EvaluatedModel("m", [], [], [], lambda pairs: [], replies, store=tmp_path)
    rows = [row for row in flores.evaluate(evaluated) if row.metric.startswith("xcomet")]
    output = {metric: [row.value for row in rows if row.metric == metric] for metric in {row.metric for row in rows}}
    value = found[len(ROWS)].value  # the other direction was left unanswered
    assert output == {"xcomet": [value, 0.0], "xcomet/xx-en": [value], "xcomet/en-xx": [0.0], "xcomet/cut": [0.0]}
    assert flores.signature()["xcomet"] == scoring.signature(settings(tiny))["xcomet"]

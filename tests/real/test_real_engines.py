"""A published model in vLLM and in transformers, and one that was trained and saved: the same likelihoods and answers."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from aya_core.api import Completion, Demonstration, Sampling, TrainingJob, write_rows
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.teachers.vllm import Vllm
from aya_plugins.trainers.sft import Sft

ANSWERS = ["The Loire, the Rhône and the Seine.", "Weil Luft blaues Licht stärker streut.", "Rome."]


@pytest.fixture(scope="module")
def trained(smol, asked, tmp_path_factory):
    """The model after two steps of SFT, as our trainer saves it."""
    folder = tmp_path_factory.mktemp("trained")
    places = {name: folder / name for name in ("rows", "out", "work")}
    for place in places.values():
        place.mkdir()
    rows = [Demonstration(prompt, answer) for prompt, answer in zip(asked, ANSWERS, strict=False)]
    write_rows(places["rows"], Demonstration, rows)
    loop = {"steps": 2, "batch_rows": 3, "learning_rate": 1e-4, "warmup": 0, "checkpoint_seconds": None}
    Sft(**loop).build().train(TrainingJob(**places, seed=0, start=smol, objective=None))
    return places["out"]


def test_what_was_trained_is_read_back_with_the_logits_of_its_weights(smol, trained):
    assert json.loads((trained / "config.json").read_text())["vocab_size"] == 49152
    ids = torch.arange(100, 140)[None]
    with torch.inference_mode():
        again, before = (
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32) for folder in (trained, smol)
        )
        stored = load_file(trained / "model.safetensors")
        for name, value in again.state_dict().items():
            if name in stored:
                assert torch.equal(value, stored[name].float())
        moved = (again(ids).logits - before(ids).logits).abs().max()
    assert 1e-3 < moved < 5


@pytest.mark.filterwarnings("ignore:.torch.distributed.reduce_op. is deprecated:FutureWarning")
def test_vllm_and_transformers_say_the_same_of_a_trained_model(trained, asked, vllm_options, monkeypatch):
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    engine = {**vllm_options["engine"], "max_num_batched_tokens": 512, "max_num_seqs": 16}
    theirs = Vllm(model=str(trained), max_model_len=256, **{**vllm_options, "engine": engine}).build()
    ours = Transformers(model=str(trained), dtype="float32").build()
    pairs = list(zip(asked, ANSWERS, strict=False))
    for one, other in zip(ours.log_likelihoods(pairs), theirs.log_likelihoods(pairs), strict=True):
        assert one.tokens == other.tokens
        assert one.nats == pytest.approx(other.nats, rel=1e-4)
    greedy = Sampling(temperature=0, max_tokens=16)
    texts = [
        {one.prompt_id: one.text for one in teacher.answer(asked, greedy, 0) if isinstance(one, Completion)}
        for teacher in (ours, theirs)
    ]
    assert texts[0] == texts[1]
    theirs.engine.llm_engine.engine_core.shutdown()

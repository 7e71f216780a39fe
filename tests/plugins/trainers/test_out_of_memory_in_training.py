"""Where memory runs out, training says which settings to lower, and by how much."""

import pytest
import torch

from aya_core.api import AyaError
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.trainers.runtime import loop, sft
from aya_plugins.trainers.sft import Sft

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: not enough memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


def fail_at(monkeypatch, call, error=ERRORS[0], where=AnswerLogps, name="forward"):
    """Have one call of a function run out of memory."""
    plain, calls = getattr(where, name), []

    def run(*words, **named):
        calls.append(None)
        if len(calls) == call:
            raise error
        return plain(*words, **named)

    monkeypatch.setattr(where, name, run)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_forward_pass_that_does_not_fit_names_half_of_its_tokens(
    checkpoint, counting, rows_folder, run_trainer, monkeypatch, tmp_path, error
):
    fail_at(monkeypatch, 3, error)
    settings = Sft(steps=4, batch_rows=9, log_every=1, checkpoint_seconds=0)
    job = {"rows": rows_folder(counting), "start": checkpoint()}
    with pytest.raises(AyaError, match="out of memory while step 3 of 4 was made") as caught:
        run_trainer(settings, **job, work=tmp_path)
    message = str(caught.value)
    assert "the forward pass had 9 rows of up to 14 tokens, 126 in all" in message
    assert "Set `forward_tokens: 63` (now 16384;" in message
    for other in (
        "activation_checkpointing: true",
        "lora: {rank: 16}",
        "optimizer: adamw-8bit",
        "batch_rows` makes no",
    ):
        assert other in message
    assert f"goes on from {tmp_path / 'step-000000002'}" in message
    again, _ = run_trainer(settings.model_copy(update={"forward_tokens": 63}), **job, work=tmp_path)
    assert (again / "model.safetensors").is_file()


def test_a_row_that_does_not_fit_alone_names_max_tokens(checkpoint, counting, rows_folder, run_trainer, monkeypatch):
    fail_at(monkeypatch, 1)
    settings = Sft(steps=1, batch_rows=9, forward_tokens=1, activation_checkpointing=True, lora={"rank": 4})
    with pytest.raises(
        AyaError, match=r"Set `max_tokens: 8` \(now 4096; the forward pass was a single row of 14"
    ) as caught:
        run_trainer(settings, rows_folder(counting), start=checkpoint())
    for other in ("forward_tokens:", "activation_checkpointing", "lora:", "adamw-8bit"):
        assert other not in str(caught.value)


def test_an_update_that_does_not_fit_names_what_it_holds(checkpoint, counting, rows_folder, run_trainer, monkeypatch):
    fail_at(monkeypatch, 1, where=loop, name="update")
    settings = Sft(steps=1, batch_rows=9, ema=0.9)
    with pytest.raises(AyaError, match=r"the update of step 1 of 1 .*moments take .* MiB\).*`ema: null`") as caught:
        run_trainer(settings, rows_folder(counting), start=checkpoint())
    assert "forward_tokens" not in str(caught.value)


def test_held_out_rows_that_do_not_fit_name_forward_tokens(checkpoint, counting, rows_folder, run_trainer, monkeypatch):
    fail_at(monkeypatch, 1)
    settings = Sft(steps=1, batch_rows=9, forward_tokens=100, validation={"hold_back": 0.3})
    with pytest.raises(AyaError, match=r"held-out rows were measured after step 0 .*`forward_tokens: 49` \(now 100"):
        run_trainer(settings, rows_folder(counting), start=checkpoint())


def test_a_model_that_does_not_fit_is_no_traceback(checkpoint, counting, rows_folder, run_trainer, monkeypatch):
    fail_at(monkeypatch, 1, where=sft, name="load_causal_lm")
    with pytest.raises(AyaError, match="trainer 'sft': out of memory while rows and models were made ready"):
        run_trainer(Sft(steps=1), rows_folder(counting), start=checkpoint())


def test_other_errors_are_left_as_they_are(checkpoint, counting, rows_folder, run_trainer, monkeypatch):
    fail_at(monkeypatch, 1, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run_trainer(Sft(steps=1), rows_folder(counting), start=checkpoint())

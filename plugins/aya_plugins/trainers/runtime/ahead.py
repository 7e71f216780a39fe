"""What could fail at the end of a training run, tried before its first step."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoTokenizer

from aya_core.api import AyaError, DataError, Prompt, TrainingJob
from aya_plugins.modeling.checkpoint import save_checkpoint, stored_dtype
from aya_plugins.modeling.weights import quiet
from aya_plugins.trainers.runtime.resume import KEPT, checkpoint_along, kept_bytes
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.sizes import in_words, moment_bytes, trained_numbers

PROBED = 64
"""Prompts whose texts the tokenizer has to encode alike before and after it is saved."""

PROBE = "Zwölf Boxkämpfer, 123 + 45.6: पानी, 水と油、 naïve\n\n\tdef f(x): ...  \U0001f30a"
"""A text beside those of the prompts: scripts, figures, white space, an emoji."""


def try_the_end(
    job: TrainingJob, settings: LoopSettings, model: Any, tokenizer: Any, prompts: Sequence[Prompt], *, name: str
) -> None:
    """Write all of a checkpoint but its weights into a folder that is deleted again, and read it back.

    prompts: of the rows to train on. name: of the trainer, for messages. Raises AyaError where something cannot be written, or is
    not what was written when it is read.
    """
    for folder in (job.out, job.work, *([job.store] if job.store else [])):
        _try_folder(folder, name)
    with tempfile.TemporaryDirectory(dir=job.work, prefix="tried-") as tried:
        out = Path(tried)
        try:
            if settings.lora is None or settings.lora.save == "merged":
                dtype = stored_dtype(job.start) if job.start else None
                save_checkpoint(model, {}, tokenizer, out, card="", dtype=dtype, start=job.start)
                AutoConfig.from_pretrained(out)
            else:
                tokenizer.save_pretrained(out)
            with quiet():
                again = AutoTokenizer.from_pretrained(out)
        except OSError as error:
            raise _cannot_write(job.work, name, error) from error
        except Exception as error:  # whatever a library raises now, it would raise after the last step
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"trainer '{name}': a checkpoint made from {job.start} could not be saved and read again: {reason}. No step was made; "
                "mend the files of the start"
            ) from error
        _compare(tokenizer, again, prompts, where=f"trainer '{name}': {job.start}")


def _try_folder(folder: Path, name: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".tried-") as file:
            file.write(b"tried")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot_write(folder, name, error) from error


def _cannot_write(folder: Path, name: str, error: OSError) -> AyaError:
    return AyaError(
        f"trainer '{name}': {folder}: cannot be written to ({error.strerror or error}); change its permissions, free space there, or "
        "choose another folder for the run (--out)"
    )


def _compare(one: Any, again: Any, prompts: Sequence[Prompt], *, where: str) -> None:
    """Raise DataError where a tokenizer that was saved and read again is another one."""
    remedy = "take tokenizer.json, tokenizer_config.json and chat_template.jinja from the model it was made of"
    for what in ("eos_token_id", "bos_token_id", "pad_token_id", "chat_template"):
        before, after = getattr(one, what), getattr(again, what)
        if before != after:
            raise DataError(
                f"{where}: its tokenizer changes when it is saved: {what} is {before!r} and then {after!r}; {remedy}"
            )
    for text in _texts(prompts):
        before, after = (tokenizer(text, add_special_tokens=False).input_ids for tokenizer in (one, again))
        if before != after:
            place = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
            raise DataError(
                f"{where}: its tokenizer changes when it is saved: {text[:60]!r} is {before[place : place + 5]} from token {place + 1} "
                f"on, and then {after[place : place + 5]}; {remedy}"
            )


def _texts(prompts: Sequence[Prompt]) -> Iterable[str]:
    yield PROBE
    for prompt in islice(prompts, PROBED):
        yield from (text for message in prompt.messages if isinstance(text := message.get("content"), str) and text)


def check_space(job: TrainingJob, settings: LoopSettings, module: nn.Module, *, name: str) -> None:
    """Compare what a run will write with the space that is free. module: with its LoRA, before it is sharded.

    Raises AyaError where the checkpoint, or the saves of the training state, will not fit.
    """
    checkpoint, save = checkpoint_bytes(job, settings, module), save_bytes(settings, module)
    # while one is written, as many as are kept lie beside it
    saves = (KEPT + 1) * save if settings.checkpoint_seconds is not None else 0
    many = 1 + sum(not checkpoint_along(job.work, step).is_dir() for step in settings.checkpoint_steps)
    checkpoints = checkpoint * many
    kept = save if settings.keep_state and job.alike is not None else 0
    needed = checkpoints + kept + max(0, saves - kept_bytes(job.work))
    free = shutil.disk_usage(job.work).free
    smaller = "" if settings.lora else "`lora` or "
    without = (
        f", make saves smaller ({smaller}`optimizer: adamw-8bit`), or save only when the run is told to stop "
        "(`checkpoint_seconds: null`)"
    )
    if needed > free:
        times = f", {many} times" if many > 1 else ""
        state = f"{times} and up to {KEPT + 1} saves of the training state {in_words(save)} each" if saves else times
        raise AyaError(
            f"trainer '{name}': {in_words(free)} are free in {job.work}, and the run would write {in_words(needed)} there: the checkpoint "
            f"takes {in_words(checkpoint)}{state}. Free space, or choose another folder for the run (--out){without if saves else ''}"
        )
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(min(checkpoint, 50 * 10**9), save if saves else 0)  # transformers begins another file there
    if limit not in (resource.RLIM_INFINITY, -1) and largest > limit:
        raise AyaError(
            f"trainer '{name}': no file may be larger than {in_words(limit)} here (ulimit -f), and the run would write one of "
            f"{in_words(largest)}; raise the limit"
        )


def checkpoint_bytes(job: TrainingJob, settings: LoopSettings, module: nn.Module) -> int:
    """About how large the weights of the written checkpoint are."""
    if settings.lora and settings.lora.save == "adapter":
        return 4 * trained_numbers(module)
    width = stored_dtype(job.start).itemsize if job.start else torch.float32.itemsize
    return width * sum(parameter.numel() for parameter in module.parameters())


def save_bytes(settings: LoopSettings, module: nn.Module) -> int:
    """About how large a save of the training state is: the trained weights in float32, their moments, and other copies of them."""
    copies = (settings.ema is not None) + (settings.validation.keep == "best")
    return (4 + moment_bytes(settings) + 4 * copies) * trained_numbers(module)

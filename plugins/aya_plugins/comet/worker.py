"""Scores translations inside COMET's environment. Run as a script by its interpreter; see `process.py` for what is said.

Only the standard library and what comes with unbabel-comet is imported here.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLASSES = {"xcomet": ("xcomet_metric",), "comet": ("regression_metric", "unified_metric")}
"""The architectures that compute each metric, as `hparams.yaml` names them."""

ENCODER_FILES = ("*.json", "*.model", "*.txt")


class RefusedError(Exception):
    """Something that the user can mend; its message is sent."""


def main() -> None:
    """Read a request a line, write answers a line, until there are no more requests."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes with the errors
    import comet.models  # noqa: F401  # seconds, while we are still being asked

    model: Any = None

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                model = None
                model = load(request)
                say({"loaded": model.device.type})
            else:
                for scored in scores(model, request["rows"], request["batch_tokens"]):
                    say({"scores": scored})
                say({"done": True})
        except RefusedError as refused:
            say({"refused": str(refused)})


def load(asked: Mapping[str, Any]) -> Any:
    """Load a checkpoint as comet does, with the tokenizer and the config of its encoder from where we were told.

    Only weights and plain values are read from it: it is a pickle, and none of its code is run. Raises RefusedError for
    one that lacks weights (comet would draw them at random) or that computes another metric.
    """
    import torch
    import yaml
    from comet.models import load_from_checkpoint

    folder = Path(asked["path"] or _fetch(asked["name"], asked["revision"]))
    settings, checkpoint = folder / "hparams.yaml", folder / "checkpoints" / "model.ckpt"
    for needed in (settings, checkpoint):
        if not needed.is_file():
            raise RefusedError(f"{needed} is missing; expected a folder with hparams.yaml and checkpoints/model.ckpt")
    hparams = yaml.safe_load(settings.read_text(encoding="utf-8"))
    found = hparams.get("class_identifier")
    if found not in CLASSES[asked["metric"]]:
        fitting = next((name for name, known in CLASSES.items() if found in known), None)
        advice = f"set `metric: {fitting}`" if fitting else "metrics without a reference are not supported"
        raise RefusedError(f"{settings}: a checkpoint of class '{found}' does not compute {asked['metric']}; {advice}")
    encoder = asked["encoder"] or _fetch(hparams["pretrained_model"], asked["encoder_revision"], *ENCODER_FILES)
    with warnings.catch_warnings(record=True) as caught, _encoders_at(encoder):
        warnings.simplefilter("always")
        model: Any = load_from_checkpoint(str(checkpoint), local_files_only=True)
    warned = " ".join(str(one.message) for one in caught if "not in the checkpoint" in str(one.message))
    lost = [name for name, _ in model.named_parameters() if f"'{name}'" in warned]
    if lost:
        raise RefusedError(f"{checkpoint} has no weights for {len(lost)} parameters, such as {lost[0]}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(device=device, dtype=getattr(torch, asked["precision"]))


def scores(model: Any, rows: Sequence[Sequence[str]], batch_tokens: int) -> Iterator[list[tuple[int, float, bool]]]:
    """Yield the scores of a batch after the other: place, score, and whether the row was cut at the end.

    rows: source, hypothesis and reference of each. The longest come first, where memory is short at once if it is at all.
    """
    import torch

    tokenizer, most = model.encoder.tokenizer, model.encoder.max_positions
    tokens = [
        tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        for texts in zip(*rows, strict=True)
    ]
    each = [[len(ids) for ids in row] for row in zip(*tokens, strict=True)]
    if model.hparams.class_identifier == "regression_metric":  # it reads the three one by one, the others all in one
        lengths = [max(row) + 2 for row in each]
    else:
        lengths = [sum(row) + 1 + 3 * model.encoder.size_separator for row in each]
    cut = [length > most or max(row) + 2 > most - 2 for length, row in zip(lengths, each, strict=True)]
    order = sorted(range(len(rows)), key=lambda place: -lengths[place])
    for batch in batches(order, [min(length, most) for length in lengths], batch_tokens):
        samples = [dict(zip(("src", "mt", "ref"), rows[place], strict=True)) for place in batch]
        with torch.inference_mode():
            inputs = model.transfer_batch_to_device(model.prepare_for_inference(samples), model.device, 0)
            predicted = model.predict_step(inputs)["scores"].float().tolist()
        yield [(place, score, cut[place]) for place, score in zip(batch, predicted, strict=True)]


def batches(order: Sequence[int], lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Cut rows, longest first, into batches of at most so many tokens; a longer row has one to itself."""
    batch: list[int] = []
    for place in order:
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _fetch(name: str, revision: str, *patterns: str) -> str:
    """Fetch a model of the hub at a commit, or find it in the hub's cache."""
    from huggingface_hub import snapshot_download

    patterns = patterns or ("hparams.yaml", "checkpoints/model.ckpt")
    try:
        return snapshot_download(name, revision=revision, allow_patterns=list(patterns))
    except Exception as error:
        gated = (
            " It is gated, and licensed CC-BY-NC-SA-4.0 (no commercial use): accept the terms on its page and set HF_TOKEN."
            if name.lower().startswith("unbabel/xcomet")
            else ""
        )
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RefusedError(
            f"{name} at {revision} cannot be fetched from the hub: {reason}.{gated} Or fetch it elsewhere and name its folder"
        ) from None


@contextmanager
def _encoders_at(folder: str) -> Iterator[None]:
    """Let comet take tokenizers and configs of encoders from a folder, whatever a checkpoint names."""
    from comet.encoders import str2encoder

    before = dict(str2encoder)
    str2encoder.update({name: _Placed(encoder, folder) for name, encoder in before.items()})
    try:
        yield
    finally:
        str2encoder.update(before)


class _Placed:
    def __init__(self, encoder: Any, folder: str) -> None:
        self._encoder = encoder
        self._folder = folder

    def from_pretrained(self, _: str, load_pretrained_weights: bool, __: bool) -> Any:
        return self._encoder.from_pretrained(self._folder, load_pretrained_weights, True)


if __name__ == "__main__":
    main()

"""Check a merged checkpoint: it loads whole, and finds a few lines of each language about as likely as its inputs do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from aya_core.api import DataError, MergeInput
from aya_plugins.datasets.files import read_lines
from aya_plugins.evaluators.signatures import versions
from aya_plugins.merges.adapters.adapter import open_adapter
from aya_plugins.modeling.checkpoint import load_config, load_model, load_tokenizer, load_with_faults
from aya_plugins.modeling.head import AnswerLogps, check_head
from aya_plugins.modeling.plain import pad_id_of
from aya_plugins.modeling.rows import Encoded, Ints, RowGatherer
from aya_plugins.modeling.scoring import answer_logps
from aya_plugins.modeling.settings import CheckpointSettings

FATES = ("lines", "empty", "too_long")
"""What becomes of a line: the first is scored, the others are left out."""


@dataclass(frozen=True)
class Lines:
    """Lines that every model can read.

    encoded: by model; the answers of its rows are the lines. pad_ids: by model. bytes: (rows,) of each line in UTF-8.
    rows: by language. account: lines, bytes, empty and too_long of each language.
    """

    encoded: Mapping[str, Encoded]
    pad_ids: Mapping[str, int]
    bytes: Ints
    rows: Mapping[str, Ints]
    account: Mapping[str, Mapping[str, int]]

    @property
    def are_same_tokens(self) -> bool:
        """Whether all models split the lines into the same tokens, of the same ids."""
        first, *others = self.encoded.values()
        return all(numpy.array_equal(first.ids[:], other.ids[:]) for other in others)


def encode_lines(tokenizers: Mapping[str, Any], lines: Mapping[str, Sequence[str]], max_tokens: int) -> Lines:
    """Encode lines for every model, and leave out those that are empty or, for some model, too long.

    A line's tokens come after those that the tokenizer puts before a text, or the token that begins or ends texts where it
    puts none; what it puts after a text is not read. Raises DataError where no line is left.
    """
    languages = [language for language, texts in lines.items() for _ in texts]
    texts = [text for of_language in lines.values() for text in of_language]
    split = {name: [_split(tokenizer, text, name) for text in texts] for name, tokenizer in tokenizers.items()}
    fates = []
    for row, text in enumerate(texts):
        rows = [of_model[row] for of_model in split.values()]
        if not text.strip() or not all(own for _, own in rows):
            fates.append("empty")
        else:
            fates.append("too_long" if any(len(head) + len(own) > max_tokens for head, own in rows) else "lines")
    kept = [row for row, fate in enumerate(fates) if fate == "lines"]
    if not kept:
        raise DataError(
            f"none of {len(texts)} lines can be scored; expected some lines of text of at most {max_tokens} tokens"
        )
    encoded = {}
    for name, of_model in split.items():
        gatherer = RowGatherer(max_tokens)
        for row in kept:
            head, own = of_model[row]
            gatherer.add([*head, *own], len(head))
        encoded[name] = gatherer.encoded()
    sizes = numpy.array([len(texts[row].encode()) for row in kept], dtype=numpy.int64)
    rows_of = {
        language: numpy.flatnonzero([languages[row] == language for row in kept]).astype(numpy.int64)
        for language in lines
    }
    account = {
        language: {
            **{fate: sum(pair == (language, fate) for pair in zip(languages, fates, strict=True)) for fate in FATES},
            "bytes": int(sizes[rows_of[language]].sum()),
        }
        for language in lines
    }
    pads = {name: pad_id_of(tokenizer, name) for name, tokenizer in tokenizers.items()}
    return Lines(encoded, pads, sizes, rows_of, account)


def _split(tokenizer: Any, text: str, name: str) -> tuple[list[int], list[int]]:
    """Give the tokens before a text, and its own."""
    (encoding,) = tokenizer([text], verbose=False).encodings
    is_added = [bool(added) for added in encoding.special_tokens_mask]
    own = [token for token, added in zip(encoding.ids, is_added, strict=True) if not added]
    head = encoding.ids[: is_added.index(False)] if own else []
    if head:
        return head, own
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return [token], own
    raise DataError(f"model '{name}': its tokenizer names neither bos_token nor eos_token, one of which begins a text")


BATCH_TOKENS = 4096
MAX_TOKENS = 4096


def checked(models: Sequence[MergeInput], lines: Path, per_language: int, device: str) -> dict[str, Any]:
    """Compare models on lines of a file, the merged one first, with `table` for people to read.

    Raises DataError where the merged one has a fault that none of the others has.
    """
    report = compare_perplexity(models, lines_of_file(lines, per_language=per_language), device=device)
    merged, *others = (report["models"][model.name]["faults"] for model in models)
    if new := {kind: what for kind, what in merged.items() if not any(kind in other for other in others)}:
        differences = "; ".join(f"{kind}: {', '.join(what)}" for kind, what in new.items())
        raise DataError(f"the merged checkpoint does not load as what it was merged from ({differences})")
    return {**report, "table": perplexity_table(report)}


def lines_of_file(path: Path, *, per_language: int) -> dict[str, list[str]]:
    """Read the first lines of each language from a JSONL or Parquet file with the columns text and language.

    Lines without text do not count. Raises DataError with the place of a row that lacks a column.
    """
    found: dict[str, list[str]] = {}
    for line in read_lines(str(path), ".jsonl", ".json", ".parquet"):
        for column in ("text", "language"):
            if not isinstance(line.row.get(column), str):
                raise DataError(f"{line.place}: no text in column '{column}'; expected the columns text and language")
        lines = found.setdefault(line.row["language"], [])
        if line.row["text"].strip() and len(lines) < per_language:
            lines.append(line.row["text"])
    return found


def compare_perplexity(
    models: Sequence[MergeInput], lines: Mapping[str, Sequence[str]], *, device: str = "cpu"
) -> dict[str, Any]:
    """Load checkpoints in turn, the merged one first, and score the same lines with each.

    bits_per_byte = -log2 p(line) / bytes of the line in UTF-8, over all lines of a language together; perplexity is e to
    the nats per token. Each line is read alone, as plain text after the token that begins texts. Log-probabilities are in
    float32 on a CPU, in the checkpoint's dtype elsewhere, with the model's logit scale and cap.

    lines: by language. Empty ones are dropped, and so are those longer than 4,096 tokens or than some model's context;
    both are counted.

    Returns what JSON can hold: `models` by name, each with `faults` and `languages`; `languages` with lines, bytes and
    what was dropped; `same_tokens`, whether all models split the lines alike, without which only bits per byte can be
    compared; `signature`. A model's `languages` have bits_per_byte, its standard_error over lines (None for one line),
    perplexity (None where it is beyond numbers) and tokens. Its `faults`, none where all is well, name what is `missing`,
    `unexpected`, `mismatched`, `tokens without a row` of embeddings, and languages whose score is `not finite`. A model
    with any of these but unexpected tensors, which are left out, is not scored.

    Raises DataError for a folder that is no checkpoint, and where no line is left.
    """
    encoded = _encode(models, lines)
    report: dict[str, Any] = {
        "models": {},
        "languages": encoded.account,
        "same_tokens": encoded.are_same_tokens,
        "signature": {"unit": "bits per UTF-8 byte", **versions("torch", "transformers")},
    }
    for model in models:
        loaded, faults = _load(model, device)
        faults |= _vocabulary_faults(loaded, encoded, model.name)
        scores: dict[str, Any] = {}
        if not set(faults) - {"unexpected"}:
            check_head(loaded, str(model.folder))
            scores = _score(loaded, encoded, model.name)
            if broken := [language for language, score in scores.items() if not math.isfinite(score["bits_per_byte"])]:
                faults["not finite"] = broken
                scores = {language: score for language, score in scores.items() if language not in broken}
        report["models"][model.name] = {"faults": faults, "languages": scores}
        del loaded
    return report


def perplexity_table(report: Mapping[str, Any]) -> str:
    """Render a report of `compare_perplexity`: bits per byte, and perplexity per token where tokenizers agree."""
    models = report["models"]
    same = report["same_tokens"]
    rows = [["language", "lines", *models]]
    for language, account in report["languages"].items():
        cells = []
        for model in models.values():
            score = model["languages"].get(language)
            cells.append("-" if score is None else f"{score['bits_per_byte']:.4f}")
            if score is not None and same:
                cells[-1] += f" ({score['perplexity']:.4g})" if score["perplexity"] is not None else " (-)"
        rows.append([language, str(account["lines"]), *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    unit = "Bits per byte (perplexity per token); less is better."
    if not same:
        unit = "Bits per byte; less is better. The tokenizers split lines differently, so perplexities per token cannot be compared."
    notes = [
        f"{name}: {kind}: {', '.join(what)}" for name, model in models.items() for kind, what in model["faults"].items()
    ]
    for reason in ("empty", "too_long"):
        if count := sum(account[reason] for account in report["languages"].values()):
            notes.append(f"Left out as {reason.replace('_', ' ')}: {count} lines.")
    return "\n".join([*text, "", unit, *notes])


def _encode(models: Sequence[MergeInput], lines: Mapping[str, Sequence[str]]) -> Lines:
    tokenizers = {}
    longest = MAX_TOKENS
    for model in models:
        tokenizers[model.name] = load_tokenizer(model.folder, must_fit=False)
        limit = getattr(load_config(model.folder).get_text_config(), "max_position_embeddings", None)
        longest = min(longest, limit or longest)
    return encode_lines(tokenizers, lines, longest)


def _load(model: MergeInput, device: str) -> tuple[Any, dict[str, list[str]]]:
    loaded, faults = load_model(CheckpointSettings(model=str(model.folder), device=device), load_with_faults)
    if model.adapter is not None:
        _adapt(loaded, model.adapter)
    return loaded, faults


def _adapt(model: Any, folder: Path) -> None:
    tensors = {}
    seen = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:  # a tied head is the embeddings again
            tensors[name] = tensor
        seen.add(tensor.data_ptr())
    adapter = open_adapter(folder, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    for name in adapter.changes:
        tensor = tensors[name]
        changed = adapter.source(name, _InMemory(tensor)).read(0, tensor.numel())
        tensor.copy_(changed.view(tensor.shape))


class _InMemory:
    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor.flatten()
        self.shape = tuple(tensor.shape)
        self.dtype = "F32"
        self.bytes = tensor.numel() * tensor.element_size()

    def read(self, start: int, stop: int) -> torch.Tensor:
        return self._tensor[start:stop].to("cpu", torch.float32, copy=True)


def _vocabulary_faults(model: Any, lines: Lines, name: str) -> dict[str, list[str]]:
    last, rows = int(lines.encoded[name].ids[:].max()), model.get_input_embeddings().weight.shape[0]
    return {"tokens without a row": [f"id {last}, but {rows} rows of embeddings"]} if last >= rows else {}


def _exp(nats: float) -> float | None:
    """None where it is larger than any number."""
    return math.exp(nats) if nats < math.log(1e300) else None


def _score(model: Any, lines: Lines, name: str) -> dict[str, Any]:
    encoded, pad_id = lines.encoded[name], lines.pad_ids[name]
    nats = -answer_logps(AnswerLogps(model), encoded, pad_id, batch_tokens=BATCH_TOKENS).astype(numpy.float64)
    scores = {}
    for language, rows in lines.rows.items():
        if not len(rows):
            continue
        bits, sizes = nats[rows] / math.log(2), lines.bytes[rows]
        tokens = int(encoded.answer_tokens[rows].sum())
        rate = float(bits.sum() / sizes.sum())
        scores[language] = {
            "bits_per_byte": rate,
            "standard_error": _standard_error(bits - rate * sizes, float(sizes.sum())),
            "perplexity": _exp(float(nats[rows].sum()) / tokens),
            "tokens": tokens,
        }
    return scores


def _standard_error(residuals: Any, total: float) -> float | None:
    """Of a ratio of sums, by linearization; None for a single line."""
    n = len(residuals)
    return float(math.sqrt(n / (n - 1) * float((residuals**2).sum())) / total) if n > 1 else None

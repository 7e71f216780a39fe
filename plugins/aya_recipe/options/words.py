"""Data sets, rows, models and named strategies as words of a command: `prompts.jsonl` is `{use: jsonl, path: prompts.jsonl}`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aya_core.api import MANIFEST, RecipeError, read_strategy

USES = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv", ".tsv": "csv"}
"""The data set that reads files with each ending."""


def _endings(folder: Path, pattern: str) -> set[str]:
    return {file.suffix for file in folder.glob(pattern) if file.is_file()} & set(USES)


def read_dataset(text: str, option: str) -> dict[str, Any]:
    """Read a data set: a JSONL, Parquet, CSV or TSV file, or a strategy."""
    ending = Path(text).suffix
    if Path(text).is_dir():
        endings = _endings(Path(text), "*") or _endings(Path(text), "*/*")  # a folder for each language, as on the hub
        if len(endings) != 1:
            raise RecipeError(f"{option} {text}: a folder; expected {' or '.join(USES)} files in it, of one kind")
        return {"use": USES[endings.pop()], "path": text}
    if ending in USES and "," not in text and not text.lstrip().startswith("{"):
        return {"use": USES[ending], "path": text}
    return read_strategy(text, option)


def read_row_source(text: str, option: str) -> dict[str, Any] | str:
    """Read a data set, or the folder of rows that a run made."""
    folder = Path(text)
    if (folder / MANIFEST).is_file() or (folder.parent / MANIFEST).is_file():
        return str(folder.resolve())
    return read_dataset(text, option)


def read_model(text: str) -> str:
    """Read a model; a folder needs no slash in its name."""
    return str(Path(text).resolve()) if Path(text).is_dir() else text


def read_named(text: str, option: str) -> tuple[str, dict[str, Any]]:
    """Read `name=strategy`."""
    name, equals, rest = text.partition("=")
    if not equals or "," in name:
        raise RecipeError(f"{option} {text}: expected name=strategy, such as ana=transformers,model=./ana")
    return name.strip(), read_strategy(rest, option)

"""MGSM's examples with chains of thought, from the file they were published in."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aya_core.api import DataError, parse_json
from aya_plugins.benchmarks.mgsm import Exemplar

TABLE = "MGSM_EXEMPLARS"
EXPECTED = f'expected {TABLE} as MGSM publishes it: {{"de": {{"1": {{"q": "Frage: ...", "a": "..."}}, ...}}, ...}}'


def published_beside(data: str) -> Path | None:
    """Find the examples in the folder of MGSM's files. Beside a single file they would be no part of its fingerprint."""
    folder = Path(data)
    return next((path for name in ("exemplars.py", "exemplars.json") if (path := folder / name).is_file()), None)


def read_exemplars(file: Path) -> Mapping[str, Sequence[Exemplar]]:
    """Read the examples of each language, in their order, from exemplars.py, which is not run, or from JSON of the same structure.

    Raises DataError for a file that holds none.
    """
    table = _table(file)
    try:
        return {
            language: [Exemplar(str(one["q"]), str(one["a"])) for one in examples.values()]
            for language, examples in table.items()
        }
    except (AttributeError, KeyError, TypeError):
        raise DataError(f"{file}: {EXPECTED}") from None


def _table(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix == ".json":
            found = parse_json(text)
            return found.get(TABLE, found)
        for statement in ast.parse(text).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == TABLE for target in targets):
                return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; {EXPECTED}") from None
    except (AttributeError, SyntaxError, ValueError, RecursionError, MemoryError) as error:  # of deep nesting
        raise DataError(f"{file}: cannot be read ({error}); {EXPECTED}") from None
    raise DataError(f"{file}: {EXPECTED}")

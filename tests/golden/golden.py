"""Golden values: what is kept of results, and how those of today are compared with them.

A maker fills a folder, if it needs one, and returns results by case. They are told as plain data: numbers rounded to five digits, a
long text by its beginning and its hash.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from aya_core.api import Verdict, stable_hash
from aya_core.contract.records import Columns
from aya_core.planning.registry import Registry

FILE = Path(__file__).parent / "results.json"

WRITE = "write the golden values (python tests/golden/write.py) and seal (make docs)"

Maker = Callable[[Path], Mapping[str, Any]]

DIGITS = 5
TOLERANCE = 2e-4
"""How far apart two numbers may be, relative: other machines sum in another order."""
NOTHING = 1e-6
"""What counts as zero."""
LONGEST_TEXT = 60
SHOWN = 5
"""Differences of a label that are told."""
MISSING = "nothing"


def bundled(registry: Registry, kind: str) -> list[str]:
    """The names of a kind that this distribution offers."""
    return [name for name in registry.strategies[kind] if registry.origin(kind, name).distribution == "aya-core"]


def plain(value: Any) -> Any:
    """Tell a result as data that JSON holds."""
    if isinstance(value, Verdict):
        described = value.score if value.status == "scored" else f"{value.status}: {value.reason}"
        return plain([described, value.details] if value.details else described)
    if isinstance(value, Columns):
        return plain(value.to_values())
    if isinstance(value, torch.Tensor):
        return plain(value.detach().tolist())
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"{value[:LONGEST_TEXT]}... {stable_hash(value)[:8]}"
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"{type(value).__name__} cannot be told as plain data")


def differences(kept: Any, found: Any, where: str = "") -> Iterator[str]:
    """Say where two results differ, but for the rounding of numbers."""
    if isinstance(kept, dict) and isinstance(found, dict):
        for key in sorted({*kept, *found}):
            yield from differences(kept.get(key, MISSING), found.get(key, MISSING), f"{where}.{key}" if where else key)
    elif isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        for place, pair in enumerate(zip(kept, found, strict=True)):
            yield from differences(*pair, f"{where}[{place}]")
    elif not (_are_close(kept, found) if isinstance(kept, float) else type(kept) is type(found) and kept == found):
        yield f"{where}: {kept!r} is kept, {found!r} was found"


def _are_close(kept: float, found: Any) -> bool:
    return type(found) is float and math.isclose(kept, found, rel_tol=TOLERANCE, abs_tol=NOTHING)


def read() -> dict[str, Any]:
    """The golden values: by label the version and the results by case."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}


def write(golden: Mapping[str, Any]) -> None:
    """Write the golden values, a line a case."""
    described = []
    for label, one in sorted(golden.items()):
        cases = [
            f"  {json.dumps(case)}: {json.dumps(result, ensure_ascii=False)}" for case, result in one["results"].items()
        ]
        joined = ",\n".join(cases)
        described.append(
            f'{json.dumps(label)}: {{"version": {json.dumps(one["version"])}, "results": {{\n{joined}\n}}}}'
        )
    FILE.write_text("{\n" + ",\n".join(described) + "\n}\n", encoding="utf-8")


def described(label: str, version: int | None, found: Sequence[str]) -> str:
    """Say what to do about differences, and name the first ones."""
    if version is None:
        replied = f"the result of {label} differs: raise the version of everything that calls it"
    else:
        replied = f"the result of {label} differs under version {version}: raise its version"
    more = [f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n  ".join((f"{replied}, then {WRITE}", *found[:SHOWN], *more))

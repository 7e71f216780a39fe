"""What every strategy must be, whatever its kind: described, frozen, strict, plain data, cheap to import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from aya_core.contract.strategies import Settings, Strategy, strategies_in
from aya_core.contract.words import faults_of_class, faults_of_values, kind_of


@dataclass(frozen=True)
class Rules:
    """The rules that a plugin must keep: `expect = Rules(strategy)`, then `expect(holds, rule)` for each. who: it, or its name."""

    who: object

    def __call__(self, holds: bool, rule: str) -> None:
        """Raise AssertionError with the name of whose rule it is, unless the rule holds."""
        if not holds:
            name = self.who if isinstance(self.who, str) else type(self.who).__name__
            raise AssertionError(f"{name}: {rule}")

    @contextmanager
    def without(self, *errors: type[Exception], rule: str) -> Iterator[None]:
        """Expect what is done inside to raise none of these errors. The error stands behind the rule."""
        try:
            yield
        except errors as error:
            self(False, f"{rule}: {type(error).__name__}: {error}")


_LIST_MODULES = """
import importlib, importlib.util, json, sys
name, file, sys.path[:] = json.loads(sys.argv[1])
if importlib.util.find_spec(name.partition(".")[0]):
    importlib.import_module(name)
else:
    spec = importlib.util.spec_from_file_location(name, file)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
print(json.dumps(sorted(sys.modules)))
"""


def check_strategy(strategy: Strategy[Any], kind: str | None = None) -> None:
    """Check what the contract asks of every strategy. Raises AssertionError that says which rule is broken.

    The module of its class is imported once more, in a process of its own, to see that it brings in nothing heavy.
    kind: what it must be, such as `arbiter`; None takes the kind whose base its class derives from.
    """
    cls = type(strategy)
    wanted = kind or kind_of(cls)
    if wanted is None:
        raise AssertionError(f"{cls.__name__}: must derive from the base of its kind, such as ArbiterStrategy")
    expect = Rules(strategy)
    for fault in faults_of_class(cls, wanted) or faults_of_values(strategy, wanted):
        expect(False, f"it {fault}")
    check_settings(strategy)
    if all(found is strategy for found in strategies_in(strategy)):  # one inside needs a registry to be read back
        again = cls.model_validate_json(strategy.model_dump_json())
        expect(again == strategy, "settings must survive being written as JSON and read back")
    check_light(strategy, "torch", *cls.imports)


def check_settings(settings: Settings) -> None:
    """Check that settings are described, frozen and strict, those inside them described too."""
    kind, expect = type(settings), Rules(settings)
    expect(bool((kind.__doc__ or "").strip()), "the class needs a docstring; its first line is what users read")
    expect(kind.model_config.get("frozen") is True, "settings must be frozen")
    expect(kind.model_config.get("extra") == "forbid", "settings must refuse unknown keys (extra='forbid')")
    for owner, name in _undescribed(settings):
        expect(False, f"field '{name}' of {owner} needs a description; users read it")


def check_light(settings: Settings, *heavy: str) -> None:
    """Check that the module of settings imports none of these. It is imported once more, in a process of its own."""
    module = type(settings).__module__
    if module == "__main__":
        return
    loaded = _modules_loaded_by(module, getattr(sys.modules[module], "__file__", None))
    for name in heavy:
        Rules(settings)(
            name not in loaded,
            f"importing {module} imports {name}; import it inside build(), or where else the work is done",
        )


def _undescribed(settings: BaseModel) -> Iterator[tuple[str, str]]:
    for name, field in type(settings).model_fields.items():
        if not (field.description or "").strip():
            yield type(settings).__name__, name
        value = getattr(settings, name)
        if isinstance(value, BaseModel) and not isinstance(value, Strategy):
            yield from _undescribed(value)


@cache
def _modules_loaded_by(module: str, file: str | None) -> frozenset[str]:
    arguments = json.dumps([module, file, sys.path])
    done = subprocess.run([sys.executable, "-c", _LIST_MODULES, arguments], capture_output=True, text=True, check=False)
    failure = (done.stderr.strip().splitlines() or [""])[-1]
    Rules(module)(done.returncode == 0, f"the module does not import on its own: {failure}")
    return frozenset(json.loads(done.stdout.splitlines()[-1]))

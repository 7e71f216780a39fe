"""Write the seals of our packages (`sealed.json`), or check that they are up to date.

A seal says for which code a version of a strategy, an action or a hook stands: where the code is that, results are named by the
version alone. Seal again when code has changed and its results have not, as the golden tests (tests/golden) tell; where
they have, raise `version` first.

python docs/seals.py          write
python docs/seals.py --check  say whose code has changed, and exit with 1
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aya_core.contract.identity import SEALS
from aya_core.planning.registry import Registry

OURS = "aya-core"

PACKAGES = ("aya_core", "aya_recipe", "aya_plugins")

Seals = dict[str, dict[str, Any]]


def sealed(registry: Registry) -> Iterator[tuple[str, str, Any, int]]:
    """Our package, label, code and version of all that decides results."""
    for name, action in registry.actions.items():
        package = action.run.__module__.partition(".")[0]
        if package in PACKAGES:
            yield package, f"action {name}", action.run, action.version
    for kind, strategies in registry.strategies.items():
        for name, strategy in strategies.items():
            if kind != "tracker" and registry.origin(kind, name).distribution == OURS:
                yield from _one(f"{kind} {name}", strategy)
    actions = registry.actions.values()
    for hook in sorted({hook for action in actions for hook in registry.code.reached(action.run).hooks}):
        for implementation in getattr(registry.manager.hook, hook).get_hookimpls():
            yield from _one(f"{hook} of {implementation.plugin_name}", implementation.function)


def _one(label: str, code: Any) -> Iterator[tuple[str, str, Any, int]]:
    yield code.__module__.partition(".")[0], label, code, getattr(code, "version", 1)


def main() -> None:
    """Write or check the seals of every package."""
    registry = Registry()
    packages: dict[str, Seals] = {}
    for package, label, code, version in sealed(registry):
        packages.setdefault(package, {})[label] = {"version": version, "code": registry.code.reached(code).code}
    stale = []
    for package, now in packages.items():
        path = Path(importlib.import_module(package).__path__[0]) / SEALS
        before: Seals = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        stale += [f"{path.parent.name}/{SEALS}: {one}" for one in differences(before, now)]
        if "--check" not in sys.argv:
            lines = [f"{json.dumps(label)}: {json.dumps(seal)}" for label, seal in sorted(now.items())]
            path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    if stale and "--check" in sys.argv:
        shown = "\n".join(stale)
        sys.exit(
            f"{shown}\nRun the golden tests (pytest tests/golden). If results change, raise `version` of whatever these lines name, so "
            "that they are made again, and write the golden values (python tests/golden/write.py). Then, or if results stay the same, "
            "seal with `make docs`."
        )
    print(f"{SEALS}: {f'{len(stale)} changed' if stale else 'up to date'}")


def differences(before: Seals, now: Seals) -> Iterator[str]:
    """Say what is sealed otherwise than it stands."""
    for label in sorted({*before, *now}):
        old, new = before.get(label), now.get(label)
        if new is None:
            yield f"{label} is gone"
        elif old is None:
            yield f"{label} is not sealed"
        elif old["version"] != new["version"]:
            yield f"version {new['version']} of {label} is not sealed"
        elif old["code"] != new["code"]:
            yield f"the code of {label} has changed under version {new['version']}"


if __name__ == "__main__":
    main()

"""Suites of `aya evaluate`: recipes whose evaluate stages are applied to any models, on the data that a folder has.

A suite is a recipe in which `$data` stands for the folder of data and `$rival` for the rival of win rates, and `models` and judges
are left out. What its data is missing for is left out, and told.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from aya_core.api import (
    EvaluatorStrategy,
    LoadedRecipe,
    RecipeError,
    Registry,
    SettingsError,
    did_you_mean,
    read_strategy,
    validate_recipe,
    yaml12,
)
from aya_recipe.options.words import read_dataset, read_model

DATA, RIVAL, JUDGE = "$data", "$rival", "$judge"
"""What stands in a suite for the folder of its data, the rival of its win rates and their judge."""

_DOLLY = (
    "https://huggingface.co/datasets/CohereLabs/aya_evaluation_suite (license: Apache-2.0); expected its files, with the columns id, "
    "inputs and language, or a file for each language, de.jsonl or de.parquet, with the columns id and prompt"
)

WHERE: Mapping[str, str] = {
    "m-arenahard": "https://huggingface.co/datasets/CohereLabs/m-ArenaHard (license: Apache-2.0); expected a file for each language, "
    "de.parquet or de.jsonl",
    "dolly-human-edited": _DOLLY,
    "dolly-machine-translated": _DOLLY,
    "comet": "https://huggingface.co/Unbabel/XCOMET-XL (license: CC-BY-NC-SA-4.0; accept its terms there) as xcomet/, and "
    "https://huggingface.co/facebook/xlm-roberta-xl, tokenizer and config, as xcomet-encoder/",
}
"""Where the prompts of a stage or the files of a nested setting are published, by its name; evaluators say it of their own data."""

PUBLISHED_AS: Mapping[str, Sequence[str]] = {
    "global-mmlu": ("Global-MMLU",),
    "xstorycloze": ("xstory_cloze", "XStoryCloze"),
    "xwinograd": ("crosslingual_winograd",),
    "include": ("include-base-44",),
    "flores": ("flores200_dataset", "flores_plus"),
    "m-arenahard": ("m-ArenaHard",),
    "dolly-human-edited": ("dolly_human_edited", "aya_evaluation_suite/dolly_human_edited"),
    "dolly-machine-translated": ("dolly_machine_translated", "aya_evaluation_suite/dolly_machine_translated"),
}
"""Folders that hold the same as one that a suite names, as repositories and archives call them."""


def load_suite(
    suite: str, models: Sequence[str], data: Path | None, *, against: str | None = None, judge: str | None = None,
    teacher: str | None = None, overrides: Sequence[str] = (),
) -> tuple[LoadedRecipe, Sequence[str]]:  # fmt: skip
    """Make a recipe of a suite for some models; also say, a line each, what is left out and why."""
    suites = Registry().suites
    path = suites.get(suite, Path(suite))
    if not path.is_file():
        raise RecipeError(f"--suite {suite}: neither a file nor a bundled suite; {did_you_mean(suite, suites)}")
    if data is not None and not data.is_dir():
        raise RecipeError(f"--data {data}: no such folder; expected one with the suite's data, a folder for each set")
    raw = yaml12.read(path)
    if not isinstance(raw, dict) or not isinstance(raw.get("stages"), list):
        raise RecipeError(f"{path}: expected a recipe, a mapping with `name` and `stages`")
    fitting = _Fitting(path, raw, data, against is not None and judge is not None)
    raw = {**raw, "plugins": fitting.plugins, "stages": list(fitting.stages())}
    if not any(stage.get("do") == "evaluate" for stage in raw["stages"]):
        raise RecipeError("\n".join([f"{path}: nothing is left to evaluate", *fitting.left_out]))
    rival = None if against is None else _rival(against)
    values: dict[str, Any] = {RIVAL: rival}
    if judge is not None:
        values[JUDGE] = read_strategy(judge, "--judge")
    asked = list(dict.fromkeys([*map(read_model, models), *([rival] if isinstance(rival, str) else [])]))
    for stage in raw["stages"]:
        if stage.get("do") == "evaluate":
            stage["models"] = asked
            if teacher is not None:
                stage["teacher"] = read_strategy(teacher, "--teacher")
    filled = _filled(raw, values, "" if data is None else str(data.resolve()))
    loaded = validate_recipe(filled, source=str(path), folder=Path.cwd(), overrides=overrides)
    return loaded, fitting.left_out


def _rival(text: str) -> str | dict[str, Any]:
    """Read a model, or a teacher with settings that answers for it."""
    return read_strategy(text, "--against") if "," in text or text.lstrip().startswith("{") else read_model(text)


class _Fitting:
    """Fits a suite to the data that there is. has_judge: whether win rates can be told. left_out: what did not fit, a line each."""

    def __init__(self, path: Path, raw: Mapping[str, Any], data: Path | None, has_judge: bool) -> None:
        self.raw = raw
        self.plugins = [str(path.parent.resolve() / file) for file in raw.get("plugins") or []]
        self.data = data
        self.has_judge = has_judge
        self.registry = Registry([Path(file) for file in self.plugins])
        self.missing_rows: set[str] = set()
        self.left_out: list[str] = []

    def stages(self) -> Iterator[dict[str, Any]]:
        """Yield the stages that can be done, without the evaluators that cannot."""
        for stage in self.raw["stages"]:
            if stage.get("do") == "data":
                if missing := self._missing(stage["rows"]):
                    self.missing_rows.add(stage["name"])
                    self._leave_out(stage["name"], missing)
                    continue
                yield {**stage, "rows": self._with_reader(stage["rows"])}
            elif stage.get("do") == "evaluate":
                yield from self._evaluation(stage)
            else:
                yield stage

    def _evaluation(self, stage: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        name, prompts = stage["name"], stage.get("prompts")
        kept = dict(stage)
        missing = self._missing(prompts)
        if missing:
            self._leave_out(name, missing)
            del kept["prompts"]
        elif prompts is not None:
            kept["prompts"] = self._with_reader(prompts)
        kept["evaluators"] = {
            label: self._without_parts(f"{name}: {label}", settings)
            for label, settings in stage["evaluators"].items()
            if self._is_fit(f"{name}: {label}", settings, has_prompts=not missing)
        }
        kept["groups"] = {
            group: members
            for group, members in stage.get("groups", {}).items()
            if all(member.partition(".")[0] in kept["evaluators"] for member in members)
        }
        if kept["evaluators"]:
            yield kept

    def _is_fit(self, name: str, settings: Mapping[str, Any], *, has_prompts: bool) -> bool:
        evaluators = cast("Mapping[str, type[EvaluatorStrategy]]", self.registry.strategies["evaluator"])
        evaluator = evaluators.get(settings.get("use", ""))
        if not has_prompts and (evaluator is None or evaluator.needs_answers):
            return False  # the stage has told it
        why = None
        if evaluator is None:
            why = f"no evaluator '{settings.get('use')}' is installed"
        elif not self.has_judge and {RIVAL, JUDGE} & set(_texts(settings)):
            why = "it compares with a rival; name one with --against, and who judges with --judge"
        elif missing := self._missing(dict(_own(settings))):
            self._leave_out(name, missing, self._published(settings))
            return False
        elif rows := self.missing_rows & set(_texts(settings)):
            why = f"it reads '{min(rows)}'"
        if why is not None:
            self.left_out.append(f"left out: {name}: {why}")
        return why is None

    def _without_parts(self, name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Leave out nested settings whose files are missing, such as a checkpoint that scores beside the main metric."""
        kept = dict(_own(settings))
        for key in settings.keys() - kept.keys():
            if missing := self._missing(settings[key]):
                self._leave_out(f"{name}: {key}", missing)
            else:
                kept[key] = settings[key]
        return kept

    def _published(self, settings: Mapping[str, Any]) -> str:
        try:
            return self.registry.validate("evaluator", settings).published
        except SettingsError:
            return ""

    def _missing(self, settings: Any) -> str | None:
        """The first path below the data folder that is not there."""
        for text in _texts(settings):
            if text.startswith(f"{DATA}/"):
                path = _below(text, "FOLDER" if self.data is None else str(self.data))
                if self.data is None or not glob.glob(path, recursive=True):
                    return path
        return None

    def _leave_out(self, name: str, missing: str, where: str = "") -> None:
        place = where or WHERE.get(name.rpartition(": ")[2], "")
        hint = "name the folder of data with --data" if self.data is None else "nothing is there"
        self.left_out.append(f"left out: {name}: it reads {missing}; {hint}" + (f". {place}" if place else ""))

    def _with_reader(self, dataset: Any) -> Any:
        """A data set that does not say how it is read is read by the ending of its files."""
        if not isinstance(dataset, Mapping) or "use" in dataset:
            return dataset
        found = read_dataset(_below(dataset["path"], str(self.data)), "--suite")
        return {**dataset, "use": found["use"]}


def _own(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings that are no mappings of further ones."""
    return ((key, value) for key, value in settings.items() if not isinstance(value, Mapping))


def _below(text: str, folder: str) -> str:
    """The path of a text that begins with `$data`; by the name under which the set is published, where only that is there."""
    path = folder + text.removeprefix(DATA)
    name = text.removeprefix(f"{DATA}/")
    others = [Path(folder, other) for other in PUBLISHED_AS.get(name, ())]
    found = [str(other) for other in others if folder and other.exists()]
    return found[0] if found and not Path(path).exists() else path


def _texts(settings: Any) -> Iterator[str]:
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, (Mapping, list)):
        for value in settings.values() if isinstance(settings, Mapping) else settings:
            yield from _texts(value)


def _filled(settings: Any, values: Mapping[str, Any], data: str) -> Any:
    """Copy plain data with values in place of the words that stand for them."""
    if isinstance(settings, str):
        return values.get(settings, _below(settings, data) if settings.startswith(f"{DATA}/") else settings)
    if isinstance(settings, Mapping):
        return {key: _filled(value, values, data) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_filled(value, values, data) for value in settings]
    return settings

"""The pages of what Python code imports from us: `aya_core.api` and `aya_core.testing`, grouped by what one writes.

Everything is read from the source: signatures, fields and types stand on the page as they are written in the code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any

from aya_core import api, testing
from aya_core.contract.kinds import BASES
from aya_core.contract.strategies import Settings, Strategy
from aya_core.testing import doubles

Function = ast.FunctionDef | ast.AsyncFunctionDef

LINE = 120
"""Characters of a line of code."""

NOT_FORMATTED = "<!-- fmt: off -->"
"""Keeps formatters from code that is shown as heads without bodies."""


@dataclass(frozen=True)
class Group:
    """A section of a page. names: in the order in which a reader needs them."""

    title: str
    intro: str
    names: Sequence[str]


def offered_by(module: ModuleType) -> Sequence[str]:
    """The public names of a module that offers what others define: those that it imports as themselves, `A as A`."""
    statements = ast.parse(inspect.getsource(module)).body
    aliases = [alias for one in statements if isinstance(one, ast.ImportFrom) for alias in one.names]
    return [alias.name for alias in aliases if alias.asname == alias.name]


API = (
    Group(
        "Every plugin",
        "A strategy is a settings class with `build()`; a hook offers it by name. [Hooks](hooks.md) lists the hooks, "
        "[words](words.md) the class attributes of each kind.",
        ["hookimpl", "Field", "Settings", "Strategy", "Surroundings", "Registry", "__version__"],
    ),
    Group(
        "Fields of settings",
        "Types for the fields of strategies and stages. The plan finds models, rows, files and nested strategies by these types.",
        [
            "ModelRef", "RowsRef", "LocalFile", "Reference", "Language", "Name", "nested", "nested_or_several",
            "nested_for_each_model", "reference_or_nested", "EACH", "short_schema", "find", "strategies_with_paths",
            "hub_model", "cached_commit", "model_folder", "MergeParameter", "Rule",
        ],
    ),
    Group("A data set", "Offered by `aya_datasets`.", ["Dataset", "AccountingDataset", "DatasetStrategy", "ExampleRow"]),
    Group(
        "A teacher",
        "Offered by `aya_teachers`. A teacher that can also score texts lets evaluators measure likelihoods.",
        [
            "Teacher", "TeacherStrategy", "Sampling", "LikelihoodTeacher", "ContinuationTeacher", "Continuation", "Context",
            "LogLikelihood", "Unanswered", "Price", "checked_answers",
        ],
    ),
    Group("A router", "Offered by `aya_routers`.", ["Router", "RouterStrategy", "Pool"]),
    Group(
        "An arbiter",
        "Offered by `aya_arbiters`.",
        [
            "Arbiter", "ArbiterStrategy", "CalibratedArbiter", "KeepingArbiter", "ReplyStore", "Case", "Verdict",
            "checked_verdicts",
        ],
    ),
    Group(
        "An objective",
        "Offered by `aya_objectives`: a pure function over pairs, or over groups of scored samples. `Tensor` is `torch.Tensor`.",
        [
            "Objective", "PairLogps", "PairLoss", "GroupObjective", "GroupLogps", "GroupLoss", "SingleObjective", "SingleLogps",
            "SingleLoss", "AnyObjective",
            "ObjectiveStrategy",
        ],
    ),
    Group(
        "A trainer",
        "Offered by `aya_trainers`.",
        ["Trainer", "TrainerStrategy", "TrainingJob", "InspectableTrainer", "TokenizedRow", "TokenInfo"],
    ),
    Group(
        "A merge, and its engine",
        "Merges are offered by `aya_merges`, the engine by `aya_merge_engine`, the optimizer of searches by `aya_optimizer`. `Tensor` is "
        "`torch.Tensor`.",
        [
            "TensorMerge", "PieceMerge", "Piece", "Pieces", "WholeModelMerge", "CheckpointMerge", "AnyMerge", "MergeStrategy",
            "Place", "MergeJob", "MergeInput", "LayerSlice", "Vocabulary", "TokenSettings", "TokenRow", "Resources", "MergeEngine",
            "CheckingEngine", "ForeseeingEngine", "ExtractingEngine", "LoraJob", "Optimizer", "MakeOptimizer",
        ],
    ),
    Group(
        "An evaluator",
        "Offered by `aya_evaluators`.",
        [
            "Evaluator", "EvaluatorStrategy", "EvaluatedModel", "RowScore", "CorpusScore", "AskingEvaluator", "Request",
            "ScoringRequest", "GenerationRequest", "Replies", "Scored", "Metric", "Better", "SHARE", "FAULTS", "COUNTED",
            "metric_named", "main_metric", "check_metric",
        ],
    ),
    Group("A tracker", "Offered by `aya_trackers`.", ["Tracker", "TrackerStrategy", "TrackedRun"]),
    Group(
        "A stage",
        "Offered by `aya_stages`; [write a stage](../write-a-stage.md) walks through one. `unroll` adds nodes to the plan through "
        "`Builder`; an action gets `Work`.",
        [
            "Stage", "Action", "Builder", "Node", "Plan", "Work", "Report", "ask_teacher", "answers_to", "chunk_size",
            "read_data", "language_sentences", "ROWS_KINDS", "ROW_RECORDS", "fill_paths", "LOG",
        ],
    ),
    Group(
        "Asking an engine, answer by answer",
        "What `ask_teacher` is built on: a step that asks in chunks keeps each answer through a kill, and takes over what earlier "
        "runs asked.",
        [
            "Asking", "fill_shards", "Filled", "Asked", "MEASURE", "SealedShards", "Lookahead", "chunked", "damaged", "kept",
            "prompt_key", "case_key", "text_key", "StepReplies", "LeftOut", "unanswered_because", "Reasons",
        ],
    ),
    Group(
        "A section of the report",
        "`Stage.section` makes a section from what the run recorded. The plugin of `aya_reporter` writes and shows the report.",
        [
            "Section", "Block", "Text", "Alert", "Table", "Picture", "Level", "StageRecord", "RecordedStep", "RunRecord",
            "RunReport", "Reporter",
        ],
    ),
    Group(
        "A command",
        "Offered by `aya_commands`: a `click` command that validates a recipe, plans it and runs it.",
        [
            "Command", "find_recipe", "override_option", "read_strategy", "read_trackers", "track_option", "print_whole",
            "changed_code_options", "TextConsole", "say", "visible", "LoadedRecipe", "validate_recipe", "yaml12", "make_plan",
            "check_imports", "run_plan", "Runner", "Run", "Inventory", "file_name",
        ],
    ),
    Group(
        "Rows and records",
        "What travels between stages, as Parquet with the columns that `datasets` and TRL read.",
        [
            "Prompt", "Message", "assistant_turn", "NO_MORE", "CUT", "user_prompt", "prompt_of", "Demonstration", "Preference",
            "Completion", "Judged", "Columns", "read_rows", "read_batches", "write_rows", "RowsWriter", "ROW_GROUP", "count_rows",
            "LANGUAGES", "UNKNOWN_LANGUAGE",
            "check_language", "find_language", "counts_as", "is_edition", "plain_language", "language_name",
            "normalize", "says_the_same", "IdSet", "temporary_database",
        ],
    ),
    Group(
        "Files of others",
        "Rows as other people store them.",
        [
            "READERS", "Line", "json_lines", "json_array", "csv_lines", "parquet_lines", "arrow_lines", "is_saved", "saved_lines",
            "splits_of", "opened", "opened_text", "ending_of", "stem_of", "COMPRESSED", "check_fetched", "parse_json", "is_number",
        ],
    ),
    Group(
        "Artifacts and durable writes",
        "Everything that a run keeps is written beside its place, flushed to disk and renamed.",
        [
            "Artifact", "MANIFEST", "PAYLOAD", "content_of", "file_hash", "named_by_hash", "stable_hash",
            "write_file", "writing_file", "make_folder",
            "make_output_folder", "flush", "rename", "write_sealed", "read_sealed", "set_aside", "Journal",
        ],
    ),
    Group(
        "Processes of one's own",
        "What a process that one starts says, and how it ended.",
        ["Lines", "how_it_ended", "end_with_parent", "STOPPED", "StoppedError", "locked"],
    ),
    Group(
        "Errors",
        "A mistake of the user is an `AyaError`: its message is printed without a traceback.",
        [
            "AyaError", "os_sentence", "RecipeError", "SettingsError", "PluginError", "DataError", "ArtifactError", "DamageError",
            "did_you_mean",
        ],
    ),
)  # fmt: skip

TESTING = (
    Group(
        "Checks",
        "One for each kind of strategy, and one for stages. Each raises AssertionError that names the broken rule.",
        [name for name in offered_by(testing) if name.startswith("check_")],
    ),
    Group(
        "Sample rows and batches",
        "Several scripts, conversations, missing references, equal and empty answers.",
        [name for name in offered_by(testing) if name.startswith("sample_")],
    ),
    Group("Models and merges", "Small enough to be made in a test.", ["tiny_causal_lm", "merge_whole"]),
    Group(
        "Stand-ins",
        "`check_stage` lets a recipe name these after `use:`; they are not offered elsewhere. They need no files and no model. "
        "From Python, import them from `aya_core.testing.doubles`.",
        ["SampleRows", "Echo"],
    ),
)


def api_page() -> Iterator[str]:
    """Everything that `aya_core.api` offers."""
    yield "# The API for plugin authors\n"
    yield "Everything here is imported from `aya_core.api`. Checks for tests are in [`aya_core.testing`](testing.md).\n"
    yield from page(API, {name: definition(api, name) for name in offered_by(api)})


def testing_page() -> Iterator[str]:
    """Everything that `aya_core.testing` offers, and what its recipes may name."""
    offered = {
        name: strategy for hook in (doubles.aya_datasets, doubles.aya_teachers) for name, strategy in hook().items()
    }
    yield "# Checks for plugins\n"
    yield "Everything here is imported from `aya_core.testing`, unless it says otherwise.\n"
    yield (inspect.getdoc(testing) or "").partition("\n\n")[2] + "\n"
    found = {name: definition(testing, name) for name in offered_by(testing)}
    found |= {strategy.__name__: definition(doubles, strategy.__name__) for strategy in offered.values()}
    titles = {strategy.__name__: f"`{strategy.__name__}`: `use: {name}`" for name, strategy in offered.items()}
    yield from page(TESTING, found, titles)


@dataclass(frozen=True)
class Definition:
    """Something public, as its module writes it. thing: the object. tree: the statement that makes it; None for a module."""

    thing: Any
    tree: ast.stmt | None
    documentation: str


def page(
    groups: Sequence[Group], found: Mapping[str, Definition], titles: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A table of contents, then every name under its group. Raises ValueError unless the groups hold each name once."""
    grouped = [name for group in groups for name in group.names]
    if sorted(grouped) != sorted(found):
        wrong = sorted({*grouped} ^ {*found}) or sorted({name for name in grouped if grouped.count(name) > 1})
        raise ValueError(f"docs/api_page.py: {', '.join(wrong)}: expected each public name in exactly one group")
    titles = titles or {}
    yield f"{NOT_FORMATTED}\n"
    for group in groups:
        names = ", ".join(f"[`{name}`](#{anchor(titles.get(name, name))})" for name in group.names)
        yield f"- [{group.title}](#{anchor(group.title)}): {names}"
    for group in groups:
        yield f"\n## {group.title}\n"
        yield group.intro
        for name in group.names:
            yield f"\n### {titles.get(name, f'`{name}`')}\n"
            yield from described(name, found[name])


def anchor(title: str) -> str:
    """The name that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def definition(module: ModuleType, name: str) -> Definition:
    """Find where a public name is defined, through the imports of the module that offers it."""
    thing = getattr(module, name)
    if inspect.ismodule(thing):
        return Definition(thing, None, inspect.getdoc(thing) or "")
    defined = statements(module)
    if name not in defined:
        for statement in ast.parse(inspect.getsource(module)).body:
            if isinstance(statement, ast.ImportFrom) and any(alias.name == name for alias in statement.names):
                origin = importlib.import_module(str(statement.module))
                if not origin.__name__.startswith("aya_core"):
                    return Definition(thing, None, f"`{name}` of `{origin.__name__.partition('.')[0]}`.")
                return definition(origin, name)
        raise ValueError(f"{module.__name__}: {name} is neither defined nor imported by name")
    tree, below = defined[name]
    return Definition(thing, tree, below)


@cache
def statements(module: ModuleType) -> Mapping[str, tuple[ast.stmt, str]]:
    """What a module defines, by name, with its documentation."""
    found: dict[str, tuple[ast.stmt, str]] = {}
    body = ast.parse(inspect.getsource(module)).body
    for statement, after in pairwise([*body, ast.Pass()]):
        if isinstance(statement, ast.ClassDef | Function):
            found[statement.name] = statement, ast.get_docstring(statement) or ""
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                if isinstance(target, ast.Name):
                    found[target.id] = statement, string_of(after)
    return found


def string_of(statement: ast.stmt) -> str:
    """The text of a statement that is nothing but a string, as the documentation of a constant is."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return inspect.cleandoc(str(statement.value.value))
    return ""


def described(name: str, found: Definition) -> Iterator[str]:
    """What stands below the heading of one name."""
    tree = found.tree
    if isinstance(tree, ast.ClassDef):
        yield from described_class(found.thing, tree)
    elif isinstance(tree, Function):
        yield f"```python\n{decorators(tree)}{signature(tree)}\n```\n"
        yield as_list(found.documentation, parameters(tree))
    else:
        if tree is not None:
            yield f"```python\n{ast.unparse(tree)}\n```" + ("\n" if found.documentation else "")
        if found.documentation:
            yield found.documentation


def described_class(thing: type, tree: ast.ClassDef) -> Iterator[str]:
    """A class: its fields with types, what they mean, and its public methods."""
    settings = thing if issubclass(thing, Settings) else None
    has_words = thing in (Strategy, *BASES.values())
    fields = [] if has_words else [field for field in fields_of(tree) if settings is None or is_of_class(field.tree)]
    made_by = [one for one in tree.body if isinstance(one, Function) and one.name in ("__init__", "__new__")]
    body = [ast.unparse(field.tree) for field in fields] + [
        line for one in made_by for line in signature(one).split("\n")
    ]
    yield "```python"
    yield f"{decorators(tree)}class {tree.name}{bases(tree)}:" + ("" if body else " ...")
    yield from [f"    {line}" for line in body]
    yield "```\n"
    names = [field.name for field in fields] + [name for one in made_by for name in parameters(one)]
    yield as_list(ast.get_docstring(tree) or "", names)
    yield from [f"\n- `{field.name}`: {field.documentation}" for field in fields if field.documentation]
    if has_words:
        yield f"\nIts words, with types: [{tree.name}](words.md#{anchor(tree.name)})."
    if settings and settings.model_fields:
        yield ""
        yield from typed_settings(settings)
    for one in tree.body:
        if isinstance(one, Function) and (not one.name.startswith("_") or one.name == "__call__"):
            documentation = ast.get_docstring(one)
            if documentation:
                yield f"\n```python\n{decorators(one)}{signature(one)}\n```\n"
                yield as_list(documentation, parameters(one))


@dataclass(frozen=True)
class ClassField:
    """An annotated name in the body of a class. documentation: the string below it, if there is one."""

    name: str
    tree: ast.AnnAssign
    documentation: str


def fields_of(tree: ast.ClassDef) -> Iterator[ClassField]:
    """The public fields of a class, in order."""
    for one, after in pairwise([*tree.body, ast.Pass()]):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and not one.target.id.startswith("_"):
            yield ClassField(one.target.id, one, string_of(after))


def is_of_class(field: ast.AnnAssign) -> bool:
    """Whether a field belongs to the class and not to its objects."""
    return ast.unparse(field.annotation).startswith("ClassVar")


def typed_settings(settings: type[Settings]) -> Iterator[str]:
    """A table of settings with their types as written."""
    yield "| setting | type | default | what it is |"
    yield "|---|---|---|---|"
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        owner = next(one for one in settings.__mro__ if name in vars(one).get("__annotations__", {}))
        type_ = str(vars(owner)["__annotations__"][name])
        cells = (f"`{name}`", f"`{type_}`", default, field.description or "")
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def decorators(tree: ast.ClassDef | Function) -> str:
    """The decorators that matter to whoever calls, each on a line."""
    prefixes = (
        "dataclass",
        "property",
        "cached_property",
        "classmethod",
        "staticmethod",
        "contextmanager",
        "runtime_checkable",
    )
    written = [ast.unparse(one) for one in tree.decorator_list]
    return "".join(f"@{one}\n" for one in written if one.startswith(prefixes))


def bases(tree: ast.ClassDef) -> str:
    """What stands in parentheses after the name of a class."""
    return f"({', '.join(ast.unparse(base) for base in tree.bases)})" if tree.bases else ""


def signature(tree: Function) -> str:
    """A function's head as it is written; one too long for a line has a line for each parameter."""
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns else ""
    written = list(parameters_as_written(tree.args))
    on_one_line = f"def {tree.name}({', '.join(written)}){returns}"
    if len(on_one_line) <= LINE:
        return on_one_line
    return f"def {tree.name}(\n" + "".join(f"    {one},\n" for one in written) + f"){returns}"


def parameters_as_written(arguments: ast.arguments) -> Iterator[str]:
    """Each parameter with its type and default, and the star before those that are given by name."""
    by_place = [*arguments.posonlyargs, *arguments.args]
    no_defaults: list[ast.expr | None] = [None] * (len(by_place) - len(arguments.defaults))
    for one, default in zip(by_place, [*no_defaults, *arguments.defaults], strict=True):
        yield parameter(one, default)
    if arguments.vararg or arguments.kwonlyargs:
        yield f"*{ast.unparse(arguments.vararg)}" if arguments.vararg else "*"
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield parameter(one, default)
    if arguments.kwarg:
        yield f"**{ast.unparse(arguments.kwarg)}"


def parameter(one: ast.arg, default: ast.expr | None) -> str:
    """A parameter as a formatter writes it."""
    if default is None:
        return ast.unparse(one)
    return f"{ast.unparse(one)}{' = ' if one.annotation else '='}{ast.unparse(default)}"


def parameters(tree: Function) -> Sequence[str]:
    """The names of a function's parameters."""
    return [one.arg for one in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs)]


def as_list(documentation: str, names: Sequence[str]) -> str:
    """Make items of a list of what a docstring says of each field or parameter (`name: what it is`)."""
    if not names:
        return documentation
    name = "|".join(re.escape(one) for one in names)
    label = re.compile(rf"(?:(?<=[.;:] )|^)((?:{name})(?:, (?:{name}))*):\s+", re.MULTILINE)
    paragraphs = []
    for paragraph in documentation.split("\n\n"):
        before, *rest = label.split(paragraph)
        items = [
            f"- {', '.join(f'`{one}`' for one in labels.split(', '))}: {' '.join(text.split()).rstrip(';')}"
            for labels, text in zip(rest[::2], rest[1::2], strict=True)
        ]
        paragraphs += [part for part in (before.rstrip(), "\n".join(items)) if part]
    return "\n\n".join(paragraphs)

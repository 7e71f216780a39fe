"""`aya show-tokens`: rows as a trainer sees them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import click
from rich.text import Text

from aya_core.api import (
    InspectableTrainer,
    Inventory,
    LoadedRecipe,
    Node,
    ObjectiveStrategy,
    Plan,
    PluginError,
    RecipeError,
    Run,
    Strategy,
    TextConsole,
    TokenInfo,
    TokenizedRow,
    check_imports,
    did_you_mean,
    make_plan,
    override_option,
)
from aya_recipe.options.alone import load_given, recipe_or_options, run_folder
from aya_recipe.options.words import read_language
from aya_recipe.train.job_preview import JobPreview
from aya_recipe.train.options import NAME, stage_from_options, stage_options

COUNTED = 1000
"""Rows that are encoded for the summary, at the most."""


@click.command(name="show-tokens")
@recipe_or_options("Which train stage of RECIPE, or which step of it: sft@europe.")
@stage_options
@override_option
@click.option("--out", type=click.Path(path_type=Path), help="Run folder of RECIPE; runs/NAME by default.")
@click.option("-n", "many", default=3, show_default=True, type=click.IntRange(0), help="Rows that are shown.")
@click.option("--language", metavar="CODE", callback=read_language, help="Only rows in this language.")
@click.option("--ids", is_flag=True, help="Show the id of each token after it.")
@click.option("--plain", is_flag=True, help="No color: what is learned stands in brackets, token by token.")
def command(
    recipe: str | None, stage: str | None, start: str | None, data: str | None, trainer: str | None,
    overrides: tuple[str, ...], out: Path | None, many: int, language: str | None, ids: bool, plain: bool,
) -> None:  # fmt: skip
    """Show real rows as the tokens that a trainer sees, and which of them are learned.

    The prompt is dim. What is learned is colored, two colors in turn, so that the borders of tokens are seen; special tokens are
    bold, a new line is shown as ⏎. Below stand counts over the first 1,000 rows, and warnings of rows that teach nothing or do
    not end their turn: signs of a wrong chat template.

    The stage is one of RECIPE, or made of --start, --data and --trainer. Rows and models that earlier stages make must stand in
    the run folder; data sets are read right away. Nothing is changed there.
    """
    loaded = load_given(recipe, {"--start": start, "--data": data, "--trainer": trainer}, overrides)
    if loaded is None:
        loaded = _with_any_objective(stage_from_options(start, data, trainer, overrides, command="show-tokens"))
        stage = NAME
    plan = make_plan(loaded)
    node = _choose(loaded, plan, stage)
    check_imports(Plan(plan.recipe, {node.id: node}, {}), loaded)
    inventory = Inventory(Run(run_folder(loaded, out)))
    inventory.find_all(plan)
    with tempfile.TemporaryDirectory() as scratch:
        at_hand = JobPreview(loaded, plan, node, inventory, Path(scratch))
        built = _built(loaded, at_hand.trainer)
        tally = Tally()
        shown = TokenView(many, ids=ids, plain=plain)
        rows = groupby(built.show(at_hand.job(language, COUNTED)), lambda row: row.prompt_id)
        for place, (_, texts) in enumerate(rows):
            for part in texts:
                tally.add(part)
                shown.show(place, part)
        first = "the first " if len(tally.ids) == COUNTED else ""
        shown.summarize(tally, f"{node.id}: {first}")


def _with_any_objective(loaded: LoadedRecipe) -> LoadedRecipe:
    """Give the only stage an objective where its trainer wants one: how rows are encoded does not depend on which."""
    (stage,) = loaded.recipe.stages
    if stage.objective is not None or not stage.trainer.needs_objective:
        return loaded
    objectives = cast("Mapping[str, type[ObjectiveStrategy]]", loaded.registry.strategies["objective"])
    for objective in objectives.values():
        if objective.over == stage.trainer.objective_over and not any(
            f.is_required() for f in objective.model_fields.values()
        ):
            stages = (stage.model_copy(update={"objective": objective()}),)
            return replace(loaded, recipe=loaded.recipe.model_copy(update={"stages": stages}))
    return loaded  # the plan will say what is missing


def _choose(loaded: LoadedRecipe, plan: Plan, named: str | None) -> Node:
    """The training step that is meant: the one named, or the first one of the stage named, or of the only stage."""
    nodes = [node for node in plan.nodes.values() if node.action == "train"]
    stages = list(dict.fromkeys(node.stage for node in nodes))
    if named is None and len(stages) != 1:
        found = f"trains in {', '.join(stages)}; say which with --stage" if stages else "trains nothing"
        raise RecipeError(f"{loaded.source}: {found}")
    meant = [node for node in nodes if named is None or named in (node.id, node.stage)]
    if not meant:
        known = [*stages, *(node.id for node in nodes)]
        raise RecipeError(f"--stage {named}: no such stage that trains; {did_you_mean(str(named), known)}")
    return meant[0]


def _built(loaded: LoadedRecipe, strategy: Strategy[Any]) -> InspectableTrainer:
    trainer = strategy.build()
    if isinstance(trainer, InspectableTrainer):
        return trainer
    name = loaded.registry.name_of("trainer", strategy)
    raise PluginError(
        f"trainer '{name}' of {loaded.registry.origin('trainer', name).distribution} cannot show its rows; expected one with "
        "`show(job)`, such as sft (docs/write-a-plugin.md)"
    )


LEARNED = ("black on green", "black on cyan")
"""Colors of learned tokens, in turn."""

NAMED = 5
"""Rows that a warning names, at the most."""

WITHOUT_TEXT = "◌"
"""Stands for a token that is only part of a character, where another one shows it."""


class Tally:
    """Counts what is shown, and all that is not."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        self.texts = self.tokens = self.learned = 0
        self.notes: Counter[str] = Counter()
        self.teach_nothing: list[str] = []
        self.do_not_end: list[str] = []

    def add(self, row: TokenizedRow) -> None:
        """Count a row, or one text of it."""
        learned = sum(token.is_learned for token in row.tokens)
        self.ids[row.prompt_id] = None
        self.texts += 1
        self.tokens += len(row.tokens)
        self.learned += learned
        if row.note:  # it says what is the matter
            self.notes[row.note] += 1
            return
        if not learned:
            self.teach_nothing.append(_name(row))
        if not (row.tokens and row.tokens[-1].is_special):
            self.do_not_end.append(_name(row))

    def warnings(self) -> Iterator[str]:
        """What a wrong template leaves behind."""
        if self.texts and not self.learned:
            yield (
                "no token is learned: as it should be for a trainer that scores rows whole (a reward model with a head); or else "
                "the chat template loses the answers"
            )
            return
        for names, what in (
            (self.teach_nothing, "have no learned token; does the chat template keep the answer?"),
            (self.do_not_end, "do not end in a special token; a model that learns them never ends its turn"),
        ):
            if names:
                more = ", ..." if len(names) > NAMED else ""
                yield f"{len(names):,} of {self.texts:,} texts {what} ({', '.join(names[:NAMED])}{more})"


class TokenView:
    """Prints rows. many: the first so many. ids: with the id of each token. plain: with brackets in place of colors."""

    def __init__(self, many: int, *, ids: bool, plain: bool) -> None:
        self.console = TextConsole()
        self.many = many
        self.ids = ids
        self.plain = plain or not self.console.is_terminal

    def show(self, place: int, row: TokenizedRow) -> None:
        """Print a row, or one text of it, if its place is among the first."""
        if place >= self.many:
            return
        learned = sum(token.is_learned for token in row.tokens)
        facts = [f"{len(row.tokens):,} tokens", f"{learned:,} learned", *([row.note] if row.note else [])]
        self.console.print(Text(f"{_name(row)} [{row.language}]: {', '.join(facts)}", style="bold"), soft_wrap=True)
        self.console.print(self._body(row.tokens), soft_wrap=True)
        self.console.print()

    def summarize(self, tally: Tally, what: str) -> None:
        """Print the counts, and the warnings. what: stands before the number of rows."""
        share = f" ({tally.learned / tally.tokens:.1%})" if tally.tokens else ""
        summary = f"{what}{len(tally.ids):,} rows, {tally.tokens:,} tokens, {tally.learned:,} learned{share}"
        self.console.print(
            Text("; ".join([summary, *(f"{count:,} {note}" for note, count in tally.notes.items())])), soft_wrap=True
        )
        for warning in tally.warnings():
            self.console.print(Text.assemble(("warning", "yellow"), f": {warning}"), soft_wrap=True)

    def _body(self, tokens: Sequence[TokenInfo]) -> Text:
        body = Text()
        learned = 0
        for token in tokens:
            text = (token.text or WITHOUT_TEXT).replace("\t", "⇥").replace("\n", "⏎")
            if self.ids:
                text = f"{text}·{token.id}"
            style = "dim"
            if token.is_learned:
                style = LEARNED[learned % 2]
                learned += 1
            if self.plain:
                text = f"⟨{text}⟩" if token.is_special else text
                text = f"[{text}]" if token.is_learned else text
                style = ""
            elif token.is_special:
                style = f"{style} bold underline".replace("dim ", "")
            body.append(text, style)
            if "\n" in token.text:
                body.append("\n")
            elif self.ids:
                body.append(" ")
        return body


def _name(row: TokenizedRow) -> str:
    return f"{row.prompt_id} {row.column}".rstrip()

"""Data arbitrage: a pool of teachers answers, an arbiter decides whose answer teaches.

Makes, for later stages: `NAME.best` (demonstrations), `NAME.pairs` (preferences) and `NAME.verdicts`.
Source: Aya Expanse, arXiv 2412.04261, section 2.1; Multilingual Arbitrage, arXiv 2408.14960.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from aya_core.api import (
    Action,
    Builder,
    Field,
    Language,
    Name,
    RowsRef,
    Sampling,
    Section,
    Settings,
    Stage,
    StageRecord,
    did_you_mean,
    nested,
    reference_or_nested,
    short_schema,
)
from aya_recipe.arbitrage import judging, limiting, picking, report, routing, sampling
from aya_recipe.arbitrage.picking import Pick

TEACHING = ("languages", "sampling", "limit")
"""What an arbitrage stage sets beside a teacher's own settings."""


class Teaching(Settings):
    """A teacher of the pool. `{use: ...}` alone is short for `{teacher: {use: ...}}`."""

    teacher: nested("teacher") = Field(description="The teacher.")  # type: ignore[valid-type]
    languages: tuple[Language, ...] | None = Field(None, description="Languages it is asked in; None means all.")
    sampling: Sampling | None = Field(None, description="How it is asked; None takes the stage's sampling.")
    limit: int | None = Field(None, ge=1, description="Prompts it is asked at the most, drawn by hash.")

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if isinstance(value, dict) and "use" in value:
            own = {key: value[key] for key in TEACHING if key in value}
            return {"teacher": {key: value[key] for key in value if key not in own}, **own}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Tell editors of the short form."""
        return short_schema(handler.resolve_ref_schema(handler(schema)), "teacher", TEACHING)

    @model_validator(mode="after")
    def _settings_differ(self) -> Teaching:
        taken = {*TEACHING} & set(type(self.teacher).model_fields)
        if taken:
            raise ValueError(
                f"the teacher has a setting '{min(taken)}', which stands beside every teacher here; its author must rename it"
            )
        return self


class ArbitrageStage(Stage):
    """Ask a pool of teachers, judge their answers, pick the best ones and pairs."""

    actions: ClassVar[Mapping[str, Action]] = {
        "route": Action(routing.route),
        "sample": Action(sampling.sample, resumes=True, asks=True),
        "judge": Action(judging.judge, resumes=True, asks=True),
        "pick-best": Action(picking.pick_best, version=2),
        "pick-pairs": Action(picking.pick_pairs, version=2),
        "pick-groups": Action(picking.pick_groups, version=2),
        limiting.LIMIT: limiting.ACTION,
    }

    prompts: reference_or_nested(RowsRef, "dataset") | None = Field(None, description="What is asked.")  # type: ignore[valid-type]
    teachers: dict[Name, Teaching] | None = Field(None, description="The pool, by name.")
    answers: Name | None = Field(
        None, description="An earlier arbitrage stage whose prompts and answers are used instead of asking anew."
    )
    router: nested("router") | None = Field(None, description="Who is asked; None asks every teacher.")  # type: ignore[valid-type]
    sampling: Sampling = Field(Sampling(), description="How teachers are asked.")
    arbiter: nested("arbiter") = Field(description="Who judges.")  # type: ignore[valid-type]
    pick: Pick = Field(Pick(), description="What is kept.")
    limit: int | None = Field(
        None, ge=1, description="For a quick look: so many prompts of each language, drawn by a hash of their ids."
    )

    @model_validator(mode="after")
    def _asks_or_reuses(self) -> ArbitrageStage:
        asks = self.prompts is not None and bool(self.teachers)
        asks_at_all = bool({"prompts", "teachers", "sampling", "limit"} & self.model_fields_set)
        if (self.answers is None and not asks) or (self.answers is not None and asks_at_all):
            raise ValueError("expected either `prompts` and `teachers`, or `answers` of an earlier arbitrage stage")
        return self

    def unroll(self, build: Builder) -> None:
        """Nodes for prompts, routes, each teacher's answers, verdicts, best answers and pairs."""
        if self.answers is not None:
            prompts, answers = _pool(self, build)
            languages = _languages(self, build)
            rerouted: str | None = _route(self, build, prompts, {name: languages.get(name) for name in answers}, {})
        else:
            assert self.prompts is not None  # the recipe checks that there are prompts or answers
            pool: Mapping[str, Teaching] = self.teachers or {}
            prompts = build.rows(self.prompts, "prompts", "prompts", f"{self.name}.prompts")
            prompts = limiting.add(build, f"{self.name}.drawn", prompts, self.limit)
            languages = {name: teaching.languages for name, teaching in pool.items()}
            limits = {name: teaching.limit for name, teaching in pool.items()}
            routes = _route(self, build, prompts, languages, limits)
            rerouted = None
            answers = {
                name: sampling.add(
                    build, f"{self.name}.answers@{name}", prompts, teaching.teacher, teaching.sampling or self.sampling,
                    name=name, routes=routes,
                    at=f"teachers.{name}",
                )
                for name, teaching in pool.items()
            }  # fmt: skip
            build.name(f"{self.name}.prompts", prompts)
            build.name(f"{self.name}.answers", answers)
        verdicts = judging.add(build, f"{self.name}.verdicts", prompts, answers, self.arbiter, routes=rerouted)
        best, pairs = picking.add(build, self.name, prompts, verdicts, self.pick)
        build.name(f"{self.name}.verdicts", verdicts)
        build.name(f"{self.name}.best", best)
        build.name(f"{self.name}.pairs", pairs)

    @classmethod
    def section(cls, stage: StageRecord) -> Section | None:
        """Who won where."""
        return report.section(stage)


def _route(
    stage: ArbitrageStage, build: Builder, prompts: str, teachers: Mapping[str, tuple[str, ...] | None],
    limits: Mapping[str, int | None],
) -> str:  # fmt: skip
    settings = {
        "teachers": {name: list(codes) if codes else None for name, codes in teachers.items()},
        "limits": {name: limit for name, limit in limits.items() if limit is not None},
    }
    strategies = {"router": ("router", stage.router)} if stage.router is not None else {}
    return build.add(f"{stage.name}.routes", "route", "routes", settings, {"prompts": prompts}, strategies)


def _pool(stage: ArbitrageStage, build: Builder) -> tuple[str, Mapping[str, str]]:
    """The prompts of the earlier stage that this one draws from, and the answers to them by teacher."""
    pools = {name.removesuffix(".prompts") for name in build.names if name.endswith(".prompts")}
    if stage.answers not in pools:
        raise build.error(
            "answers", f"no earlier arbitrage stage named '{stage.answers}'; {did_you_mean(str(stage.answers), pools)}"
        )
    return build.names[f"{stage.answers}.prompts"][""], build.names[f"{stage.answers}.answers"]


def _languages(stage: ArbitrageStage, build: Builder) -> Mapping[str, tuple[str, ...] | None]:
    """What the teachers of the earlier stage are asked in."""
    (earlier,) = [other for other in build.recipe.stages if other.name == stage.answers]
    return {name: teaching.languages for name, teaching in (earlier.teachers or {}).items()}

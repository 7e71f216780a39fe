"""A stage that puts prompts into other languages by asking a teacher, and a command that runs it alone."""

import json
from pathlib import Path

import click

from aya_core import api


def questions(work):
    """Yield what is asked: each prompt of one turn, in each language that is not its own. The source stands in `meta`."""
    for prompt in api.read_rows(work.inputs["prompts"], api.Prompt):
        meta = {**prompt.meta, "source": prompt.text, "source_id": prompt.id, "source_language": prompt.language}
        for code in work.setting("into"):
            if code != prompt.language and len(prompt.messages) == 1:
                task = f"Translate this into {api.language_name(code)}. Answer with the translation alone.\n\n{prompt.text}"
                yield api.user_prompt(f"{prompt.id}@{code}", code, task, meta=meta, item=prompt.item or prompt.id)


def translate(work):
    """Ask the teacher, and keep the first answer to each question that is neither empty nor cut. What is not kept has failed."""
    measures = api.ask_teacher(work, lambda: questions(work), subfolder="answers")
    counts = {code: {"translated": 0, "failed": 0} for code in work.setting("into")}
    with api.RowsWriter(work.out / "rows.parquet", api.Prompt) as rows:
        for question, answers in api.answers_to(questions(work), work.out / "answers"):
            text = next((one.text.strip() for one in answers if one.text.strip() and one.finish_reason != "length"), "")
            counts[question.language]["translated" if text else "failed"] += 1
            if text:
                rows.write(api.user_prompt(question.id, question.language, text, None, question.meta, question.item))
    return {**measures, "languages": counts}


class Translate(api.Stage):
    """Put prompts into other languages by asking a teacher."""

    actions = {"translate": api.Action(translate, resumes=True, asks=True)}
    prompts: api.reference_or_nested(api.RowsRef, "dataset") = api.Field(description="Prompts of one turn.")
    teacher: api.nested("teacher") = api.Field(description="Who translates.")
    into: tuple[api.Language, ...] = api.Field(min_length=1, description="Languages, all of them among the recipe's.")
    sampling: api.Sampling = api.Field(api.Sampling(temperature=0, max_tokens=1024), description="How it is asked.")

    def unroll(self, build):
        if unknown := set(self.into) - set(build.recipe.languages):
            raise build.error("into", f"'{min(unknown)}' is not one of the recipe's languages; add it there")
        prompts = build.rows(self.prompts, "prompts", "prompts", f"{self.name}.prompts")
        settings = {"into": list(self.into), "sampling": self.sampling.model_dump(mode="json")}
        strategies = {"teacher": ("teacher", self.teacher)}
        build.name(self.name, build.add(self.name, "translate", "prompts", settings, {"prompts": prompts}, strategies))

    @classmethod
    def section(cls, stage):
        found = [made.measures["languages"] for made in stage.standing.values() if "languages" in made.measures]
        rows = [(code, str(n["translated"]), str(n["failed"])) for counts in found for code, n in counts.items()]
        table = api.Table(("language", "translated", "failed"), rows)
        return api.Section("Translations", found[0], [table]) if found else None


@click.command(name="translate")
@click.argument("prompts", metavar="SPEC")
@click.option("--teacher", metavar="SPEC", required=True, help="Who translates: openai,model=...,base_url=...")
@click.option("--into", metavar="CODE", multiple=True, required=True, help="A language; repeat it.")
@click.option("--out", default="runs/translate", help="Run folder.")
def command(prompts, teacher, into, out):
    """Translate prompts, such as jsonl,path=prompts.jsonl, and print the counts; `aya export OUT translate` writes them."""
    asked = {"prompts": api.read_strategy(prompts, "SPEC"), "teacher": api.read_strategy(teacher, "--teacher")}
    raw = {"name": "translate", "stages": [{"name": "translate", "do": "translate", "into": list(into), **asked}]}
    loaded = api.validate_recipe(raw, source="aya translate", folder=Path.cwd())
    made, _ = api.run_plan(api.Runner(loaded, api.make_plan(loaded), Path(out)))
    click.echo(json.dumps(made["translate"].measures["languages"]))


@api.hookimpl
def aya_stages():
    return {"translate": Translate}


@api.hookimpl
def aya_commands():
    return {"translate": api.Command("Translate prompts: the translate stage alone.", "aya_translate:command")}

"""What is fed with odd input: each target writes a case into a folder, and has the code read it as a user's command or step does."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import importlib
import io
import json
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import click
import pyarrow
import pyarrow.parquet
import yaml
from fuzz_mutations import as_json, mutated, mutated_bytes, mutated_text, mutated_yaml, odd_value

from aya_core import cli
from aya_core.contract import durable
from aya_core.contract.artifacts import write_rows
from aya_core.contract.checked import checked_answers, checked_verdicts
from aya_core.contract.errors import AyaError
from aya_core.contract.explain import SettingsError
from aya_core.contract.records import Case, Completion, Judged, user_prompt
from aya_core.contract.requests import Sampling
from aya_core.planning import reading, yaml12
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.planning.registry import Registry
from aya_core.running.inventory import Inventory
from aya_core.running.run_folder import Run
from aya_plugins.merges.files.checkpoint import open_checkpoint

ROOT = Path(__file__).parent.parent

SEEDS = Path(__file__).parent / "seeds"
"""Valid inputs."""


def _lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (SEEDS / name).read_text(encoding="utf-8").splitlines()]


RECIPES = {file.stem: file.read_text(encoding="utf-8") for file in sorted((SEEDS / "recipes").iterdir())}
MERGES = {file.stem: file.read_text(encoding="utf-8") for file in sorted((SEEDS / "merges").iterdir())}
ROWS = _lines("rows.jsonl")
ANSWERS = _lines("answers.jsonl")
BATTLES = _lines("battles.jsonl")
REPLY = json.loads((SEEDS / "reply.json").read_text(encoding="utf-8"))
TROUBLES = _lines("troubles.jsonl")
VERDICTS = _lines("verdicts.jsonl")


class WrongError(Exception):
    """A command did what it must not; the message says what."""


def run_cli(*words: object) -> tuple[int, str, str]:
    """Run `aya` in this process; returns code, output and errors. What is neither an exit nor AyaError comes out as it is."""
    sys.argv = ["aya", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
            code: Any = 0
        except SystemExit as end:
            code = end.code
    return code if isinstance(code, int) else 1, out.getvalue(), err.getvalue()


def check_cli(*words: object) -> None:
    """Run `aya`, and raise WrongError where it ends in another way than well, or with sentences and exit code 1 or 2."""
    code, out, err = run_cli(*words)
    if code not in (0, 1, 2):
        raise WrongError(f"exit code {code}")
    if "Traceback (most recent call last)" in err + out:
        raise WrongError("a traceback")
    if code == 2:
        check_sentence(err)
    check_printable(out + err)


MOST_CHARACTERS = 20_000


def check_sentence(text: str) -> None:
    """Raise WrongError for a message that nobody can read."""
    if not text.strip():
        raise WrongError("a message that says nothing")
    if len(text) > MOST_CHARACTERS:
        raise WrongError(f"a message of more than {MOST_CHARACTERS:,} characters")
    if " object at 0x" in text:
        raise WrongError("a message that shows an object of Python")


def check_printable(text: str) -> None:
    """Raise WrongError for what changes a terminal, or what none can show."""
    for letter in text:
        if (letter < " " and letter not in "\n\t") or "\x7f" <= letter <= "\x9f":
            raise WrongError(f"the control character {letter!r} is printed")
        if "\ud800" <= letter <= "\udfff":
            raise WrongError(f"half a character, {letter!r}, is printed")


class Target:
    """Something that reads what strangers write. name: of it. share: how many of a hundred cases it gets."""

    name: ClassVar[str]
    share: ClassVar[int]

    def __init__(self, seeds: Path, registry: Registry) -> None:
        """Make valid inputs in a folder of its own."""
        self.seeds = seeds
        self.registry = registry

    def write(self, folder: Path, rng: Random) -> None:
        """Write a case."""
        raise NotImplementedError

    def take(self, folder: Path) -> None:
        """Have it read; the current folder is that of the case."""
        raise NotImplementedError


class Recipes(Target):
    """`aya check` of a recipe, with overrides now and then."""

    name, share = "recipes", 22

    def __init__(self, seeds: Path, registry: Registry) -> None:
        super().__init__(seeds, registry)
        write_questions(seeds)
        files = [ROOT / "plugins/aya_recipe/recipes/micro.yaml", *sorted((ROOT / "examples/recipes").glob("*.yaml"))]
        self.large = [file.read_text(encoding="utf-8") for file in files]
        self.small = list(RECIPES.values())
        self.data = [yaml12.parse(text, "seed") for text in (*self.small, *self.large)]

    def write(self, folder: Path, rng: Random) -> None:
        """Write recipe.yaml, and words.json with overrides."""
        shutil.copytree(self.seeds, folder, dirs_exist_ok=True)
        if rng.random() < 0.5:
            text = rng.choice(self.small if rng.random() < 0.8 else self.large)
            for _ in range(rng.choice([1, 1, 2, 3])):
                text = mutated_yaml(text, rng)
        else:
            recipe = rng.choice(self.data)
            if len(recipe["stages"]) > 5:
                recipe = {**recipe, "stages": recipe["stages"][: rng.randint(1, 6)]}
            data = mutated(recipe, rng, self.data)
            text = as_json(data, rng) if rng.random() < 0.5 else as_yaml(data)
        content = text.encode(errors="surrogatepass")
        if rng.random() < 0.15:
            content = mutated_bytes(content, rng)
        (folder / "recipe.yaml").write_bytes(content)
        words = []
        if rng.random() < 0.15:
            path = mutated_text(
                rng.choice(["seed", "stages.arbitrage.pick.min_margin", "stages.0.name", "machine.jobs", "name"]), rng
            )
            words = ["--set", f"{path}={rng.choice([odd_value(rng), '{', '[1', '!!int x'])}"]
        (folder / "words.json").write_text(json.dumps(words))

    def take(self, folder: Path) -> None:
        """Check the recipe."""
        words = [word.replace("\0", "") for word in json.loads(Path("words.json").read_text())]
        check_cli("check", "recipe.yaml", *words)


def as_yaml(data: Any) -> str:
    """Write data as YAML, or as JSON where it is too deep or odd for that."""
    try:
        return yaml12.dump(data)
    except (yaml.YAMLError, RecursionError, ValueError):
        return json.dumps(data)


def write_questions(folder: Path) -> None:
    """Write what the small recipe reads."""
    folder.mkdir(exist_ok=True)
    write_lines(folder / "questions.jsonl", [{**row, "id": f"q{n}"} for n, row in enumerate(ROWS[0])])
    write_lines(
        folder / "answers.jsonl",
        [{"id": f"q{n}", "model": who, "answer": "4" * n} for n in range(3) for who in ("ana", "bo")],
    )


def write_lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Merges(Target):
    """`aya merge` of a mergekit file, of models that are there."""

    name, share = "merges", 14

    def __init__(self, seeds: Path, registry: Registry) -> None:
        super().__init__(seeds, registry)
        seeds.mkdir()
        for place, name in enumerate(("base", "a", "b")):
            write_model(seeds / name, place)
        self.data = [yaml12.parse(text, "seed") for text in MERGES.values()]

    def write(self, folder: Path, rng: Random) -> None:
        """Write merge.yml beside the models."""
        shutil.copytree(self.seeds, folder, dirs_exist_ok=True)
        if rng.random() < 0.4:
            text = rng.choice(list(MERGES.values()))
            for _ in range(rng.choice([1, 1, 2, 3])):
                text = mutated_yaml(text, rng)
        else:
            data = mutated(rng.choice(self.data), rng, self.data)
            text = as_json(data, rng) if rng.random() < 0.5 else as_yaml(data)
        content = text.encode(errors="surrogatepass")
        (folder / "merge.yml").write_bytes(mutated_bytes(content, rng) if rng.random() < 0.15 else content)

    def take(self, folder: Path) -> None:
        """Merge."""
        check_cli("merge", "merge.yml", "out", "--threads", "1")


def write_model(folder: Path, seed: int) -> None:
    """Write a checkpoint of a few hundred numbers, as safetensors lays it out."""
    rng = Random(seed)
    folder.mkdir(parents=True)
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 4, "intermediate_size": 4,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "torch_dtype": "float32", "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {"model.embed_tokens.weight": [8, 4], "model.norm.weight": [4], "lm_head.weight": [8, 4]}
    for layer in range(2):
        shapes |= {
            f"model.layers.{layer}.mlp.up_proj.weight": [4, 4],
            f"model.layers.{layer}.input_layernorm.weight": [4],
        }
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = b"".join(struct.pack("<f", rng.gauss(0, 1)) for _ in range(count))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    write_safetensors(folder / "model.safetensors", json.dumps(header).encode(), data)


def write_safetensors(file: Path, header: bytes, data: bytes) -> None:
    """Write a weight file."""
    file.write_bytes(len(header).to_bytes(8, "little") + header + data)


class Headers(Target):
    """A checkpoint whose weight file, index or config is odd, opened."""

    name, share = "headers", 12

    def __init__(self, seeds: Path, registry: Registry) -> None:
        super().__init__(seeds, registry)
        seeds.mkdir()
        for place, name in enumerate(("base", "a", "b")):
            write_model(seeds / name, place)
        (seeds / "merge.yml").write_text(MERGES["linear"])

    def write(self, folder: Path, rng: Random) -> None:
        """Write two checkpoints and a file that merges them."""
        shutil.copytree(self.seeds, folder, dirs_exist_ok=True)
        model = folder / "a"
        kind = rng.randrange(4)
        file = model / "model.safetensors"
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
        if kind == 0:
            file.write_bytes(mutated_bytes(content, rng))
        elif kind == 1:
            text = as_json(mutated(header, rng), rng).encode(errors="surrogatepass")
            write_safetensors(file, mutated_bytes(text, rng) if rng.random() < 0.1 else text, data)
        elif kind == 2:
            file.rename(model / "model-00001-of-00001.safetensors")
            index = {
                "metadata": {"total_size": len(data)},
                "weight_map": dict.fromkeys(list(header)[1:], "model-00001-of-00001.safetensors"),
            }
            text = as_json(mutated(index, rng), rng).encode(errors="surrogatepass")
            (model / "model.safetensors.index.json").write_bytes(
                mutated_bytes(text, rng) if rng.random() < 0.1 else text
            )
        else:
            config = json.loads((model / "config.json").read_text())
            text = as_json(mutated(config, rng), rng).encode(errors="surrogatepass")
            (model / "config.json").write_bytes(mutated_bytes(text, rng) if rng.random() < 0.1 else text)

    def take(self, folder: Path) -> None:
        """Open it."""
        open_checkpoint(folder / "a")


class Checkpoints(Headers):
    """`aya merge` of such a checkpoint with one that is whole."""

    name, share = "checkpoints", 6

    def take(self, folder: Path) -> None:
        """Merge them."""
        check_cli("merge", "merge.yml", "out", "--threads", "1")


class Rows(Target):
    """A data set that is read into rows of each kind."""

    name, share = "rows", 16

    def write(self, folder: Path, rng: Random) -> None:
        """Write a file of rows, and data.json with how it is to be read."""
        rows = mutated(rng.choice(ROWS), rng, ROWS)
        if not isinstance(rows, list):
            rows = [rows]
        ending = rng.choice(["jsonl", "jsonl", "json", "csv", "parquet", "txt"])
        file = folder / f"rows.{ending}"
        content = rows_as(rows, ending, rng)
        file.write_bytes(mutated_bytes(content, rng) if rng.random() < 0.25 else content)
        use = {"json": "jsonl", "txt": "text"}.get(ending, ending)
        settings: dict[str, Any] = {"use": use, "path": file.name}
        if rng.random() < 0.2:
            settings = mutated(
                {**settings, "language": "en", "columns": {"prompt": "prompt"}, "id_template": "x/{id}", "limit": 2},
                rng,
            )
        kind = rng.choice(["prompts", "demonstrations", "preferences", "groups"])
        (folder / "data.json").write_text(json.dumps({"settings": settings, "kind": kind}))

    def take(self, folder: Path) -> None:
        """Read it as a step does."""
        asked = json.loads(Path("data.json").read_text())
        dataset = self.registry.validate("dataset", asked["settings"])
        settings = {"kind": asked["kind"], "languages": ("en", "de")}
        (folder / "made").mkdir()
        work = SimpleNamespace(
            setting=settings.__getitem__,
            strategy=lambda name: dataset,
            node=SimpleNamespace(seed=0),
            out=folder / "made",
        )
        reading.read_data(work)  # type: ignore[arg-type]


def rows_as(rows: Sequence[Any], ending: str, rng: Random) -> bytes:
    """Write rows in a format; in that of JSON lines where it cannot hold them."""
    lines = "".join(as_json(row, rng).replace("\n", " ") + "\n" for row in rows).encode(errors="surrogatepass")
    try:
        if ending == "json":
            return as_json(list(rows), rng).encode(errors="surrogatepass")
        if ending == "csv":
            text = io.StringIO()
            writer = csv.writer(text)
            names = list(dict.fromkeys(name for row in rows for name in row))
            writer.writerow(names)
            writer.writerows([[row.get(name) for name in names] for row in rows])
            return text.getvalue().encode()
        if ending == "parquet":
            buffer = io.BytesIO()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
            return buffer.getvalue()
        if ending == "txt":
            return "\n".join(str(row.get("prompt", "")) for row in rows).encode()
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError, pyarrow.ArrowException, csv.Error):
        pass
    return lines


class Answers(Target):
    """Recorded answers, by a teacher that reads them, into rows."""

    name, share = "answers", 6

    def write(self, folder: Path, rng: Random) -> None:
        """Write a file of answers."""
        rows = mutated(ANSWERS, rng, [ANSWERS, *ROWS])
        ending = rng.choice(["jsonl", "jsonl", "json", "csv", "parquet"])
        content = rows_as(rows if isinstance(rows, list) else [rows], ending, rng)
        (folder / f"answers.{ending}").write_bytes(mutated_bytes(content, rng) if rng.random() < 0.2 else content)
        settings = {"use": "recorded", "path": f"answers.{ending}", **({"model": "bo"} if rng.random() < 0.5 else {})}
        (folder / "teacher.json").write_text(json.dumps(settings))

    def take(self, folder: Path) -> None:
        """Ask for them."""
        teacher = self.registry.validate("teacher", json.loads(Path("teacher.json").read_text())).build()
        write_answers(teacher, folder, Sampling(n=2, temperature=1.0))


def write_answers(teacher: Any, folder: Path, sampling: Sampling) -> None:
    """Have a teacher answer, and write its rows as a step does."""
    prompts = [user_prompt(f"q{n}", "en", f"What is {n} + {n}?", str(2 * n)) for n in range(3)]
    rows = [one for _, samples in checked_answers(teacher, prompts, sampling, 0, "ana") for one in samples]
    write_rows(folder, Completion, rows)


class Replies(Target):
    """Replies of a server to a teacher, into rows."""

    name, share = "replies", 10

    def write(self, folder: Path, rng: Random) -> None:
        """Write replies: status, headers, and a body in base64's place, as text of single bytes."""
        replies = []
        for _ in range(rng.choice([1, 2, 4])):
            status, headers, data = rng.choice(TROUBLES) if rng.random() < 0.3 else (200, {}, REPLY)
            if rng.random() < 0.15:
                status = rng.choice([200, 201, 204, 301, 400, 401, 413, 418, 422, 429, 500, 502, 503, 529, 599])
            if rng.random() < 0.15:
                headers = {
                    "Retry-After": str(
                        rng.choice(
                            ["x", "-1", "1e400", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", "0.0", "\u0663", "9" * 400]
                        )
                    )
                }
            body = (
                data.encode()
                if isinstance(data, str)
                else as_json(mutated(data, rng, [REPLY]), rng).encode(errors="surrogatepass")
            )
            if rng.random() < 0.15:
                body = mutated_bytes(body, rng)
            replies.append([status, headers, body.decode("latin-1")])
        (folder / "replies.json").write_text(json.dumps(replies))

    def take(self, folder: Path) -> None:
        """Ask a server that says this."""
        with serving(json.loads(Path("replies.json").read_text())):
            teacher = self.registry.validate("teacher", {"use": "openai", **SERVER}).build()
            write_answers(teacher, folder, Sampling(n=2, temperature=1.0))


SERVER = {
    "base_url": "http://localhost:1/v1",
    "model": "m",
    "retries": 1,
    "concurrency": 2,
    "max_failures": 1.0,
    "patience_seconds": 1,
}


@contextlib.contextmanager
def serving(replies: Sequence[Sequence[Any]]) -> Iterator[None]:
    """Let a server give these replies, one after the other and again from the first; who would wait for it finds the clock put forward."""
    from aya_plugins.teachers.runtime import openai_server, pace

    openai_servers: Any = importlib.import_module("aya_plugins.teachers.runtime.openai_servers")

    count, skipped = 0, 0.0

    async def post(self: Any, data: bytes, most: int) -> tuple[int, Mapping[str, str], bytes]:
        nonlocal count
        status, headers, body = replies[count % len(replies)]
        count += 1
        return status, {str(name): str(value) for name, value in headers.items()}, body.encode("latin-1")

    async def models(self: Any) -> Sequence[str]:
        return ()

    async def sleep(seconds: float) -> None:
        return None

    async def wait_for(awaited: Any, seconds: float | None) -> Any:
        nonlocal skipped
        if seconds is None:
            return await awaited
        awaited.close()
        skipped += seconds
        raise TimeoutError

    server, real_sleep, real_wait_for = openai_server.Server, asyncio.sleep, asyncio.wait_for
    real_post, real_models, real_defaults = server._post, server._models, pace.Pace.__init__.__defaults__
    server._post, server._models = post, models  # type: ignore[method-assign]
    asyncio.sleep, asyncio.wait_for = sleep, wait_for  # type: ignore[assignment]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + skipped)
    pace.Pace.__init__.__defaults__ = (clock.monotonic,)
    openai_servers.time = clock
    try:
        yield
    finally:
        server._post, server._models = real_post, real_models  # type: ignore[method-assign]
        asyncio.sleep, asyncio.wait_for = real_sleep, real_wait_for
        pace.Pace.__init__.__defaults__ = real_defaults
        openai_servers.time = time


class Judges(Target):
    """Replies of a judge, into verdicts."""

    name, share = "judges", 6

    def write(self, folder: Path, rng: Random) -> None:
        """Write what the judge says, and how it is asked."""
        said = []
        for _ in range(rng.choice([1, 2, 3])):
            text = rng.choice(VERDICTS)
            for _ in range(rng.choice([0, 1, 1, 3])):
                text = mutated_text(text, rng)
            if rng.random() < 0.1:
                text = rng.choice(VERDICTS) + text * rng.choice([2, 3000])
            if rng.random() < 0.1:
                text = (
                    rng.choice(["\\boxed{", "[[", "<a>", "{", "<think>", "((", "A ", " \t", "Score:", "-", "*"])
                    * rng.choice([10, 30_000])
                    + text
                )
            said.append(text)
        mode = rng.choice(["pairwise", "score"])
        (folder / "judge.json").write_text(json.dumps({"said": said, "mode": mode}))

    def take(self, folder: Path) -> None:
        """Judge."""
        asked = json.loads(Path("judge.json").read_text())
        bodies = [json.dumps({"choices": [{"message": {"content": text}}]}) for text in asked["said"]]
        with serving([[200, {}, body] for body in bodies]):
            settings = {"use": "judge", "teacher": {"use": "openai", **SERVER}, "mode": asked["mode"], "retries": 1}
            arbiter = self.registry.validate("arbiter", settings).build()
            prompt = user_prompt("q", "en", "Why?")
            cases = [Case(prompt, tuple(Completion("q", name, 0, name * 3) for name in ("x", "y", "z")))]
            judged = [
                Judged(candidate, verdict)
                for case, verdicts in zip(cases, checked_verdicts(arbiter, cases), strict=True)
                for candidate, verdict in zip(case.candidates, verdicts, strict=True)
            ]
            write_rows(folder, Judged, judged)


class Battles(Target):
    """`aya winrate` of a file of verdicts."""

    name, share = "battles", 4

    def write(self, folder: Path, rng: Random) -> None:
        """Write verdicts."""
        rows = mutated(rng.choice(BATTLES), rng, BATTLES)
        ending = rng.choice(["jsonl", "json", "csv", "parquet"])
        content = rows_as(rows if isinstance(rows, list) else [rows], ending, rng)
        (folder / f"battles.{ending}").write_bytes(mutated_bytes(content, rng) if rng.random() < 0.2 else content)
        more = rng.choice([[], [], ["--style"], ["--length-controlled"], ["--by-language"], ["--json"]])
        (folder / "words.json").write_text(json.dumps([f"battles.{ending}", "--resamples", "5", *more]))

    def take(self, folder: Path) -> None:
        """Rate."""
        check_cli("winrate", *json.loads(Path("words.json").read_text()))


class Runs(Target):
    """The commands that read a run folder, and what `aya run` looks at first, of one in which something was changed."""

    name, share = "runs", 14

    def __init__(self, seeds: Path, registry: Registry) -> None:
        super().__init__(seeds, registry)
        write_questions(seeds)
        (seeds / "recipe.yaml").write_text(RECIPES["small"])
        command = [sys.executable, "-P", "-m", "aya_core", "run", "recipe.yaml", "--out", "out", "-q"]
        done = subprocess.run(command, cwd=seeds, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the run that is to be damaged did not end well: {done.stderr}")
        self.plan = make_plan(load_recipe(seeds / "recipe.yaml"))
        self.files = sorted(
            file.relative_to(seeds)
            for file in (seeds / "out").rglob("*")
            if file.suffix in (".json", ".jsonl", ".yaml", ".parquet")
        )
        self.known = [_known(seeds / file) for file in self.files if file.suffix == ".json"]

    def write(self, folder: Path, rng: Random) -> None:
        """Write a run folder with one file changed, sealed again as if it were ours or not; words.json has the command."""
        shutil.copytree(self.seeds, folder, dirs_exist_ok=True)
        names = [file for file in self.files if rng.random() < 0.5 or file.suffix != ".parquet"]
        file = folder / rng.choice(names)
        content = file.read_bytes()
        if file.suffix == ".json" and rng.random() < 0.7:
            changed = mutated(_known(file), rng, self.known)
            with contextlib.suppress(UnicodeEncodeError, RecursionError, AttributeError):
                if isinstance(changed, dict):
                    durable.write_sealed(file, changed)
                else:
                    file.write_text(json.dumps(changed))
        elif file.suffix == ".jsonl" and rng.random() < 0.5:
            lines = content.splitlines()
            place = rng.randrange(len(lines) or 1)
            lines[place : place + 1] = [
                _journal_line(mutated(json.loads(line)[1:], rng)) if _is_json(line) else line
                for line in lines[place : place + 1]
            ]
            file.write_bytes(b"".join(line + b"\n" for line in lines))
        elif rng.random() < 0.1:
            file.unlink()
            if rng.random() < 0.5:
                file.mkdir()
        else:
            file.write_bytes(mutated_bytes(content, rng))
        command = rng.choice(["status", "status", "verify", "report", "export", "prune", "compare", "look", "plan"])
        (folder / "words.json").write_text(json.dumps(command))

    def take(self, folder: Path) -> None:
        """Read it."""
        command = json.loads(Path("words.json").read_text())
        if command == "look":
            Inventory(Run(folder / "out"), check=True).find_all(self.plan)
            return
        more = {"export": ["arbitrage.best", "--out", "rows.jsonl"], "compare": ["out"], "prune": ["--yes"]}.get(
            command, []
        )
        words = ["plan", "recipe.yaml", "--out", "out", "--why"] if command == "plan" else [command, "out", *more]
        check_cli(*words)


def _known(file: Path) -> Any:
    known = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(known, dict):
        known.pop("sha256", None)
    return known


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), list)
    except ValueError:
        return False


def _journal_line(entry: Any) -> bytes:
    text = ("," + json.dumps(entry if isinstance(entry, list) else [entry])[1:]).encode()
    return b'["%s"' % blake2b(text, digest_size=8).hexdigest().encode() + text


TARGETS: Sequence[type[Target]] = (Recipes, Merges, Headers, Checkpoints, Rows, Answers, Replies, Judges, Battles, Runs)

ALLOWED = (AyaError, SettingsError, click.ClickException)
"""What may be raised: what `aya` prints in a sentence."""


def refuse(error: BaseException) -> None:
    """Raise again what is no message for a user."""
    if not isinstance(error, ALLOWED):
        raise error
    check_sentence(str(error) if not isinstance(error, click.ClickException) else error.format_message())

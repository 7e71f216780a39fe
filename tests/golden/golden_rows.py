"""What data sets yield, teachers answer and routers say."""

import json
from functools import partial
from itertools import islice
from unittest.mock import patch

import datasets
import pyarrow
import pyarrow.csv
import pyarrow.parquet
from golden import Maker, bundled
from golden_trainers import trained_router

from aya_core.api import Completion, Judged, Pool, Prompt, Sampling, Verdict
from aya_core.contract.artifacts import write_rows
from aya_core.planning.registry import Registry
from aya_core.testing import sample_demonstrations, sample_prompts, tiny_causal_lm

SEED = 3
ROWS = 4

REPLY = {
    "choices": [
        {"index": 1, "message": {"content": "eight legs"}, "finish_reason": "length"},
        {"index": 0, "message": {"content": [{"type": "text", "text": "8"}]}, "finish_reason": "stop"},
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 5},
}
"""What a server says: two choices, one of them in parts, and tokens counted over both."""


def makers(registry: Registry) -> dict[str, Maker]:
    return {
        **{f"dataset {name}": partial(_rows, registry, name) for name in bundled(registry, "dataset")},
        **{f"router {name}": partial(_routes, registry, name) for name in bundled(registry, "router")},
        "teacher recorded": partial(_recorded, registry),
        "teacher openai": partial(_openai, registry),
        "teacher transformers": partial(_transformers, registry),
    }


def _rows(registry, name, folder):
    table = [
        {"id": row.prompt.id, "language": row.prompt.language, "prompt": row.prompt.text, "completion": row.completion}
        for row in sample_demonstrations()[:ROWS]
    ]
    (folder / "tables").mkdir()
    (folder / "tables" / "train.jsonl").write_text("\n".join(map(json.dumps, table)), encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), folder / "train.parquet")
    pyarrow.csv.write_csv(pyarrow.Table.from_pylist(table), folder / "train.csv")
    datasets.Dataset.from_list(table).save_to_disk(folder / "saved")
    (folder / "texts").mkdir()
    (folder / "texts" / "de.txt").write_text("eins\n\nzwei\ndrei\n", encoding="utf-8")
    settings = {
        "jsonl": [{"path": f"{folder}/tables"}],
        "parquet": [{"path": f"{folder}/train.parquet"}],
        "csv": [{"path": f"{folder}/train.csv"}],
        "text": [{"path": f"{folder}/texts", "lines": lines} for lines in (1, 2)],
        "hub": [{"path": f"{folder}/tables"}],
        "save-to-disk": [{"path": f"{folder}/saved"}],
        "mixture": [
            {"sources": {name: registry.find("dataset", "jsonl")(path=f"{folder}/tables")}, "per_language": limits}
            for name, limits in (("all", {}), ("one", {"one": 1}))
        ],
        "micro-world": [
            {"split": "dev", "per_language": 2, "languages": ["de", "ja"]},
            {"split": "heldout", "per_language": 2, "languages": ["ar"], "as_prompts": True},
        ],
    }
    rows = [islice(registry.find("dataset", name)(**one).build().rows(SEED), ROWS) for one in settings[name]]
    return {f"rows {place}": list(some) for place, some in enumerate(rows, 1)}


def _recorded(registry, folder):
    rows = [{"id": prompt.id, "answer": f"{n} {prompt.text}"} for prompt in sample_prompts()[:2] for n in range(3)]
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    teacher = registry.find("teacher", "recorded")(path=f"{folder}/answers.jsonl").build()
    return {"answers": list(teacher.answer(sample_prompts()[:3], Sampling(n=2), SEED))}


def _openai(registry, _):
    """With a session that answers at once in place of one with a server."""
    from aya_plugins.teachers.runtime import openai
    from aya_plugins.teachers.runtime.openai_reply import read_reply

    asked = []

    async def complete(self, body, tokens):
        asked.append({**body, "tokens": tokens})
        return read_reply(json.dumps(REPLY).encode())

    settings = {"base_url": "http://127.0.0.1:9", "model": "m", "system": "Be brief.", "concurrency": 1}
    teacher = registry.find("teacher", "openai")(**settings).build()
    sampling = Sampling(n=2, temperature=0.5, top_p=0.9, top_k=5, max_tokens=9, stop=("\n",))
    with patch.object(openai.Servers, "complete", complete):
        answers = list(teacher.answer([sample_prompts()[0], sample_prompts()[-1]], sampling, SEED))
        greedy = list(teacher.answer(sample_prompts()[:1], Sampling(temperature=0, prompting="text"), SEED))
    return {"asked": asked, "answers": answers, "greedily": greedy}


def _transformers(registry, folder):
    model = str(tiny_causal_lm(folder / "model"))
    teacher = registry.find("teacher", "transformers")(model=model).build()
    prompts = sample_prompts()[:3]
    return {
        "greedily": list(teacher.answer(prompts, Sampling(temperature=0, max_tokens=6), SEED)),
        "drawn": list(teacher.answer(prompts, Sampling(temperature=1, max_tokens=6), SEED)),
        "log-likelihoods": teacher.log_likelihoods([(prompt, "8 legs") for prompt in prompts]),
    }


def _routes(registry, name, folder):
    pool = Pool({"ana": None, "bo": ["en", "tr"], "cem": None})
    prompts = sample_prompts()
    judged = [Judged(Completion(p.id, name, 0, name), Verdict(float(len(name)))) for p in prompts for name in pool]
    for rows in (prompts, judged):
        (folder / type(rows[0]).__name__).mkdir()
        write_rows(folder / type(rows[0]).__name__, type(rows[0]), rows)
    verdicts = str(folder / Judged.__name__)
    settings = {
        "all": [{}],
        "random": [{}, {"k": 2}],
        "single": [{"teacher": "bo"}, {"verdicts": verdicts}],
        "fixed": [
            {"default": "ana", "teachers": {"tr": "bo"}},
            {"verdicts": verdicts, "prompts": str(folder / Prompt.__name__)},
        ],
    }
    if name == "learned":
        model = str(trained_router(registry, folder))
        settings[name] = [{"model": model}, {"model": model, "k": 2}]
    routes = [registry.find("router", name)(**one).build().route(prompts, pool, SEED) for one in settings[name]]
    return {f"routes {place}": some for place, some in enumerate(routes, 1)}

"""Run the micro recipe on fresh seeds and hold it to its bars: `make replicate`, or python examples/replicate.py --seeds 11 12.

Writes docs/replication.md: the bars, every stage and control by seed, and what the recipe does not show. Exits with 1 when a bar
is missed; the table is written either way.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

from aya_core.api import Judged, Prompt, read_rows
from aya_plugins.datasets.micro_world_dataset import micro_world_score

ROOT = Path(__file__).parent.parent
SEEDS = (201, 202, 203, 204, 205)
"""Never used to choose a setting."""

CLUSTERS = {
    "euro": ("de", "nl", "it", "pt", "ro"),
    "slav": ("cs", "pl", "ru", "uk", "el"),
    "mena": ("ar", "fa", "he", "hi", "tr"),
    "asia": ("zh", "ja", "ko", "vi", "id"),
}

Measured = Mapping[str, float]
Bar = tuple[str, Callable[[Measured], float], float, bool]
"""What is claimed, how it is measured, the bar, and whether more is better."""

BARS: Sequence[Bar] = (
    ("mean teacher on its own clusters, greedy", lambda m: m["teachers_own"], 0.75, True),
    ("worst teacher on its own cluster", lambda m: m["teachers_own_worst"], 0.70, True),
    ("best teacher on a foreign cluster other than euro", lambda m: m["teachers_foreign_best"], 0.40, False),
    ("reward model: right about pairs of answers", lambda m: m["pair_accuracy"], 0.88, True),
    ("its pick over a random pick", lambda m: m["pick"] - m["random"], 0.30, True),
    ("the best answer of the pool over its pick", lambda m: m["oracle"] - m["pick"], 0.06, False),
    ("arbitrage over random routing, greedy", lambda m: m["sft-merged greedy"] - m["random-student greedy"], 0.15, True),
    ("arbitrage over the single best teacher, greedy", lambda m: m["sft-merged greedy"] - m["single-student greedy"], 0.15, True),
    ("merge over its best constituent, greedy", lambda m: m["sft-merged greedy"] - m["best constituent greedy"], 0.03, True),
    ("preference stages over SFT and merge, T = 0.7", lambda m: m["online.3"] - m["sft-merged"], 0.02, True),
    ("the same, T = 1", lambda m: m["online.3 hot"] - m["sft-merged hot"], 0.04, True),
    ("the same, greedy", lambda m: m["online.3 greedy"] - m["sft-merged greedy"], -0.01, True),
    ("three online rounds over offline, T = 0.7", lambda m: m["online.3"] - m["offline-merged"], 0.0, True),
    ("wins against the base, T = 0.7", lambda m: m["win"], 0.50, True),
    ("losses against the base, T = 0.7", lambda m: m["loss"], 0.10, False),
)  # fmt: skip


def measure(out: Path) -> dict[str, float]:
    """Take from a run everything that the bars and the table need."""
    report = json.loads((out / "report.json").read_text())
    scores, hot, teacher = (report["sections"][name]["data"] for name in ("scores", "hot-scores", "teacher-scores"))
    rows = {row["name"]: row for row in (*scores["stages"], *scores["controls"])}
    measured = {name: row["score"] for name, row in rows.items()}
    measured |= {f"{name} greedy": row["greedy"]["score"] for name, row in rows.items()}
    measured |= {f"{row['name']} hot": row["score"] for row in (*hot["stages"], *hot["controls"])}
    measured["best constituent greedy"] = max(measured[f"sft@{cluster} greedy"] for cluster in CLUSTERS)
    measured |= {outcome: rows["online.3"]["win_rate_vs_base"][outcome] for outcome in ("win", "loss")}
    measured["seconds"] = report["seconds"]
    return measured | teachers(teacher["languages"]) | arbiter(out)


def teachers(languages: Mapping[str, Any]) -> dict[str, float]:
    """How good each teacher is at home and abroad."""

    def score(teacher: str, cluster: str) -> float:
        return statistics.mean(languages[code][f"teachers@{teacher}"]["value"] for code in CLUSTERS[cluster])

    own = [score(cluster, cluster) for cluster in CLUSTERS]
    foreign = [score(t, c) for t in CLUSTERS for c in CLUSTERS if t != c and c != "euro"]
    return {"teachers_own": statistics.mean(own), "teachers_own_worst": min(own), "teachers_foreign_best": max(foreign)}


def arbiter(out: Path) -> dict[str, float]:
    """Hold the arbiter's verdicts on the teachers' answers against the verifier.

    The arbiter may have met some of these problems in its training; held-out problems it has not.
    """
    prompts = {prompt.id: prompt for prompt in read_rows(payload(out, "arbitrage.prompts"), Prompt)}
    cases: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for judged in read_rows(payload(out, "arbitrage.verdicts"), Judged):
        completion = judged.completion
        truth = micro_world_score(completion.text, prompts[completion.prompt_id])
        cases[completion.prompt_id].append((judged.verdict.score if judged.verdict.score is not None else -1e9, truth))
    right = [
        0.5 if a[0] == b[0] else float((a[0] > b[0]) == (a[1] > b[1]))
        for case in cases.values()
        for a, b in combinations(case, 2)
        if a[1] != b[1]
    ]
    return {
        "pair_accuracy": statistics.mean(right),
        "pick": statistics.mean(max(case)[1] for case in cases.values()),
        "random": statistics.mean(statistics.mean(truth for _, truth in case) for case in cases.values()),
        "oracle": statistics.mean(max(truth for _, truth in case) for case in cases.values()),
    }


def payload(out: Path, node: str) -> Path:
    """The newest artifact of a node."""
    return max((out / "artifacts" / node).glob("*/payload"), key=lambda path: path.stat().st_mtime)


def page(runs: Mapping[int, Measured]) -> str:
    """The table of bars and the table of stages, by seed."""
    seeds = list(runs)
    lines = [(ROOT / "examples" / "replication_head.md").read_text(encoding="utf-8").rstrip(), ""]
    lines += [f"Measured {date.today()}, {platform.machine()}, two cores, Python {platform.python_version()}; seeds "
              f"{', '.join(map(str, seeds))}. ± is the standard deviation over seeds.", ""]  # fmt: skip
    lines += ["## Bars", "", _row("", "bar", *seeds, "holds in"), "|---|" + "---:|" * (len(seeds) + 2)]
    for name, take, bar, more in BARS:
        values = [take(runs[seed]) for seed in seeds]
        holds = sum(value >= bar if more else value <= bar for value in values)
        sign = "≥" if more else "≤"
        lines.append(_row(name, f"{sign} {bar:.2f}", *(f"{value:.3f}" for value in values), f"{holds} of {len(seeds)}"))
    lines += ["", "## Stages and controls", "", _row("", "T = 0.7", "greedy"), "|---|---:|---:|"]
    for name in [name for name in runs[seeds[0]] if f"{name} greedy" in runs[seeds[0]]]:
        lines.append(_row(name, _spread(runs, name), _spread(runs, f"{name} greedy")))
    lines += ["", f"T = 1: SFT and merge {_spread(runs, 'sft-merged hot')}, after the last round {_spread(runs, 'online.3 hot')}, "
              f"control {_spread(runs, 'more-sft-online.3 hot')}.", ""]  # fmt: skip
    rounds = ("offline-merged", "online.1", "online.2", "online.3", "more-sft-online.3")
    lines += ["## Online rounds, T = 0.7", "", _row("", *seeds), "|---|" + "---:|" * len(seeds)]
    lines += [_row(name, *(f"{runs[seed][name]:.3f}" for seed in seeds)) for name in rounds]
    lines += ["", "## Preference training against its control", ""]
    lines += [
        _row("gain of the last round over more SFT", *seeds, "mean", "ahead in"),
        "|---|" + "---:|" * (len(seeds) + 2),
    ]
    for what, one in (("T = 1", " hot"), ("T = 0.7", ""), ("greedy", " greedy")):
        gains = [runs[seed][f"online.3{one}"] - runs[seed][f"more-sft-online.3{one}"] for seed in seeds]
        ahead = f"{sum(gain > 0 for gain in gains)} of {len(seeds)}"
        lines.append(_row(what, *(f"{gain:+.3f}" for gain in gains), f"{statistics.mean(gains):+.3f}", ahead))
    seconds = ", ".join(f"{run['seconds']:.0f}" for run in runs.values())
    lines += ["", f"Seconds per run: {seconds}."]
    return "\n".join(lines) + "\n"


def _spread(runs: Mapping[int, Measured], name: str) -> str:
    values = [run[name] for run in runs.values()]
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Run what has not been run, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "replicate")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "replication.md")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        command = [
            sys.executable,
            "-m",
            "aya_core",
            "run",
            "--set",
            f"seed={seed}",
            "--out",
            str(arguments.out / str(seed)),
        ]
        subprocess.run(command, check=True)
    runs = {seed: measure(arguments.out / str(seed)) for seed in arguments.seeds}
    arguments.page.write_text(page(runs), encoding="utf-8")
    missed = [
        f"seed {seed}: {name}: {take(run):.3f}, bar {bar}"
        for seed, run in runs.items()
        for name, take, bar, more in BARS
        if not (take(run) >= bar if more else take(run) <= bar)
    ]
    print(
        f"wrote {arguments.page}; " + (f"{len(missed)} missed:\n" + "\n".join(missed) if missed else "every bar holds")
    )
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()

"""Time the bootstrap: a metric in 23 languages of 500 prompts, and a Bradley-Terry model of 20 models, 1,000 resamples each.

python benchmarks/bootstrap.py [--resamples N] prints wall and processor seconds. Random numbers stand for the scores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy

from aya_recipe.numbers import bootstrap
from aya_recipe.numbers.statistics import Part, Sums
from aya_recipe.numbers.winrates.battles import Battle, Battles
from aya_recipe.numbers.winrates.rates import rates
from aya_recipe.numbers.winrates.style import Style

LANGUAGES, PROMPTS, MODELS, GAMES = 23, 500, 20, 11_500


def make_scores() -> Sums:
    """Wins and losses of 500 prompts in each of 23 languages."""
    source = numpy.random.default_rng(0)
    return {
        f"language {number}": {f"p{prompt}": Part(float(source.random() < 0.4), 1.0) for prompt in range(PROMPTS)}
        for number in range(LANGUAGES)
    }


def make_battles() -> Battles:
    """Games of 20 models, one on each prompt of 23 languages, with styles."""
    source = numpy.random.default_rng(0)
    rows = []
    for game in range(GAMES):
        one, other = source.choice(MODELS, 2, replace=False)
        styles = tuple(Style(*map(float, source.integers(0, 500, 4))) for _ in range(2))
        points = float(source.choice([0.0, 0.5, 1.0]))
        rows.append(
            Battle(
                "",
                f"p{game}",
                f"language {game % LANGUAGES}",
                f"m{one}",
                f"m{other}",
                points,
                1.0,
                (styles[0], styles[1]),
            )
        )
    return Battles("random", rows)


def timed(name: str, work: Callable[[], object]) -> None:
    """Print the seconds that something takes."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    print(f"{name:60} {time.perf_counter() - wall:8.3f} s {time.process_time() - processor:8.3f} s of processor")


def main() -> None:
    """Time all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=bootstrap.RESAMPLES)
    resamples = parser.parse_args().resamples
    scores, battles = make_scores(), make_battles()
    timed(
        f"{LANGUAGES} languages x {PROMPTS} prompts, {resamples} resamples",
        lambda: bootstrap.mean_interval(scores, resamples=resamples),
    )
    timed(f"Bradley-Terry, {MODELS} models, {GAMES} games", lambda: rates(battles, resamples=resamples))
    timed("the same under style control", lambda: rates(battles, style=True, resamples=resamples))


if __name__ == "__main__":
    main()

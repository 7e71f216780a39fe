"""The live line of the terminal: what is told of a node at work."""

import io
import threading
import time

import pytest
from rich.console import Console

from aya_core.cli.amounts import duration
from aya_core.cli.progress import AtWork, Progress, phrases_of
from aya_core.planning.registry import Registry
from aya_recipe.train.report import quantity

ACTIONS = Registry().actions

TRAINED = {
    "grad_norm": 3.0,
    "learning_rate": 1e-5,
    "logps/chosen": -40.0,
    "loss": 0.51234,
    "rewards/accuracies": 0.712,
    "rewards/margins": 0.834,
    "tokens_per_second": 12345.6,
    "memory_mib": 1945.6,
}


def test_training_is_told_by_meaning_whatever_else_is_measured():
    node = AtWork("train", ACTIONS.get("train"), started=0.0)
    node.report(10.0, 100, 500, TRAINED)
    assert node.described(10.0) == "100/500, 40 s left, loss 0.512, margin 0.834, accuracy 71%, 12.3k tokens/s, 1.9 GiB"


def test_held_out_measures_stand_beside_those_of_training():
    node = AtWork("train", ACTIONS.get("train"), started=0.0)
    node.report(10.0, 100, 500, TRAINED)
    node.report(12.0, 100, 500, {"validation/loss": 0.6, "validation/loss/de": 0.7})
    assert "loss 0.512, margin 0.834, accuracy 71%, held-out loss 0.6, 12.3k" in node.described(12.0)


def test_other_nodes_are_told_by_their_first_measures():
    node = AtWork("sample", ACTIONS.get("sample"), started=0.0)
    node.report(5.0, 10, 0, {"tokens_per_second": 99.123, "seconds": 5.0, "c": 3, "d": 4})
    assert node.described(5.0) == "tokens_per_second 99.12, seconds 5, c 3"


def test_time_left_follows_the_pace_of_this_run_and_not_of_the_killed_one():
    node = AtWork("train", ACTIONS.get("train"), started=0.0)
    assert node.seconds_left(1.0) is None
    node.report(10.0, 900, 1000, {})
    node.report(20.0, 910, 1000, {})
    assert node.seconds_left(20.0) == pytest.approx(90.0)
    assert node.seconds_left(25.0) == pytest.approx(85.0)
    node.report(30.0, 900, 1000, {})
    assert node.seconds_left(30.0) > 0
    fresh = AtWork("train", ACTIONS.get("train"), started=0.0)
    fresh.report(1.0, 0, 1000, {"validation/loss": 3.0})
    assert fresh.seconds_left(1.0) is None


def test_time_left_leaves_out_what_came_before_the_steps():
    node = AtWork("train", ACTIONS.get("train"), started=0.0)
    node.report(1000.0, 0, 0, {"reference/rows": 50})
    assert node.described(1000.0) == "reference/rows 50"
    node.report(2000.0, 10, 100, {"loss": 1.0})
    node.report(2010.0, 20, 100, {"loss": 1.0})
    assert node.seconds_left(2010.0) == pytest.approx(80.0)


@pytest.mark.parametrize(
    ("seconds", "message"), [(0.4, "0 s"), (119, "119 s"), (125, "2 min"), (7100, "118 min"), (9000, "2.5 h")]
)
def test_durations_are_said_in_the_unit_that_fits(seconds, message):
    assert duration(seconds) == message


@pytest.mark.parametrize(
    ("value", "message"), [(0.51234, "0.512"), (-40.25, "-40.2"), (12345.6, "12,346"), (1e-7, "1e-07")]
)
def test_quantities_keep_three_digits(value, message):
    assert quantity(value) == message


def test_a_failed_step_is_told_with_the_steps_that_are_at_work_and_no_others():
    progress = Progress(3, ACTIONS)
    progress.console = Console(file=io.StringIO(), width=200, highlight=False)
    for node in ("pool", "sft@west", "blend"):
        progress.aya_step_started(node, "train", {})
    for node in ("pool", "sft@west", "blend"):
        progress.aya_step_failed(node, "out of order")
    assert progress.console.file.getvalue().splitlines() == [
        "pool failed; at work still: sft@west, blend", "sft@west failed; at work still: blend", "blend failed",
    ]  # fmt: skip


def test_a_finished_training_is_told_by_meaning_too_and_nodes_at_work_have_a_line():
    progress = Progress(2, ACTIONS)
    progress.console = Console(file=io.StringIO(), width=200, highlight=False)
    progress.aya_step_started("sft@west", "train", {})
    progress.aya_step_started("pool", "sample", {})
    progress.aya_progress("sft@west", 1, 4, TRAINED)
    progress.console.print(progress._lines())
    progress.aya_step_finished("sft@west", None, 2.0, False, {**TRAINED, "is_good": True})
    progress.aya_step_finished("pool", None, 2.0, True, {})
    live, waiting, finished = progress.console.file.getvalue().splitlines()
    assert "sft@west" in live
    assert "1/4" in live
    assert "margin 0.834" in live
    assert "pool" in waiting
    assert finished.rstrip().endswith(
        "sft@west  2.0 s  loss 0.512, margin 0.834, accuracy 71%, 12.3k tokens/s, 1.9 GiB"
    )
    assert progress.reused == 1


def quiet_terminal(**options):
    progress = Progress(2, ACTIONS, **options)
    progress.console = Console(file=io.StringIO(), width=40)
    return progress


def test_without_a_terminal_a_step_at_work_says_how_far_it_is_at_what_pace_and_how_long_it_takes():
    progress = quiet_terminal()
    progress.aya_step_started(node="arbitrage.answers@[a]", action="sample", inputs={})
    at_work = progress.at_work["arbitrage.answers@[a]"]
    at_work.started -= 100
    progress.tell(60.0)
    at_work.report(time.monotonic() - 50, 200, 1000, {})
    at_work.report(time.monotonic(), 300, 1000, {})
    progress.tell(60.0)
    first, second = progress.console.file.getvalue().splitlines()
    assert first.endswith("sample, 100 s so far")
    assert second.endswith("300/1,000 (30%), 2/s, 6 min left")


def test_steps_that_just_began_are_not_told_of():
    progress = quiet_terminal()
    progress.aya_step_started(node="read", action="read", inputs={})
    progress.tell(60.0)
    assert progress.console.file.getvalue() == ""


def test_lines_come_by_themselves_and_end_with_the_run(monkeypatch):
    told = threading.Event()
    progress = quiet_terminal(every_seconds=0.001)
    monkeypatch.setattr(progress, "tell", lambda seconds: told.set())
    with progress:
        assert told.wait(10)
    assert not progress.ticker.is_alive()


def test_how_rows_were_read_is_told_with_what_gave_no_pair():
    measures = {
        "rows": 1200,
        "columns": {"prompt from 'messages'": 1200},
        "without_pair": {"a single answer": 3},
    }
    said = ", ".join(phrases_of(ACTIONS["read"], measures))
    assert said == "1,200 rows, prompt from 'messages', 3 left out: a single answer"
    assert "prompt from 'prompt' (7)" in phrases_of(
        ACTIONS["read"], {"rows": 9, "columns": {"prompt from 'prompt'": 7, "x": 2}}
    )

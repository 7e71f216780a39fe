"""Whether a recipe can work on a machine, told before anything runs."""

import json
from pathlib import Path

import pytest

from aya_core.contract.errors import AyaError
from aya_core.contract.surroundings import Surroundings
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_core.running import machine

PLUGIN = """
from aya_core.api import DatasetStrategy, Field, ModelRef, hookimpl, user_prompt


class Picky(DatasetStrategy):
    '''Yields one prompt, on a machine with GPUs.'''

    model: ModelRef | None = Field(None, description="A model.")
    wanted: int = Field(1, description="How many GPUs it wants.")

    def obstacles(self, here):
        if missing := here.lacks_gpus(self.wanted):
            yield f"dataset 'picky' {missing}"
        if self.model and here.config(str(self.model)).get("model_type") == "wrong":
            yield f"'{self.model}' is of the wrong type"

    def build(self):
        return self

    def rows(self, seed):
        yield user_prompt("1", "en", "question")


@hookimpl
def aya_datasets():
    return {"picky": Picky}
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Check a recipe of one stage on a machine with so many GPUs."""
    (tmp_path / "picky.py").write_text(PLUGIN)

    def checked(*, gpus, nodes=None, elsewhere=False, **settings):
        monkeypatch.setattr(machine, "_gpus", lambda: None if gpus is None else (80 * 10**9,) * gpus)
        stage = {
            "name": "tune",
            "do": "train",
            "data": {"use": "picky", **settings},
            "trainer": {"use": "initialize", "config": {}},
        }
        recipe = {"name": "x", "languages": ["en"], "plugins": ["picky.py"], "stages": [stage]}
        (tmp_path / "recipe.json").write_text(json.dumps(recipe))
        loaded = load_recipe(tmp_path / "recipe.json")
        machine.check_machine(make_plan(loaded), loaded, nodes, elsewhere=elsewhere)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return checked


def test_what_a_plugins_strategy_says_of_the_machine_is_an_error_at_its_place(check):
    with pytest.raises(
        AyaError, match=r"recipe.json: stages.tune.data: dataset 'picky' wants 2 GPUs, and 1 is visible here"
    ):
        check(gpus=1, wanted=2)
    check(gpus=2, wanted=2)
    check(gpus=None, wanted=2)  # nobody can tell
    check(gpus=1, wanted=2, elsewhere=True)


def test_steps_that_stand_may_want_what_is_not_there(check):
    check(gpus=0, nodes=[])
    with pytest.raises(AyaError, match="wants 1 GPU, and none is visible here"):
        check(gpus=0, nodes=["tune.data"])


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,1", 2), ("0,1,2,3", 3), (None, 3)])
def test_only_gpus_that_are_visible_count(visible, count, monkeypatch):
    monkeypatch.setattr(machine, "_gpus", lambda: (10, 10, 10))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert len(machine.visible_gpus()) == count
    monkeypatch.setattr(machine, "_gpus", lambda: None)
    assert machine.visible_gpus() == (() if visible in ("", "-1") else None)


def test_a_strategy_is_told_of_the_configuration_of_local_models(check, tmp_path):
    (tmp_path / "model").mkdir()
    config = tmp_path / "model" / "config.json"
    for content in ("{}", "[]", "no json", '{"model_type": "right"}'):
        config.write_text(content)
        check(gpus=1, model="./model")
    config.write_text('{"model_type": "wrong"}')
    with pytest.raises(AyaError, match=r"stages.tune.data: './model' is of the wrong type"):
        check(gpus=1, model="./model")
    check(gpus=1, model="somebody/not-downloaded")


def test_what_cannot_be_told_is_no_obstacle(tmp_path):
    nothing = Surroundings()
    told = [
        nothing.lacks_gpus(8),
        nothing.lacks_device("cuda"),
        nothing.overbooks_gpus(8),
        nothing.too_large("m"),
        nothing.weights("m"),
    ]
    assert told == [None] * 5
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    here = Surroundings(gpus=(0, 0), models={"m": Path(tmp_path)})
    assert (here.weights("m"), here.too_large("m")) == (1000, None)


def test_sizes_devices_and_steps_at_the_same_time_are_compared_with_the_gpus(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    here = Surroundings(gpus=(600, 600), jobs=2, models={"m": tmp_path})
    assert "one GPU here has" in here.too_large("m")
    assert here.too_large("m", 2) is None
    assert here.lacks_device("cpu") is here.lacks_device("cuda:1") is None
    assert here.lacks_device("cuda:2") == "device 'cuda:2' wants 3 GPUs, and 2 are visible here"
    assert here.overbooks_gpus(1) is None
    assert "takes 2 GPUs, and with `machine: {jobs: 2}`" in here.overbooks_gpus(2)

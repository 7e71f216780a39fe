"""Making COMET's environment, without waiting for pip: what pip does is left out or made to fail."""

import json
import sys
import threading

import pytest
from pydantic import ValidationError

from aya_core.api import AyaError
from aya_core.contract.errors import RecipeError
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe
from aya_plugins.comet import environment
from aya_plugins.comet.settings import Comet

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Steps in place of the real ones, counted. The interpreter is a file of its name."""
    monkeypatch.setenv("AYA_COMET_ENV", str(tmp_path / "environments"))
    steps = []

    def run(command, lock):
        steps.append(command)
        if "venv" in command:
            packages = environment.place() / "lib" / "python3" / "site-packages"
            packages.mkdir(parents=True)
            (environment.place() / "bin").mkdir()
            (environment.place() / "bin" / "python").touch()

    monkeypatch.setattr(environment, "_run", run)
    monkeypatch.setattr(environment, "_shared", list)
    monkeypatch.setattr(environment, "versions", lambda python: {"unbabel-comet": "2.2.7"})
    return steps


def test_an_environment_is_made_once_by_all_who_want_it(made):
    found = []
    wanting = [threading.Thread(target=lambda: found.append(environment.environment())) for _ in range(4)]
    for thread in wanting:
        thread.start()
    for thread in wanting:
        thread.join()
    assert len(found) == 4
    assert set(found) == {environment.place() / "bin" / "python"}
    assert len(made) == 2
    assert "--constraint" in made[1]


def test_a_half_made_environment_is_made_again(made, monkeypatch):
    def killed(python):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "versions", killed)
        with pytest.raises(KeyboardInterrupt):
            environment.environment()
    assert len(made) == 2
    environment.environment()
    environment.environment()
    assert len(made) == 4


def test_what_torch_needs_is_linked_where_nothing_is_written_through_the_links(tmp_path, monkeypatch):
    def install(name, files, requires=()):
        for file in (f"{name}-1.dist-info/METADATA", *files):
            (tmp_path / "ours" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "ours" / file).touch()
        needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
        (tmp_path / "ours" / f"{name}-1.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1\n{needs}")
        record = [f"{name}-1.dist-info/METADATA", "../../bin/run", *files]
        (tmp_path / "ours" / f"{name}-1.dist-info" / "RECORD").write_text("".join(f"{file},,\n" for file in record))

    install(
        "torch",
        ["torch/__init__.py", "torch/lib/a.so"],
        ["cuda_toolkit[cublas, nvtx]==1; sys_platform == 'linux'", "sympy"],
    )
    install(
        "cuda_toolkit",
        [],
        ["nvidia-cublas==1; extra == 'cublas'", "absent; extra == 'cublas'", "pytest; extra == 'test'"],
    )
    install("nvidia_cublas", ["nvidia/cu13/lib/b.so", "single.py"])
    install("pytest", ["pytest/__init__.py"])
    install("sympy", ["sympy/__init__.py"])  # pinned
    monkeypatch.setattr(sys, "path", [str(tmp_path / "ours")])
    shared = environment._shared()
    assert [one.name for one in shared] == ["cuda_toolkit", "nvidia_cublas", "torch"]
    environment._link(shared, tmp_path / "theirs")
    links = {
        path.relative_to(tmp_path / "theirs").as_posix()
        for path in (tmp_path / "theirs").rglob("*")
        if path.is_symlink()
    }
    infos = {f"{one.name}-1.dist-info" for one in shared}
    assert links == {"torch", "nvidia/cu13/lib/b.so", "single.py", *infos}
    (tmp_path / "theirs" / "nvidia" / "cu13" / "lib" / "c.so").touch()
    assert not (tmp_path / "ours" / "nvidia" / "cu13" / "lib" / "c.so").exists()


def test_another_set_of_pins_has_another_environment(made, tmp_path, monkeypatch):
    before = environment.place()
    pins = tmp_path / "pins.txt"
    pins.write_text(environment.PINS.read_text().replace("scipy==", "scipy==0"))
    monkeypatch.setattr(environment, "PINS", pins)
    assert environment.place() != before


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.delenv("AYA_COMET_ENV", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert environment.place().parent == tmp_path / "aya-core"


def test_pip_that_fails_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("AYA_COMET_ENV", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the user's own settings reach pip
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(AyaError, match=r"(?s)No matching distribution found for unbabel-comet.*comet\.python"):
        environment.environment()
    assert not (environment.place() / environment.WHOLE).exists()


def test_a_step_that_outlives_us_keeps_others_out(tmp_path):
    with environment._locked(tmp_path / "lock") as lock:
        environment._run([sys.executable, "-c", "import os, sys; os.fstat(int(sys.argv[1]))", str(lock)], lock)


def test_an_interpreter_without_comet_is_told_so():
    with pytest.raises(AyaError, match=r"comet\.python: no interpreter '/nowhere/python'"):
        environment.environment("/nowhere/python")
    with pytest.raises(AyaError, match="has no unbabel-comet"):
        environment.versions(environment.environment(sys.executable))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "Unbabel/XCOMET-XL", "encoder": "e"}, "needs a revision"),
        ({"name": "Unbabel/XCOMET-XL", "revision": "main", "encoder": "e"}, "40 hexadecimal digits, found 'main'"),
        ({"path": "m", "encoder_revision": "main"}, "40 hexadecimal digits"),
        ({"encoder": "e"}, "checkpoint: expected either `name`"),
        ({"path": "m"}, "encoder: expected either `encoder_revision`"),
        ({"path": "m", "name": "a/b", "revision": COMMIT, "encoder": "e"}, "checkpoint: expected either"),
        ({"path": "m", "revision": COMMIT, "encoder": "e"}, "a local folder has none"),
    ],
)
def test_a_checkpoint_is_named_in_one_way_and_pinned(given, message):
    with pytest.raises(ValidationError, match=message):
        Comet(**given)


def test_a_missing_checkpoint_is_not_taken_for_a_missing_benchmark(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    evaluator = {"use": "flores", "data": "./model", "comet": {"path": "./model", "encoder": "./nowhere"}}
    stage = {"name": "scores", "do": "evaluate", "models": ["./model"], "evaluators": {"flores": evaluator}}
    recipe = {"name": "a", "languages": ["de"], "stages": [{**stage, "teacher": {"use": "transformers"}}]}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(RecipeError, match=r"flores\.comet\.encoder: no file or folder .*nowhere") as output:
        make_plan(load_recipe(tmp_path / "recipe.json"))
    assert "FLORES" not in str(output.value)

"""`aya new` writes plugins that work as they are."""

import json
import subprocess
import sys

import pytest

NAMES = {"arbiter": "very-brief", "stage": "short-prompts"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_what_it_writes_installs_is_listed_and_passes_its_test(strangers, tmp_path, kind):
    name = NAMES[kind]
    done = strangers("-m", "aya_core", "new", kind, name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", site]
    subprocess.run([*install, tmp_path / f"aya-{name}"], check=True)
    listed = json.loads(strangers("-m", "aya_core", "plugins", "--json", path=site).stdout)
    assert [p["offers"] for p in listed if p["distribution"] == f"aya-{name}"] == [[f"{kind} {name}"]]
    tested = strangers("-m", "pytest", "-q", tmp_path / f"aya-{name}", "-p", "no:cacheprovider", path=site)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("kind", NAMES)
def test_what_it_writes_is_clean(aya_here, tmp_path, kind):
    aya_here("new", kind, "tidy-thing")
    ruff = [sys.executable, "-m", "ruff"]
    for words in (["check", "--ignore", "RUF012"], ["format", "--check"]):
        command = [*ruff, *words, "--isolated", "--line-length", "120", "."]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "aya-tidy-thing")
        assert done.returncode == 0, done.stdout


def test_it_overwrites_nothing(aya_here, tmp_path):
    (tmp_path / "aya-mine").mkdir()
    assert "aya-mine exists; choose another --out" in aya_here("new", "stage", "mine", check=2).stderr
    assert list((tmp_path / "aya-mine").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("arbiter", "length"), "aya-core has an arbiter of this name"),
        (("stage", "train"), "aya-core has a stage of this name"),
        (("stage", "My Stage"), "expected a name of lower case words joined by hyphens"),
        (("merge", "mine"), "'merge' is not one of 'arbiter', 'stage'"),
    ],
)
def test_what_cannot_be_written_is_told_why(aya_here, tmp_path, words, message):
    assert message in aya_here("new", *words, check=2).stderr
    assert list(tmp_path.iterdir()) == []

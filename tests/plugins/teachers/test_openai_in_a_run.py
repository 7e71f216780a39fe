"""Served teachers inside `aya run`: side by side, killed and finished, and no file holds the key."""

import asyncio
import json
import subprocess
import sys
import time

import pytest
from aiohttp import web
from faulty_server import FaultyServer, now_and_then

from aya_core.contract.artifacts import read_rows
from aya_core.contract.records import Completion

KEY = "sk-Geheim+with/odd=signs&7QxZp2VwL9"


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe in which one answer is picked of those that the served teachers give; returns its path."""

    def write(urls, count=30, **settings):
        rows = [{"id": f"p{number}", "prompt": f"question {number}"} for number in range(count)]
        (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
        teachers = {
            name: {"use": "openai", "base_url": url, "model": "good-model", "backoff_seconds": 0.01, **settings}
            for name, url in urls.items()
        }
        arbitrage = {
            "name": "arbitrage", "do": "arbitrage", "prompts": {"use": "jsonl", "path": "prompts.jsonl", "language": "en"},
            "teachers": teachers, "router": {"use": "all"}, "arbiter": {"use": "consensus"}, "sampling": {"max_tokens": 8},
        }  # fmt: skip
        path = tmp_path / "served.yaml"
        path.write_text(
            json.dumps({"name": "served", "languages": ["en"], "machine": {"jobs": 1}, "stages": [arbitrage]})
        )
        return path

    return write


def answers(out, teacher):
    (folder,) = out.glob(f"artifacts/arbitrage.answers@{teacher}/*/payload")
    return {row.prompt_id: row.text for row in read_rows(folder, Completion)}


def test_served_teachers_are_asked_at_the_same_time_beside_one_job(recipe, aya_command, tmp_path):
    """Each server answers only when the other has been asked, too."""
    servers = {name: FaultyServer() for name in ("ana", "bo")}

    async def meet(server, request, body, attempt):
        deadline = time.monotonic() + 30
        while not all(other.requests for other in servers.values()):
            if time.monotonic() > deadline:
                return web.json_response({"error": "alone"}, status=404)
            await asyncio.sleep(0.01)
        return None

    for server in servers.values():
        server.respond = meet
    with servers["ana"].running() as first, servers["bo"].running() as second:
        done = aya_command("run", recipe({"ana": first, "bo": second}), "--out", tmp_path / "out", "-q")
    assert done.returncode == 0, done.stderr
    assert len(answers(tmp_path / "out", "ana")) == len(answers(tmp_path / "out", "bo")) == 30


def test_a_run_that_is_killed_midway_gives_all_answers_when_it_is_started_again(recipe, aya_command, tmp_path):
    is_stuck = True

    async def stuck(server, request, body, attempt):
        if is_stuck and int(body["messages"][-1]["content"].split()[1]) >= 30:
            await server.stopped.wait()

    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    server = FaultyServer(stuck)
    with server.running() as url, FaultyServer().running() as other:
        path = recipe({"ana": url, "bo": other}, count=60, concurrency=4)
        words = [sys.executable, "-c", "from aya_core.cli import main; main()", "run", str(path), "--out", str(out)]
        run = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: len(server.requests) == 30 + 4)
        finally:
            run.kill()
            run.wait()
        is_stuck = False
        for folder in (out, undisturbed):
            done = aya_command("run", path, "--out", folder, "-q")
            assert done.returncode == 0, done.stderr
    assert answers(out, "ana") == answers(undisturbed, "ana")
    assert set(answers(out, "ana")) == {f"p{number}" for number in range(60)}


ECHOES = {
    "answers": lambda seen: None,
    "refuses the key": lambda seen: web.json_response({"error": {"message": f"wrong key {seen}"}}, status=401),
    "is broken": lambda seen: web.Response(text=f"request headers: Authorization={seen}", status=500),
    "refuses prompts": lambda seen: web.json_response({"detail": f"{seen} not welcome"}, status=400),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_the_key_is_in_no_file_of_a_run_whatever_the_server_does_with_it(recipe, aya_command, tmp_path, echo):
    seen = set()

    async def tell(server, request, body, attempt):
        seen.add(request.headers["Authorization"])
        return ECHOES[echo](request.headers["Authorization"])

    out = tmp_path / "out"
    with FaultyServer(tell).running() as url:
        path = recipe({"ana": url, "bo": url}, api_key_env="AYA_TEST_KEY", retries=1)
        done = aya_command("run", path, "--out", out, "-q", env={"AYA_TEST_KEY": KEY})
    assert done.returncode == (0 if echo == "answers" else 2), done.stderr
    assert seen == {f"Bearer {KEY}"}
    files = [file for file in out.rglob("*") if file.is_file()]
    assert any(file.parent.name == "logs" for file in files)
    for file in files:
        content = file.read_bytes()
        assert not any(part in content for part in (KEY.encode(), b"Geheim", b"7QxZp2VwL9")), file
    assert "Geheim" not in done.stdout + done.stderr


def test_a_run_tells_in_the_log_and_the_account_what_was_left_out(recipe, aya_command, tmp_path):
    async def respond(server, request, body, attempt):
        if body["messages"][-1]["content"] == "question 7":
            return web.json_response({"error": {"message": "we do not speak of seven"}}, status=400)
        return await now_and_then(20)(server, request, body, attempt)

    out = tmp_path / "out"
    with FaultyServer(respond).running() as url, FaultyServer().running() as other:
        done = aya_command("run", recipe({"ana": url, "bo": other}, timeout_seconds=1), "--out", out, "-q")
    assert done.returncode == 0, done.stderr
    assert set(answers(out, "ana")) == {f"p{number}" for number in range(30)} - {"p7"}
    (manifest,) = out.glob("artifacts/arbitrage.answers@ana/*/artifact.json")
    assert json.loads(manifest.read_text())["measures"]["unanswered"] == 1
    log = (out / "logs" / "arbitrage.answers@ana.log").read_text()
    assert "prompt 'p7' refused: 400: we do not speak of seven" in log
    assert "29 of 30 prompts answered, 1 refused" in log


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)

"""The openai teacher: nothing lost or doubled whatever the server does, limits kept, keys kept secret."""

import asyncio
import gc
import html
import json
import logging
import time
from urllib.parse import quote

import pytest
from aiohttp import web
from faulty_server import FAULTS, FaultyServer, broken, busy, chat_completion, cut, malformed, now_and_then, stall

from aya_core.api import AyaError, Completion, DataError, Registry, Sampling, Unanswered, user_prompt
from aya_core.testing import check_teacher
from aya_plugins.teachers.openai import OpenAI
from aya_plugins.teachers.runtime.openai_trouble import QUOTED, Diagnosis

KEY = "sk-Geheim+with/odd=signs&7QxZp2VwL9"
GREEDY = Sampling(temperature=0, max_tokens=8)
WARM = Sampling(temperature=1.0, max_tokens=8)


def questions(count):
    return [user_prompt(f"p{index}", "en", f"question {index}") for index in range(count)]


def teacher(url, **settings):
    return OpenAI(**{"base_url": url, "model": "good-model", "backoff_seconds": 0.005, **settings}).build()


def answers(url, prompts, sampling=GREEDY, seed=0, **settings):
    came = teacher(url, **settings).answer(prompts, sampling, seed)
    found = [one for one in came if isinstance(one, Completion)]
    assert len({(one.prompt_id, one.index) for one in found}) == len(found), "an answer came twice"
    return {(one.prompt_id, one.index): one for one in found}


def always(fault):
    return lambda server, request, body, attempt: fault(server, request, body, attempt)


def once(fault):
    async def respond(server, request, body, attempt):
        return await fault(server, request, body, attempt) if attempt == 0 else None

    return respond


def replying(status, message="", **more):
    async def respond(server, request, body, attempt):
        return web.json_response({"error": {"message": message}}, status=status, **more)

    return respond


def refusing(*texts, status=400):
    """Refuse questions that hold one of the texts."""

    async def respond(server, request, body, attempt):
        refused = any(text in body["messages"][-1]["content"] for text in texts)
        return web.json_response({"error": {"message": "too long for me"}}, status=status) if refused else None

    return respond


def test_it_conforms():
    with FaultyServer().running() as url:
        check_teacher(OpenAI(base_url=url, model="good-model"))


def test_nothing_is_lost_or_doubled_when_every_fifth_attempt_fails():
    server = FaultyServer(now_and_then(20))
    prompts = questions(400)
    with server.running() as url:
        found = answers(url, prompts, Sampling(temperature=1, n=2), timeout_seconds=2, concurrency=64)
    assert set(found) == {(prompt.id, index) for prompt in prompts for index in (0, 1)}
    for prompt in prompts:
        assert all(found[prompt.id, index].text.startswith(f"answer to {prompt.text}: ") for index in (0, 1))
    assert len(server.faults) == len(FAULTS)
    assert len(server.requests) == len(prompts) + sum(server.faults.values())  # and nothing is asked for twice


def test_faults_and_neighbors_change_no_answer():
    prompts = questions(60)
    with FaultyServer().running() as calm, FaultyServer(now_and_then(30, (busy, cut, malformed))).running() as rough:
        expected = answers(calm, prompts, WARM)
        assert answers(rough, prompts[::-1], WARM, concurrency=3) == expected
        assert answers(calm, prompts[20:30], WARM).items() <= expected.items()
        assert answers(calm, prompts, WARM, seed=1) != expected


@pytest.mark.parametrize("concurrency", [1, 7, 256])
def test_as_many_requests_as_allowed_are_in_flight_and_no_more(concurrency):
    """The first are not answered until so many are there."""
    deadline = time.monotonic() + 60

    async def wait_for_company(server, request, body, attempt):
        while server.most_in_flight < concurrency and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    server = FaultyServer(wait_for_company, seconds=0.05)
    with server.running() as url:
        answers(url, questions(max(20, concurrency + 50)), concurrency=concurrency)
    assert server.most_in_flight == concurrency


def test_each_answer_is_yielded_when_it_has_come():
    async def slow_but_the_first(server, request, body, attempt):
        if body["messages"][-1]["content"] != "question 0":
            await server.stopped.wait()

    with FaultyServer(slow_but_the_first).running() as url:
        stream = teacher(url).answer(questions(5), GREEDY, 0)
        assert next(stream).prompt_id == "p0"
        stream.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_what_may_pass_is_tried_again(fault):
    server = FaultyServer(once(fault))
    with server.running() as url:
        assert len(answers(url, questions(3), timeout_seconds=2)) == 3
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", [202, 204, 408, 409, 425, 429, 500, 503, 529])
def test_a_busy_or_broken_server_is_asked_again(status):
    with FaultyServer(once(replying(status))).running() as url:
        assert len(answers(url, questions(1))) == 1


class Limited(FaultyServer):
    """Answers so many requests a second, and tells others to come back."""

    def __init__(self, per_second, status=429, headers=None):
        super().__init__(self.limit)
        self.per_second, self.status, self.headers = per_second, status, headers or {}
        self.level, self.seen, self.in_vain = per_second, time.monotonic(), 0

    async def limit(self, server, request, body, attempt):
        now = time.monotonic()
        self.level, self.seen = min(self.per_second, self.level + (now - self.seen) * self.per_second), now
        if self.level >= 1:
            self.level -= 1
            return None
        self.in_vain += 1
        return web.json_response({"error": {"message": "slow down"}}, status=self.status, headers=self.headers)


@pytest.mark.parametrize("limits", [(429, {"Retry-After": "0.2"}), (503, {"Retry-After": "0.2"}), (429, {})])
def test_a_limit_of_the_server_costs_no_prompt_and_no_retry(limits):
    server = Limited(50, *limits)
    with server.running() as url:
        found = answers(url, questions(150), retries=0, max_failures=0)
    assert len(found) == 150
    assert server.in_vain < 75  # 64 in flight, each tried again and again, would be hundreds


def test_a_server_that_is_busy_for_ever_stops_the_run_after_a_while():
    expected = r"has been busy for \d+ s without one answer \(429: slow down\).*patience_seconds"
    with FaultyServer(always(busy)).running() as url, pytest.raises(AyaError, match=expected):
        answers(url, questions(5), patience_seconds=0.5)


def test_several_servers_share_the_work_and_say_the_same():
    one, other = FaultyServer(seconds=0.01), FaultyServer(seconds=0.01)
    with one.running() as first, other.running() as second:
        shared = answers((first, second), questions(200), WARM)
        alone = answers(first, questions(200), WARM)
    assert shared == alone
    assert len(other.requests) > 60
    assert len(one.requests) - 200 > 60


def test_the_work_of_a_server_that_dies_goes_to_the_others():
    one = FaultyServer(seconds=0.01)
    with one.running() as first:
        with FaultyServer(seconds=0.01).running() as second:
            built = teacher((first, second), retries=0, max_failures=0)
            assert len(list(built.answer(questions(20), WARM, 0))) == 20
        assert len(list(built.answer(questions(200), WARM, 0))) == 200


def test_the_work_of_a_server_that_is_busy_goes_to_the_others():
    with (
        FaultyServer(always(replying(429, headers={"Retry-After": "30"}))).running() as first,
        FaultyServer().running() as second,
    ):
        started = time.monotonic()
        assert len(answers((first, second), questions(200))) == 200
        assert time.monotonic() - started < 25


def test_where_the_servers_are_is_no_part_of_what_a_result_is_called():
    registry = Registry()
    dumped = {
        json.dumps(registry.dump("teacher", OpenAI(base_url=url, model="m"), essential=True))
        for url in ("http://a/v1", ("http://a/v1", "http://b/v1"))
    }
    assert len(dumped) == 1


def test_settings_that_came_later_name_nothing_anew_at_their_default():
    registry = Registry()

    def named(**settings):
        return registry.dump("teacher", OpenAI(base_url="http://a/v1", model="m", **settings), essential=True)

    assert set(named()) == {"use", "model", "system", "extra_body"}
    assert named(price={"prompt": 1, "answer": 2}) == named()
    assert named(reasoning="keep")["reasoning"] == "keep"
    assert named(chat_template_kwargs={"enable_thinking": False})["chat_template_kwargs"] == {"enable_thinking": False}


def said(content, finish_reason="stop", **message):
    async def respond(server, request, body, attempt):
        reply = chat_completion(body)
        reply["choices"][0] |= {
            "message": {"role": "assistant", "content": content, **message},
            "finish_reason": finish_reason,
        }
        return web.json_response(reply)

    return respond


@pytest.mark.parametrize("content", [None, "", "  \n\u200b"])
def test_an_empty_answer_is_asked_for_again_with_another_seed(content):
    server = FaultyServer(once(said(content)))
    with server.running() as url:
        found = answers(url, questions(3), WARM)
    assert not any(one.is_empty for one in found.values())
    assert len({body["seed"] for body in server.bodies}) == 6


def test_an_answer_that_stays_empty_stands_as_empty_and_stops_nothing():
    server = FaultyServer(always(said(None)))
    with server.running() as url:
        started = time.monotonic()
        found = answers(url, questions(20), retries=2, max_failures=0, backoff_seconds=60)
    assert [one.is_empty for one in found.values()] == [True] * 20
    assert len(server.requests) == 60
    assert time.monotonic() - started < 20  # at once: a server that says nothing is not busy


def test_an_empty_sample_among_others_is_asked_for_again():
    async def one_empty(server, request, body, attempt):
        reply = chat_completion(body)
        if attempt == 0:
            reply["choices"][1]["message"]["content"] = None
        return web.json_response(reply)

    with FaultyServer(one_empty).running() as url:
        found = answers(url, questions(2), Sampling(temperature=1, n=3))
    assert len({one.text for one in found.values()}) == 6
    assert not any(one.is_empty for one in found.values())


@pytest.mark.parametrize(
    ("respond", "text", "reasoning", "ended"),
    [
        (said("<think>hm</think>\n\n42"), "42", "hm", "stop"),
        (said("hm\n</think>\n\n42"), "42", "hm", "stop"),
        (said("<think>hm", "length"), "", "hm", "length"),
        (said("<think>hm"), "", "hm", "length"),
        (said("42", reasoning_content="hm"), "42", "hm", "stop"),
        (said(None, "length", reasoning="hm"), "", "hm", "length"),
        (
            said("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>42"),
            "42",
            "hm",
            "stop",
        ),
        (said("4", "content_filter"), "4", "", "filtered"),
        (said(None, refusal="No."), "No.", "", "refused"),
    ],
)
def test_reasoning_is_apart_and_how_an_answer_ended_is_told(respond, text, reasoning, ended):
    server = FaultyServer(respond)
    with server.running() as url:
        (found,) = answers(url, questions(1)).values()
    assert (found.text, found.reasoning, found.finish_reason) == (text, reasoning, ended)
    assert len(server.requests) == 1


def test_reasoning_can_be_left_in_the_answer():
    with FaultyServer(said("<think>hm</think>42")).running() as url:
        (found,) = answers(url, questions(1), reasoning="keep").values()
    assert (found.text, found.reasoning) == ("<think>hm</think>42", "")


def test_arguments_of_the_chat_template_are_sent():
    server = FaultyServer()
    with server.running() as url:
        answers(url, questions(1), chat_template_kwargs={"enable_thinking": False})
        answers(url, questions(1), Sampling(prompting="text"), chat_template_kwargs={"enable_thinking": False})
    chat, text = server.bodies
    assert chat["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in text


async def web_page(server, request, body, attempt):
    return web.Response(text="<!DOCTYPE html><html><title>Login</title></html>", content_type="text/html")


async def giant(server, request, body, attempt):
    return web.json_response({**chat_completion(body), "more": "x" * 2**21})


def written(body):
    async def respond(server, request, asked, attempt):
        return web.Response(body=body, content_type="application/json")

    return respond


ODD = {
    "page": web_page,
    "giant": giant,
    "null": written(b"null"),
    "number": written(b"7"),
    "deep": written(b"[" * 100_000),
    "choices null": written(b'{"choices": null}'),
    "choice null": written(b'{"choices": [null]}'),
    "message number": written(b'{"choices": [{"message": 7}]}'),
    "content number": written(b'{"choices": [{"message": {"content": 7}}]}'),
    "error": written(b'{"error": {"message": "Provider returned error", "code": 502}}'),
    "events": written(b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: [DONE]\n\n'),
    "latin-1": written(b'{"choices": [{"message": {"content": "caf\xe9"}}]}'),
    "broken off": written(b'{"choices": [{"message": {"content": "half"}, "finish_reason": "error"}]}'),
    "long count": written(
        b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}"
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_reply_is_a_failed_reply(odd, caplog):
    async def one_of_twenty(server, request, body, attempt):
        return (
            await ODD[odd](server, request, body, attempt) if body["messages"][-1]["content"] == "question 7" else None
        )

    with FaultyServer(once(ODD[odd])).running() as url:
        assert len(answers(url, questions(3), retries=1, max_failures=0)) == 3
    server = FaultyServer(one_of_twenty)
    with server.running() as url:
        came = list(teacher(url, retries=1, concurrency=1).answer(questions(20), GREEDY, 0))
    assert len(came) == 20
    (left_out,) = [one for one in came if isinstance(one, Unanswered)]
    assert left_out.prompt_id == "p7"
    assert "at the last of 2 attempts" in left_out.reason


@pytest.mark.parametrize("header", [{"Retry-After": "0.2"}, {"retry-after-ms": "200"}])
def test_the_server_says_when_to_come_back(header):
    server = FaultyServer(once(replying(429, headers=header)))
    with server.running() as url:
        started = time.monotonic()
        answers(url, questions(5))
        assert time.monotonic() - started >= 0.2


def test_a_pause_of_hours_ends_the_run():
    server = FaultyServer(always(replying(429, "daily quota", headers={"Retry-After": "86400"})))
    expected = r"asks for a pause of 24\.0 hours \(429: daily quota\)"
    with server.running() as url, pytest.raises(AyaError, match=expected):
        answers(url, questions(5))


def test_requests_keep_to_a_rate_limit_over_several_calls():
    with FaultyServer().running() as url:
        limited = teacher(url, requests_per_minute=2400)  # 40 a second, which may come at once
        started = time.monotonic()
        for _ in range(2):
            assert len(list(limited.answer(questions(30), GREEDY, 0))) == 30
        assert 0.45 < time.monotonic() - started < 10


def test_tokens_keep_to_a_rate_limit():
    with FaultyServer().running() as url:
        started = time.monotonic()
        answers(
            url, questions(40), Sampling(temperature=0, max_tokens=500), tokens_per_minute=1_200_000
        )  # 20,000 a second
        assert 0.1 < time.monotonic() - started < 10  # 40 reserve 23,000 in all


def test_what_is_sent_is_what_was_asked_for():
    server = FaultyServer()
    sampling = Sampling(temperature=0.3, top_p=0.9, top_k=5, max_tokens=17, stop=("\n", "END"), n=3)
    with server.running() as url:
        answers(url, questions(1), sampling, system="Be kind.", extra_body={"min_p": 0.1})
        answers(url, questions(1), Sampling(), max_tokens_field="max_completion_tokens", extra_body={"seed": None})
    full, plain = server.bodies
    assert 0 <= full.pop("seed") < 2**31
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "question 0"}]
    assert full == {
        "model": "good-model", "messages": messages, "n": 3, "temperature": 0.3, "top_p": 0.9, "top_k": 5,
        "max_tokens": 17, "stop": ["\n", "END"], "min_p": 0.1,
    }  # fmt: skip
    assert set(plain) == {"model", "messages", "temperature", "top_p", "max_completion_tokens"}


def test_a_text_is_sent_to_be_continued():
    server = FaultyServer()
    text = Sampling(temperature=0, max_tokens=17, prompting="text")
    with server.running() as url:
        found = answers(url, questions(1), text, system="Be kind. ", max_tokens_field="max_completion_tokens")
    (body,) = server.bodies
    assert body.pop("seed") >= 0
    assert body == {
        "model": "good-model", "prompt": "Be kind. question 0", "temperature": 0, "top_p": 1.0, "max_tokens": 17,
    }  # fmt: skip
    assert [one.text for one in found.values()] == ["answer to Be kind. question 0: greedy"]


def test_a_server_that_continues_no_texts_is_told():
    with (
        FaultyServer(continues_texts=False).running() as url,
        pytest.raises(AyaError, match="offers no text completions of the model 'good-model'"),
    ):
        answers(url, questions(1), Sampling(prompting="text"))


def test_every_prompt_has_a_seed_of_its_own():
    server = FaultyServer()
    with server.running() as url:
        answers(url, questions(50), WARM)
    assert len({body["seed"] for body in server.bodies}) == 50


@pytest.mark.parametrize("most", [1, 2, 3])
def test_choices_that_a_server_did_not_give_are_asked_for_again(most):
    async def few(server, request, body, attempt):
        return web.json_response(chat_completion(body, most_choices=most))

    with FaultyServer(few).running() as url:
        found = answers(url, questions(10), Sampling(temperature=1, n=5))
    assert set(found) == {(f"p{number}", index) for number in range(10) for index in range(5)}
    assert all(len({found[f"p{number}", index].text for index in range(5)}) == 5 for number in range(10))


def test_choices_that_a_server_gives_beyond_those_asked_for_are_dropped():
    async def many(server, request, body, attempt):
        return web.json_response(chat_completion({**body, "n": 9}))

    with FaultyServer(many).running() as url:
        assert len(answers(url, questions(4), Sampling(temperature=1, n=2))) == 8


def test_a_server_that_refuses_several_choices_is_asked_for_one_at_a_time(caplog):
    async def one_only(server, request, body, attempt):
        return await replying(400, "Only one completion choice is allowed")(*[None] * 4) if "n" in body else None

    server = FaultyServer(one_only)
    with server.running() as url:
        found = answers(url, questions(20), Sampling(temperature=1, n=3), concurrency=2)
    assert len(found) == 60
    assert len(server.requests) <= 60 + 2  # it learns
    assert caplog.text.count("one choice a request") == 1


def test_greedy_samples_are_one_answer_repeated():
    server = FaultyServer()
    with server.running() as url:
        found = answers(url, questions(3), Sampling(temperature=0, n=4))
    assert len(found) == 12
    assert len(server.requests) == 3
    assert all("n" not in body for body in server.bodies)
    assert found["p1", 0].text == found["p1", 3].text


def test_tokens_and_reasons_are_recorded():
    async def output(server, request, body, attempt):
        reply = chat_completion(body)
        reply["choices"][0]["finish_reason"] = "length"
        reply["usage"] = {"prompt_tokens": 11, "completion_tokens": 31}
        return web.json_response(reply)

    with FaultyServer(output).running() as url:
        cut_short, ended = answers(url, questions(1), Sampling(temperature=1, n=2)).values()
    assert (cut_short.finish_reason, ended.finish_reason) == ("length", "stop")
    assert cut_short.prompt_tokens == ended.prompt_tokens == 11
    assert cut_short.completion_tokens + ended.completion_tokens == 31


def test_a_prompt_that_the_server_refuses_is_left_out_and_named(caplog):
    server = FaultyServer(refusing("question 3", "question 7"))
    with server.running() as url:
        found = answers(url, questions(10))
    assert {id for id, _ in found} == {f"p{number}" for number in range(10)} - {"p3", "p7"}
    assert len(server.requests) == 10  # not asked again
    assert "prompt 'p3' refused: 400: too long for me" in caplog.text
    assert "8 of 10 prompts answered, 2 refused" in caplog.text


def test_refused_prompts_alone_do_not_stop_a_run_that_goes_on():
    with FaultyServer(refusing("question")).running() as url:
        assert answers(url, questions(30)) == {}  # a plain question is answered: it is the prompts


def test_a_server_that_refuses_everything_stops_the_run_with_its_own_words():
    server = FaultyServer(always(replying(400, "unknown field top_k")))
    expected = r"none of the first 8 prompts.*400: unknown field top_k"
    with server.running() as url, pytest.raises(AyaError, match=expected):
        answers(url, questions(100))


def test_an_answer_that_a_content_filter_keeps_back_is_left_out(caplog):
    async def filtered(server, request, body, attempt):
        if body["messages"][-1]["content"] == "question 1":
            reply = chat_completion(body)
            reply["choices"][0] |= {
                "message": {"role": "assistant", "content": None},
                "finish_reason": "content_filter",
            }
            return web.json_response(reply)
        return None

    with FaultyServer(filtered).running() as url:
        assert {id for id, _ in answers(url, questions(3))} == {"p0", "p2"}
    assert "prompt 'p1' refused: the server's content filter" in caplog.text


def fails_for(*texts):
    async def respond(server, request, body, attempt):
        failing = body["messages"][-1]["content"] in texts
        return await broken(server, request, body, attempt) if failing else None

    return respond


def test_prompts_without_an_answer_after_all_retries_are_left_out_up_to_a_share(caplog):
    server = FaultyServer(fails_for("question 2", "question 5"))
    with server.running() as url:
        found = answers(url, questions(20), retries=2, max_failures=0.1)
        assert len(found) == 18
        assert server.attempts["question 2"] == 3
        assert "prompt 'p2' failed: 500: oh no, at the last of 3 attempts" in caplog.text
        with pytest.raises(AyaError, match=r"no answer to 2 of 20 prompts \(max_failures is 0\.05\).*500: oh no"):
            answers(url, questions(20), retries=1, max_failures=0.05)


@pytest.mark.parametrize("fault", [broken, stall])
def test_a_server_that_never_answers_stops_the_run(fault):
    with FaultyServer(always(fault)).running() as url, pytest.raises(AyaError, match="prompts"):
        answers(url, questions(3), retries=1, timeout_seconds=0.1, max_failures=1.0)


def test_a_server_that_nobody_runs_is_told():
    with FaultyServer().running() as url:
        pass
    with pytest.raises(AyaError, match=r"cannot be reached .* is the server up\? Tried 3 times"):
        answers(url, questions(3), retries=2)


@pytest.mark.parametrize(
    ("status", "settings", "expected"),
    [
        (401, {"api_key_env": "AYA_TEST_KEY"}, "check the key in the environment variable 'AYA_TEST_KEY'"),
        (403, {}, "name the environment variable that holds it with `api_key_env`"),
        (404, {}, "base_url, which usually ends in /v1, and the model's name; it knows the models good-model"),
        (405, {}, "usually ends in /v1"),
        (402, {}, "top the account up"),
        (307, {}, "put the right address into base_url"),
    ],
)
def test_what_no_retry_mends_stops_the_run_at_once(monkeypatch, status, settings, expected):
    monkeypatch.setenv("AYA_TEST_KEY", KEY)
    server = FaultyServer(always(replying(status, "no way")))
    with server.running() as url, pytest.raises(AyaError) as error:
        answers(url, questions(50), concurrency=4, **settings)
    assert expected in str(error.value)
    assert str(status) in str(error.value)
    assert len(server.requests) <= 4


def test_a_web_page_in_the_place_of_an_api_is_told():
    async def page(server, request, body, attempt):
        return web.Response(text="<!DOCTYPE html><html><title>Welcome</title></html>", content_type="text/html")

    with (
        FaultyServer(always(page)).running() as url,
        pytest.raises(AyaError, match=r"answers with a web page; check base_url"),
    ):
        answers(url, questions(2))


def test_a_web_page_after_the_first_answer_is_a_fault_that_passes():
    async def page_for_the_second(server, request, body, attempt):
        late = len(server.requests) > 1 and attempt == 0
        return web.Response(text="<html>down</html>", content_type="text/html") if late else None

    with FaultyServer(page_for_the_second).running() as url:
        assert len(answers(url, questions(5), concurrency=1)) == 5


ECHOES = {
    "json": lambda seen: web.json_response({"error": {"message": f"wrong key {seen}"}}, status=401),
    "text": lambda seen: web.Response(text=f"headers: Authorization={seen} " * 9, status=500),
    "html": lambda seen: web.Response(text=f"<html><title>{seen}</title></html>", status=502),
    "refusal": lambda seen: web.json_response({"detail": [{"msg": seen}]}, status=422),
    "location": lambda seen: web.Response(status=302, headers={"Location": f"/login?key={seen}"}),
    "malformed": lambda seen: web.Response(text=f'{{"seen": "{seen}", '),
    "escaped": lambda seen: web.Response(text=json.dumps({"a": seen}).replace("/", "\\/")[:-1], status=500),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_the_key_is_sent_and_never_told(monkeypatch, caplog, echo):
    monkeypatch.setenv("AYA_TEST_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    async def tell(server, request, body, attempt):
        return ECHOES[echo](request.headers["Authorization"])

    server = FaultyServer(tell)
    with server.running() as url:
        settings = OpenAI(base_url=url, model="m", api_key_env="AYA_TEST_KEY", retries=1, backoff_seconds=0)
        built = settings.build()
        with pytest.raises(AyaError) as error:
            list(built.answer(questions(3), GREEDY, 0))
    assert server.requests[0][0]["Authorization"] == f"Bearer {KEY}"
    output = [str(error.value), repr(error.value.__context__), caplog.text, repr(built), repr(settings)]
    output += [settings.model_dump_json()]
    for text in output:
        for part in (KEY, "Geheim", "7QxZp2VwL9"):
            assert part not in text


FORMS = {
    "plain": KEY,
    "json": json.dumps({"seen": KEY}).replace("/", "\\/"),
    "unicode": KEY.replace("&", "\\u0026"),
    "html": html.escape(KEY),
    "entities": KEY.replace("+", "&#43;").replace("/", "&#x2F;"),
    "url": quote(KEY, safe=""),
    "small letters": KEY.lower(),
    "far back": "x" * (QUOTED - 30) + KEY,  # shortened first, half of it would stay
    "bearer": f"Bearer%20{KEY[:20]} was seen",
}


@pytest.mark.parametrize("form", FORMS)
def test_the_key_is_taken_out_of_what_a_server_says_in_every_form(form):
    diagnosis = Diagnosis("http://host/v1", "m", KEY, "AYA_TEST_KEY")
    replied = diagnosis.quote(f"you sent {FORMS[form]}, which is wrong".encode())
    assert replied.startswith("you sent ")
    assert not any(part in replied.lower() for part in ("sk-g", "geheim", "7qxzp"))


def test_a_missing_key_is_told_by_the_name_of_its_variable(monkeypatch):
    monkeypatch.delenv("AYA_TEST_KEY", raising=False)
    with pytest.raises(DataError, match="'AYA_TEST_KEY' is not set"):
        teacher("http://localhost:1/v1", api_key_env="AYA_TEST_KEY")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"api_key_env": "gsk_0123456789abc"}, "the name of an environment variable"),
        ({"base_url": "http://me:0123456789abc@host/v1"}, "no user, password or query"),
        ({"base_url": "http://host/v1?key=0123456789abc"}, "no user, password or query"),
        ({"base_url": "localhost:8000/v1"}, "such as http://localhost:8000/v1"),
        ({"base_url": "http://host/v1/chat/completions"}, "leave it out"),
        ({"extra_body": {"n": 3}}, "'n' is decided by other settings"),
        ({"extra_body": {"temperature": 3}}, "'temperature' is decided by other settings"),
    ],
)
def test_settings_that_cannot_be_right_are_refused_and_not_repeated(wrong, expected):
    with pytest.raises(ValueError, match=expected) as error:
        OpenAI(**{"base_url": "http://localhost:8000/v1", "model": "m", **wrong})
    assert "0123456789abc" not in str(error.value)


@pytest.mark.filterwarnings("error")
def test_closing_early_cancels_what_is_in_flight_and_leaves_nothing_open(caplog):
    server = FaultyServer(seconds=0.01)
    with server.running() as url:
        for _ in range(5):
            stream = teacher(url, concurrency=32).answer(questions(2000), GREEDY, 0)
            for _ in range(3):
                next(stream)
            stream.close()
        gc.collect()  # an unclosed session or socket would warn
        asked = -1
        while asked < len(
            server.requests
        ):  # what was in flight reaches a busy server late; without an end, nothing is cancelled
            asked = len(server.requests)
            assert asked < 1000  # of 10,000: requests are made when there is room for them
            time.sleep(0.3)
    assert "Unclosed" not in caplog.text
    assert "never retrieved" not in caplog.text


def test_a_consumer_that_is_slow_slows_the_questions_down():
    server = FaultyServer()
    with server.running() as url:
        stream = teacher(url, concurrency=4).answer(questions(500), GREEDY, 0)
        next(stream)
        time.sleep(0.2)
        assert len(server.requests) <= 20
        assert sum(1 for _ in stream) == 499


def test_a_proxy_that_the_environment_names_is_used_unless_it_is_excepted(monkeypatch):
    with FaultyServer().running() as url:
        monkeypatch.setenv("http_proxy", url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        assert len(answers("http://model.invalid/v1", questions(2))) == 2
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert len(answers(url, questions(2), retries=0)) == 2

"""How answers ended, why prompts have none, what they cost: counted, told and, where they are not whole, not picked."""

import json

import pytest

from aya_core.api import (
    Completion,
    Demonstration,
    Judged,
    LeftOut,
    Preference,
    Verdict,
    read_rows,
    unanswered_because,
    user_prompt,
)
from aya_recipe.arbitrage import costs
from aya_recipe.arbitrage.account import Account, warnings


def account(folder):
    return json.loads((folder.out / "report.json").read_text())["sections"]["arbitrage"]["data"]


@pytest.mark.parametrize(("ending", "counted"), [("length", "cut"), ("filtered", "filtered"), ("refused", "refused")])
def test_answers_that_are_not_whole_are_counted_and_not_picked(folder, ending, counted):
    folder.stage["teachers"]["ana"]["ends"] = ending
    folder.run()
    found = account(folder)
    assert found["teachers"]["ana"][counted] == found["teachers"]["ana"]["answers"] == 24
    assert found["by_language"]["ana"]["de"][counted] == 8
    assert found["teachers"]["ana"]["endings"] == {ending: 24}
    assert found["teachers"]["bo"][counted] == 0
    assert any(f"ana: 24 of 24 answers are {counted} (de 8, en 8, tr 8)" in text for text in found["warnings"])
    best = list(read_rows(folder.payload("arbitrage.best"), Demonstration))
    assert {(row.source, row.finish_reason) for row in best} == {("bo", "stop")}
    assert folder.measures("arbitrage.pairs")["rows"] == 0
    reasons = {row["reason"] for row in folder.measures("arbitrage.pairs")["dropped"]}
    assert reasons == {f"fewer than two answers that are not {counted}"}


def test_answers_that_are_not_whole_are_picked_where_pick_allows_them(folder):
    folder.stage["teachers"]["ana"]["ends"] = "length"
    folder.stage["pick"] = {"allow": ["length"]}
    folder.run()
    best = list(read_rows(folder.payload("arbitrage.best"), Demonstration))
    assert {(row.source, row.finish_reason) for row in best} == {("ana", "length"), ("bo", "stop")}
    pairs = list(read_rows(folder.payload("arbitrage.pairs"), Preference))
    assert len(pairs) == 24
    assert all({pair.chosen_finish_reason, pair.rejected_finish_reason} == {"length", "stop"} for pair in pairs)


def test_a_word_of_a_server_that_nobody_knows_is_kept_counted_and_no_reason_to_drop(folder):
    folder.stage["teachers"]["ana"]["ends"] = "paused"
    folder.run()
    assert account(folder)["teachers"]["ana"]["endings"] == {"paused": 24}
    assert account(folder)["best"] == 24


def test_reasoning_travels_with_an_answer_and_is_no_part_of_what_is_taught(folder, aya):
    folder.stage["teachers"]["ana"]["thinks"] = "hm, hm"
    folder.run()
    assert {answer.reasoning for answer in folder.answers("ana")} == {"hm, hm"}
    judged = list(read_rows(folder.payload("arbitrage.verdicts"), Judged))
    assert {row.completion.reasoning for row in judged if row.completion.teacher == "ana"} == {"hm, hm"}
    assert account(folder)["teachers"]["ana"]["reasoned"] == 24
    assert account(folder)["teachers"]["bo"]["reasoned"] == 0
    exported = aya("export", folder.out, "arbitrage.answers@ana", check=0).stdout
    assert json.loads(exported.splitlines()[0])["reasoning"] == "hm, hm"
    assert not any("hm, hm" in row.completion for row in read_rows(folder.payload("arbitrage.best"), Demonstration))


def test_prompts_without_an_answer_have_reasons_in_the_account_and_on_the_terminal(folder, aya):
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "leaves_out": "1", "why": "longer than 2048 tokens"}
    folder.stage["teachers"]["bo"] |= {"stop": str(folder.stop), "leaves_out": "2"}
    told = aya("run", folder.write(), "--out", folder.out, check=0).stderr
    assert "arbitrage.answers@ana: 3 prompts not answered: longer than 2048 tokens (de 1, en 1, tr 1)" in told
    assert "arbitrage.answers@bo: 3 prompts not answered: the teacher does not say why" in told
    found = account(folder)
    assert found["teachers"]["ana"]["unanswered_because"] == {"longer than 2048 tokens": 3}
    assert found["by_language"]["ana"]["en"]["unanswered_because"] == {"longer than 2048 tokens": 1}
    assert any("ana: 3 prompts not answered: longer than 2048 tokens" in text for text in found["warnings"])


def test_reasons_survive_a_kill_with_the_shard_that_they_are_about(tmp_path):
    def counted(*shards):
        found = LeftOut(tmp_path, "")
        for shard, ids in shards:
            for id in ids:
                found.note(user_prompt(id, "de", "?"), f"{id} tokens of 10")
            found.made(shard)
        return unanswered_because(found)

    row = {"reason": "N tokens of 10", "language": "de"}
    assert counted(("rows-0", ["11", "12"])) == {"unanswered_because": [{**row, "count": 2}]}
    assert counted(("rows-1", ["13"])) == {"unanswered_because": [{**row, "count": 3}]}
    assert counted(("rows-0", [])) == {
        "unanswered_because": [{**row, "reason": "13 tokens of 10", "count": 1}]
    }  # made again


def test_an_empty_answer_is_asked_again_on_demand_and_not_before(folder):
    folder.stop.touch()
    folder.stage["teachers"]["ana"] |= {"stop": str(folder.stop), "silent": "5"}
    folder.run()
    assert account(folder)["teachers"]["ana"]["empty"] == 2
    assert folder.measures("arbitrage.answers@ana")["empty"] == 2
    folder.forget()
    folder.stop.unlink()
    folder.run()
    assert folder.notes("ana") == []
    folder.run("--ask-again")
    assert sorted(folder.notes("ana")) == ["p-15", "p-5"]
    assert folder.notes("bo") == []
    assert account(folder)["teachers"]["ana"]["empty"] == 0
    assert all(not answer.is_empty for answer in folder.answers("ana"))


def test_answers_and_verdicts_cost_what_their_tokens_cost(folder):
    folder.stage["teachers"]["ana"]["price"] = {"prompt": 1000, "answer": 10_000, "currency": "EUR"}
    folder.stage["sampling"] = {"n": 2}
    folder.stage["arbiter"] = {"use": "paid", "notes": str(folder.path / "judged")}
    folder.run()
    found = account(folder)
    ana = found["teachers"]["ana"]
    assert (ana["prompt_tokens"], ana["tokens"]) == (24 * 3, 24 * 2 * 2)  # a prompt counts once, however many samples
    assert ana["cost"] == {"EUR": pytest.approx((24 * 3 * 1000 + 24 * 4 * 10_000) / 1e6)}
    assert found["teachers"]["bo"]["cost"] is None
    assert found["cost"] == ana["cost"]
    assert found["judge"]["tokens"] == {"": {"prompt_tokens": 240, "tokens": 24}}
    assert "1.03 EUR" in (folder.out / "report.md").read_text()


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0, "0.00 USD"), (0.0047, "0.0047 USD"), (0.0951, "0.095 USD"), (0.564, "0.56 USD"), (1234.5, "1,234.50 USD"),
     (3e-7, "0.00000030 USD")],
)  # fmt: skip
def test_a_small_amount_is_never_printed_as_nothing(amount, words):
    assert costs.in_words({"USD": amount}) == words


def recorded(folder, rows):
    path = folder.path / "recorded.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"use": "recorded", "path": str(path), "price": {"prompt": 1, "answer": 2}}


def test_answers_whose_tokens_are_not_known_are_no_part_of_the_cost_and_the_account_says_so(folder):
    told = {"prompt_tokens": 10, "completion_tokens": 5}
    rows = [{"id": f"p-{n}", "answer": f"answer {n}", **(told if n % 4 else {})} for n in range(24)]
    folder.stage["teachers"]["ana"] = recorded(folder, rows)
    folder.run()
    ana = account(folder)["teachers"]["ana"]
    assert (ana["untold"], ana["cost"]) == (6, {"USD": pytest.approx(18 * 20 / 1e6)})
    assert any(
        "ana: how many tokens 6 of its 24 answers took is not known" in text for text in account(folder)["warnings"]
    )


def test_a_judge_with_a_price_whose_tokens_are_not_known_is_told():
    arbiter = {"use": "judge", "teacher": {"use": "openai", "price": {"prompt": 1, "answer": 2, "currency": "USD"}}}
    assert list(costs.unpriced_judges({}, arbiter)) != []
    assert list(costs.unpriced_judges({"": {"prompt_tokens": 1, "tokens": 1}}, arbiter)) == []
    assert list(costs.unpriced_judges({}, {"use": "judge", "teacher": {"use": "openai", "price": None}})) == []


@pytest.mark.parametrize(("failed", "told"), [(0, False), (1, False), (2, True), (20, True)])
def test_answers_that_could_not_be_judged_are_warned_of_where_they_are_many(failed, told):
    counts = Account()
    for n in range(20):
        verdict = Verdict.fail(f"reply {n} is cut") if n < failed else Verdict(1.0)
        counts.judged(user_prompt(f"p-{n}", "de", "?"), [Judged(Completion(f"p-{n}", "ana", 0, "four"), verdict)])
    found = [text for text in warnings(counts.measures()) if "reply N is cut" in text or "reply 0 is cut" in text]
    assert bool(found) is told
    if failed == 2:
        assert found == ["ana: 2 of 20 answers could not be judged; why answers have no score: reply N is cut (2)"]


def test_reasons_beyond_the_commonest_are_counted_together(folder, aya):
    rows = [{"id": f"p-{n}", "error": "abcde"[n] * 3} for n in range(5)]
    rows += [{"id": f"p-{n}", "answer": f"answer {n}"} for n in range(5, 24)]
    folder.stage["teachers"]["ana"] = recorded(folder, rows)
    told = aya("run", folder.write(), "--out", folder.out, check=0).stderr
    assert "arbitrage.answers@ana: 2 more not answered, for 2 other reasons" in told
    found = [text for text in account(folder)["warnings"] if "not answered" in text]
    assert len(found) == 4
    assert found[3] == "ana: 2 more not answered, for 2 other reasons"


def test_a_price_asks_nothing_anew(folder):
    folder.run()
    folder.forget()
    folder.stage["teachers"]["ana"]["price"] = {"prompt": 1, "answer": 2}
    folder.run()
    assert folder.notes("ana") == []
    assert account(folder)["teachers"]["ana"]["cost"] == {"USD": pytest.approx((72 + 2 * 48) / 1e6)}


def test_rows_of_before_reasoning_are_read(tmp_path):
    import pyarrow
    import pyarrow.parquet

    row = {
        "prompt_id": "p",
        "teacher": "a",
        "index": 0,
        "text": "x",
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "finish_reason": "stop",
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "rows.parquet")
    assert list(read_rows(tmp_path, Completion)) == [Completion("p", "a", 0, "x", 1, 2)]
    assert Completion.from_row(row) == Completion("p", "a", 0, "x", 1, 2)


def test_asking_anew_for_changed_code_is_said_with_its_price(folder):
    folder.stage["teachers"]["ana"]["price"] = {"prompt": 1000, "answer": 10_000, "currency": "EUR"}
    folder.run()
    folder.forget()
    plugin = folder.path / "noting_plugin.py"
    plugin.write_text(plugin.read_text().replace("self.word + stable_hash", '"" + self.word + stable_hash'))
    told = " ".join(folder.run(check=2).stderr.split())
    assert " tokens, 0.55 EUR)" in told
    assert folder.notes("ana") == []

"""What is read out of a chat completion, and what is none."""

import json

import pytest

from aya_plugins.teachers.runtime.openai_reply import NotACompletionError, read_reply


def choice(content, *, index=0, finish_reason="stop", **more):
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return {"index": index, "message": message, "finish_reason": finish_reason, **more}


def reply(*choices, **usage):
    return read_reply(json.dumps({"choices": choices, "usage": usage}).encode())


def texts(*choices):
    return [one.text for one in reply(*choices).choices]


def test_choices_come_in_the_order_of_their_index():
    assert texts(choice("b", index=1), choice("a", index=0), choice("c", index=2)) == ["a", "b", "c"]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking", "thought"])
def test_reasoning_is_no_part_of_the_answer(field):
    assert texts(choice("42", message={field: "Let me think."})) == ["42"]
    assert reply(choice("42", message={field: "Let me think."})).choices[0].reasoning == "Let me think."
    assert texts(choice(None, finish_reason="length", message={field: "Let me think for"})) == [""]
    assert texts(choice([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "42"}])) == ["42"]


def test_what_a_filter_kept_back_is_counted_and_what_it_cut_is_kept():
    found = reply(choice(None, finish_reason="content_filter"), choice("half", finish_reason="content_filter"))
    assert found.withheld == 1
    assert [(one.text, one.finish_reason) for one in found.choices] == [("half", "filtered")]


def test_half_of_a_surrogate_pair_is_mended_and_a_whole_one_kept():
    body = b'{"choices": [{"message": {"content": "a\\ud83d b\\ud83d\\ude00"}}]}'
    assert read_reply(body).choices[0].text == "a\N{REPLACEMENT CHARACTER} b\N{GRINNING FACE}"


def test_tokens_of_one_choice_are_the_usage():
    found = reply(choice("four"), prompt_tokens=9, completion_tokens=5)
    assert (found.prompt_tokens, found.choices[0].tokens, found.used_tokens) == (9, 5, 14)


@pytest.mark.parametrize("total", [0, 1, 7, 1000])
def test_tokens_of_several_choices_are_split_by_length_and_add_up(total):
    tokens = [one.tokens for one in reply(choice(""), choice("ab"), choice("a" * 50), completion_tokens=total).choices]
    assert sum(tokens) == total
    assert tokens == sorted(tokens)


def test_tokens_that_are_listed_are_counted():
    listed = [choice("a", token_ids=[5, 6, 7]), choice("b" * 99, logprobs={"content": [{"token": "b"}]})]
    assert [one.tokens for one in reply(*listed, completion_tokens=100).choices] == [3, 1]


def test_what_is_not_told_is_zero_or_unknown():
    found = read_reply(b'{"choices": [{"message": {"content": "x"}}], "usage": null}')
    assert (found.prompt_tokens, found.choices[0].tokens, found.choices[0].finish_reason) == (0, 0, "unknown")


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "malformed JSON"),
        (b'{"choices": [', "malformed JSON"),
        (b"\xff\xfe", "malformed JSON"),
        (b"[1, 2]", "no choices"),
        (b'{"error": {"message": "tired"}}', "an error in place of an answer"),
        (b'{"choices": null}', "no choices"),
        (b"[" * 100_000, "malformed JSON"),
        (b'{"choices": [{"message": null}]}', "a choice has no message"),
        (
            b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}",
            "malformed JSON",
        ),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": [{"said": "an answer"}]}', "a choice has no message"),
        (b'{"choices": [{"message": {"content": 5}}]}', "the content is no text"),
    ],
)
def test_what_is_no_chat_completion_says_why(body, what):
    with pytest.raises(NotACompletionError, match=what):
        read_reply(body)


@pytest.mark.parametrize(
    "part",
    [{"type": "thinking", "thinking": "hm"}, {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
     {"type": "reasoning", "summary": [{"text": "hm"}]}],
)  # fmt: skip
def test_parts_that_are_no_answer_are_reasoning(part):
    (found,) = reply(choice([part, {"type": "text", "text": "4"}, {"type": "text", "text": "2"}])).choices
    assert (found.text, found.reasoning) == ("42", "hm")


@pytest.mark.parametrize("odd", [["text"], {}, None, 3], ids=str)
def test_a_part_of_a_type_that_is_no_word_is_reasoning(odd):
    found = reply(choice([{"type": odd, "text": "hm"}, {"type": "text", "text": "42"}])).choices[0]
    assert (found.text, found.reasoning) == ("42", "hm")


def test_a_message_of_null_beside_a_text_is_that_text():
    assert read_reply(b'{"choices": [{"message": null, "text": "x"}]}').choices[0].text == "x"


@pytest.mark.parametrize(
    "more", [{"reasoning_details": [{"text": "hm"}]}, {"thinking_blocks": [{"type": "thinking", "thinking": "hm"}]}]
)
def test_reasoning_is_found_in_lists_and_beside_the_message(more):
    assert reply(choice("42", message=more)).choices[0].reasoning == "hm"
    assert reply(choice("42", **more)).choices[0].reasoning == "hm"
    assert reply(choice("42", message={"reasoning": "hm", **more})).choices[0].reasoning == "hm"  # said once


@pytest.mark.parametrize(
    "refused",
    [choice(None, message={"refusal": "I cannot help."}), choice([{"type": "refusal", "refusal": "I cannot help."}])],
)
def test_a_refusal_is_told_as_one(refused):
    (found,) = reply(refused).choices
    assert (found.text, found.finish_reason) == ("I cannot help.", "refused")


def test_a_content_of_one_part_is_read():
    assert texts(choice({"type": "text", "text": "42"})) == ["42"]


@pytest.mark.parametrize("word", ["error", "abort", "insufficient_system_resource"])
def test_an_answer_that_the_server_broke_off_is_none(word):
    with pytest.raises(NotACompletionError, match="broke off"):
        reply(choice("half of", finish_reason=word))
    found = reply(choice("half of", finish_reason=word), choice("whole"))
    assert ([one.text for one in found.choices], found.withheld) == (["whole"], 0)


@pytest.mark.parametrize(
    ("word", "ours"),
    [("stop", "stop"), ("end_turn", "stop"), ("length", "length"), ("MAX_TOKENS", "length"), ("content_filter", "filtered"),
     ("SAFETY", "filtered"), ("refusal", "refused"), ("tool_calls", "tool_calls"), (None, "unknown"), ("x" * 99, "x" * 40),
     (7, "7"), ("\ud800", "\N{REPLACEMENT CHARACTER}")],
)  # fmt: skip
def test_how_an_answer_ended_is_told_in_our_words_and_others_are_kept(word, ours):
    assert reply(choice("x", finish_reason=word)).choices[0].finish_reason == ours


@pytest.mark.parametrize(
    ("written", "read"),
    [("12", 12), ("12.0", 12), ('"12"', 12), ("true", 0), ("-3", 0), ("1" + "0" * 400, 0), ("9" * 40, 0), ("1e999", 0), ("null", 0),
     ("[1]", 0), ("NaN", 0)],
)  # fmt: skip
def test_counts_that_are_none_are_unknown_and_no_reason_to_stop(written, read):
    body = f'{{"choices": [{{"message": {{"content": "x"}}}}], "usage": {{"prompt_tokens": {written}, "completion_tokens": 1}}}}'
    assert read_reply(body.encode()).prompt_tokens == read


@pytest.mark.parametrize("index", ["NaN", "Infinity", "-Infinity"])
def test_an_index_that_is_no_number_is_no_place(index):
    body = f'{{"choices": [{{"index": {index}, "message": {{"content": "x"}}}}]}}'
    with pytest.raises(NotACompletionError, match="a choice has an index that is no number"):
        read_reply(body.encode())

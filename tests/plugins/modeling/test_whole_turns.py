"""Turns of more than text: a chat template writes all of them, or the row is refused with a reason."""

import json

import numpy
import pytest

from aya_core.api import DataError, Prompt, user_prompt
from aya_plugins.modeling.chat import REWRITES_EARLIER, REWRITTEN, Answer, ChatEncoder
from aya_plugins.modeling.tokenizers import make_tokenizer

END = "<|END_OF_TURN_TOKEN|>"
HEAD = "{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' + m['role'] + ':' }}"
TAIL = END + "{% endfor %}{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|>assistant:{% endif %}"
TEXT = HEAD + "{{ m['content'] }}" + TAIL
CALLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}" + HEAD + "{{ m['content'] }}{% for call in m.tool_calls or [] %}"
    "{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}" + TAIL
)
TEXT_CALLS = (
    HEAD + "{% if m['content'] is none %}{% for call in m['tool_calls'] %}"
    "{{ call['function']['name'] + '(' + call['function']['arguments'] + ')' }}{% endfor %}{% else %}{{ m['content'] }}{% endif %}"
    + TAIL
)
THOUGHTS = HEAD + "{% if m.reasoning_content %}[{{ m.reasoning_content }}]{% endif %}{{ m['content'] }}" + TAIL
LAST_THOUGHTS = (
    HEAD
    + "{% if loop.last and m['role'] == 'assistant' %}[{{ m.reasoning_content or '' }}]{% endif %}{{ m['content'] }}"
    + TAIL
)
CUTS_THOUGHTS = (
    HEAD + "{% set said = m['content'].split('</think>')[-1] %}{{ said }}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|>assistant:<think>\n{% endif %}"
)
KEEPS_THOUGHTS = (
    HEAD + "{{ m['content'] }}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|>assistant:<think>\n{% endif %}{# up to </think> #}"
)

RAISES = "{% for m in messages %}{{ raise_exception('no') }}{% endfor %}"

CALL = {"tool_calls": [{"type": "function", "function": {"name": "wthr", "arguments": {"c": "Oslo"}}}]}
ASKED = user_prompt("p", "en", "Weather?")
TOOLS = json.dumps([{"type": "function", "function": {"name": "wthr", "description": "d"}}])
TALK = Prompt(
    "t",
    "en",
    ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "more"}),
)
RESULT = Prompt(
    "r", "en",
    ({"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "more": CALL}, {"role": "tool", "content": "5"}),
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer("bpe", 300, ["the cat sat on the mat"])


@pytest.fixture
def read(tokenizer):
    """Encode an answer under a template; returns what is learned, other turns as a dot, or why nothing is."""

    def run(template, answer, training_template=None, **options):
        tokenizer.chat_template = template
        encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here", training_template=training_template)
        encoded = encoder.answers([answer], refuses=True, **options)
        if encoded.refused is not None and encoded.refused[0]:
            assert encoded.scored_tokens[0] == 0
            return f"refused: {encoded.refused[0]}"
        between = encoded.between if encoded.between is not None else [False] * len(encoded.ids)
        text, gap = "", False
        for place, id in enumerate(encoded.row(0)):
            if place >= encoded.answers[0] and not between[place]:
                text += tokenizer.decode([id])
            elif place >= encoded.answers[0] and not gap:
                text += "·"
            gap = bool(between[place])
        return text

    return run


@pytest.mark.parametrize(
    ("template", "answer", "learned"),
    [
        (CALLS, Answer(ASKED, "", CALL), 'wthr({"c": "Oslo"})' + END),
        (CALLS, Answer(Prompt("p", "en", ASKED.messages, tools=TOOLS), "", CALL), 'wthr({"c": "Oslo"})' + END),
        (TEXT_CALLS, Answer(ASKED, "", CALL), 'wthr({"c": "Oslo"})' + END),
        (CALLS, Answer(RESULT, "It is 5"), "It is 5" + END),
        (THOUGHTS, Answer(ASKED, "Hello", {"reasoning_content": "hm"}), "[hm]Hello" + END),
        (THOUGHTS, Answer(ASKED, "Hello", {"thinking": "hm"}), "[hm]Hello" + END),
        (THOUGHTS, Answer(ASKED, "Hello", {"reasoning": "hm"}), "[hm]Hello" + END),
        (KEEPS_THOUGHTS, Answer(ASKED, "Hello", {"reasoning": "hm"}), "hm\n</think>\n\nHello" + END),
        (KEEPS_THOUGHTS, Answer(ASKED, "<think>\nhm\n</think>\n\nHello"), "hm\n</think>\n\nHello" + END),
    ],
)  # fmt: skip
def test_what_a_turn_holds_is_learned_as_the_template_writes_it(read, template, answer, learned):
    assert read(template, answer) == learned


@pytest.mark.parametrize(
    ("template", "answer", "reason"),
    [
        (TEXT, Answer(ASKED, "", CALL), "the chat template leaves out 'tool_calls'"),
        (TEXT, Answer(ASKED, "Hello", {"thinking": "hm"}), "the chat template leaves out 'thinking'"),
        (TEXT, Answer(RESULT, "It is 5"), "the chat template leaves out 'tool_calls'"),
        (TEXT, Answer(Prompt("p", "en", ASKED.messages, tools=TOOLS), "Hello"), "the chat template leaves out the tools"),
        (CUTS_THOUGHTS, Answer(ASKED, "<think>\nhm\n</think>\n\nHello"), REWRITTEN),
        (RAISES, Answer(RESULT, "x"), "the chat template refuses the conversation (no)"),
        (TEXT.replace("m['content']", "m['content'].split('</think>')[-1]"), Answer(ASKED, "<think>hm</think>Hello"),
         "the chat template leaves out a part of the answer"),
    ],
)  # fmt: skip
def test_what_a_template_leaves_out_refuses_the_row(read, template, answer, reason):
    assert read(template, answer) == f"refused: {reason}"


def test_thoughts_of_earlier_turns_may_be_left_out_where_they_are_not_learned(read):
    talk = Prompt(
        "t", "en", (TALK.messages[0], {**TALK.messages[1], "more": {"reasoning_content": "old"}}, TALK.messages[2])
    )
    answer = Answer(talk, "ok", {"reasoning_content": "new"})
    assert read(LAST_THOUGHTS, answer) == "[new]ok" + END
    assert read(LAST_THOUGHTS, answer, learns_all=True) == "refused: the chat template leaves out 'reasoning_content'"


def test_all_turns_of_the_assistant_are_learned_with_their_ends_and_nothing_between(read):
    answer = Answer(TALK, "ok")
    assert read(TEXT, answer) == "ok" + END
    assert read(TEXT, answer, learns_all=True) == f"Hello{END}·ok{END}"
    assert read(CALLS, Answer(RESULT, "It is 5"), learns_all=True) == f'wthr({{"c": "Oslo"}}){END}·It is 5{END}'


def test_an_earlier_turn_that_the_template_rewrites_is_not_learned_otherwise_than_it_is_said(read):
    assert read(LAST_THOUGHTS, Answer(TALK, "ok"), learns_all=True) == f"refused: {REWRITES_EARLIER}"


def test_a_training_template_writes_rows_and_prompts_that_it_changes_are_marked(read, tokenizer):
    answer = Answer(ASKED, "<think>\nhm\n</think>\n\nHello")
    assert read(CUTS_THOUGHTS, answer, KEEPS_THOUGHTS) == "hm\n</think>\n\nHello" + END
    tokenizer.chat_template = CUTS_THOUGHTS
    for template, is_unlike in ((KEEPS_THOUGHTS, False), (TEXT, True)):
        encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here", training_template=template)
        unlike = encoder.answers([answer], refuses=True).unlike
        assert (unlike is not None and bool(unlike[0])) == is_unlike
        assert tokenizer.chat_template == CUTS_THOUGHTS


@pytest.mark.parametrize("opening", ["", "[]"])
@pytest.mark.parametrize("text", ["Hello", "e", "Hello ", ""])
def test_a_cut_answer_is_its_text_without_an_end(read, opening, text):
    template = HEAD + "{% if m['role'] == 'assistant' %}" + opening + "{% endif %}{{ m['content'] }}" + TAIL
    assert read(template, Answer(ASKED, text)) == opening + text + END
    assert read(template, Answer(ASKED, text, is_cut=True)) == opening + text


def test_a_text_without_a_prompt_is_learned_from_its_first_token_on_whatever_the_template(read, tokenizer):
    answer = Answer(Prompt("x", "en", ()), "the cat")
    assert read(None, answer) == "the cat" + END
    assert read(None, answer._replace(is_cut=True)) == "the cat"


def test_a_prompt_of_other_length_when_it_was_sampled_is_marked(tokenizer):
    tokenizer.chat_template = TEXT
    encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here")
    asked = int(encoder.prompts([ASKED]).lengths[0])
    encoded = encoder.answers(
        [Answer(ASKED, "x", asked=asked), Answer(ASKED, "x"), Answer(ASKED, "x", asked=asked + 9)]
    )
    assert encoded.unlike.tolist() == [False, False, True]


def test_rows_of_all_kinds_keep_their_order_and_selection_keeps_their_marks(tokenizer):
    tokenizer.chat_template = CALLS
    encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here")
    answers = [
        Answer(ASKED, "one"),
        Answer(RESULT, "two"),
        Answer(ASKED, "x", {"thinking": "hm"}),
        Answer(TALK, "four"),
    ]
    together = encoder.answers(answers, learns_all=True, refuses=True)
    for place, answer in enumerate(answers):
        alone = encoder.answers([answer], learns_all=True, refuses=True)
        taken = together.take(numpy.array([place]))
        assert taken.row(0) == together.row(place) == alone.row(0)
        assert taken.scored_tokens.tolist() == alone.scored_tokens.tolist() == [together.scored_tokens[place]]


TWO = {
    "tool_calls": [{"type": "function", "function": {"name": "wthr", "arguments": {"c": c}}} for c in ("Oslo", "Rome")]
}
FIRST_CALL = CALLS.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]")
NO_SYSTEM = (
    "{% for m in messages if m['role'] != 'system' %}{{ '<|START_OF_TURN_TOKEN|>' + m['role'] + ':' + m['content'] }}"
    + TAIL
)
CALLS_OR_TEXT = CALLS.replace("{{ m['content'] }}", "{% if not m.tool_calls %}{{ m['content'] }}{% endif %}")


@pytest.mark.parametrize(
    ("template", "answer", "reason"),
    [
        (FIRST_CALL, Answer(Prompt("p", "en", ASKED.messages, tools=TOOLS), "", TWO), "the chat template leaves out a call"),
        (NO_SYSTEM, Answer(Prompt("p", "en", ({"role": "system", "content": "Be kind"}, *ASKED.messages)), "Hello"),
         "the chat template leaves out what the system prompt says"),
        (CALLS_OR_TEXT,
         Answer(Prompt("r", "en", (*ASKED.messages, {"role": "assistant", "content": "I look", "more": CALL}, RESULT.messages[2])), "5"),
         "the chat template leaves out what the assistant says in some turn"),
    ],
)  # fmt: skip
def test_a_part_that_the_template_leaves_out_refuses_the_row(read, template, answer, reason):
    assert read(template, answer) == f"refused: {reason}"


def test_a_system_prompt_that_the_template_leaves_out_is_an_error_where_a_model_is_asked(tokenizer):
    tokenizer.chat_template = NO_SYSTEM
    with pytest.raises(DataError, match="leaves out what the system prompt says"):
        ChatEncoder(tokenizer, [], max_tokens=500, where="here", system="Be kind").prompts([ASKED])


def test_turns_that_are_learned_may_be_followed_by_special_tokens_that_begin_alike():
    """As `<|end|>` and `<|user|>` of Phi's and gpt-oss's templates."""
    tokenizer = make_tokenizer("bpe", 300, ["the cat sat on the mat"])
    names = ["<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"]
    tokenizer.add_special_tokens({"extra_special_tokens": names})
    tokenizer.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% else %}<|endoftext|>{% endif %}"
    )
    ends = tokenizer.convert_tokens_to_ids(["<|end|>", "<|endoftext|>"])
    encoder = ChatEncoder(tokenizer, ends, max_tokens=500, where="here")
    encoded = encoder.answers([Answer(TALK, "ok")], refuses=True, learns_all=True)
    assert encoded.refused is None or not encoded.refused[0]
    ids = encoded.row(0)
    learned = [id for place, id in enumerate(ids) if place >= encoded.answers[0] and not encoded.between[place]]
    assert tokenizer.decode(learned) == "Hello<|end|>ok<|end|><|endoftext|>"


def test_an_opening_before_any_question_is_not_learned_and_loses_nothing_else(read):
    opened = Prompt("o", "en", ({"role": "assistant", "content": "Welcome"}, *TALK.messages))
    assert read(TEXT, Answer(opened, "ok"), learns_all=True) == f"Hello{END}·ok{END}"


def test_arguments_stay_an_object_where_a_turn_says_the_same_as_python_would(read):
    asked = user_prompt("p", "en", "call with {'c': 'Oslo'}")
    expected = 'wthr({"c": "Oslo"})' + END
    assert read(CALLS, Answer(asked, "", CALL)) == expected
    assert read(
        CALLS.replace("call.function.arguments | tojson", "call.function.arguments"), Answer(asked, "", CALL)
    ).startswith(("refused: the chat template does not write the arguments of calls as JSON", 'wthr({"c": "Oslo"})'))


def test_a_cut_answer_is_learned_whole_where_the_template_writes_nothing_after_it(tokenizer):
    """As GLM's, which opens an answer with empty thoughts."""
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' }}{% if m.role == 'assistant' %}{{ '\n<think></think>\n' }}{% endif %}"
        "{{ m.content }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    encoder = ChatEncoder(tokenizer, [], max_tokens=500, where="here")
    encoded = encoder.answers([Answer(ASKED, "Hello world of cats", is_cut=True)], refuses=True)
    learned = tokenizer.decode(encoded.row(0)[int(encoded.answers[0]) :])
    assert learned == "\n<think></think>\nHello world of cats"

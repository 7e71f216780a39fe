"""The transformers teacher answers as transformers does, in any batch, and says how likely answers are."""

import json
import shutil

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from aya_core.api import Completion, Continuation, DataError, LikelihoodTeacher, Sampling, Unanswered, user_prompt
from aya_plugins.modeling import generate as generation
from aya_plugins.teachers.transformers import Transformers

GREEDY = Sampling(temperature=0, max_tokens=12)
WARM = Sampling(temperature=1.0, max_tokens=12, n=3)


def answers(teacher, prompts, sampling=GREEDY, seed=0):
    came = teacher.answer(prompts, sampling, seed)
    return {(one.prompt_id, one.index): one for one in came if isinstance(one, Completion)}


@pytest.fixture(scope="module")
def teacher(checkpoint):
    return Transformers(model=str(checkpoint())).build()


@pytest.fixture(scope="module")
def prompts(counting):
    return [row.prompt for row in counting]


@pytest.mark.parametrize("family", ["cohere", "llama", "gemma2"])
def test_greedy_answers_are_those_of_generate_on_one_prompt_at_a_time(checkpoint, prompts, family):
    model, tokenizer = (auto.from_pretrained(checkpoint(family)) for auto in (AutoModelForCausalLM, AutoTokenizer))
    found = answers(Transformers(model=str(checkpoint(family))).build(), prompts)
    for prompt in prompts:
        inputs = tokenizer.apply_chat_template(
            list(prompt.messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        one = found[prompt.id, 0]
        assert one.text == tokenizer.decode(output, skip_special_tokens=True)
        assert (one.prompt_tokens, one.completion_tokens) == (inputs["input_ids"].shape[1], len(output))
        assert one.finish_reason == ("stop" if output[-1] == tokenizer.eos_token_id else "length")


@pytest.mark.parametrize("batch_tokens", [1, 100])
def test_greedy_answers_do_not_depend_on_batches(checkpoint, teacher, prompts, batch_tokens):
    small = Transformers(model=str(checkpoint()), batch_tokens=batch_tokens).build()
    assert answers(small, prompts) == answers(teacher, prompts)


def test_the_same_call_gives_the_same_answers_and_another_seed_others(teacher, prompts):
    state = torch.random.get_rng_state()
    first, again, other = (answers(teacher, prompts, WARM, seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("sampling", [WARM, WARM.model_copy(update={"top_p": 0.8, "top_k": 10, "temperature": 0.7})])
def test_an_answer_does_not_depend_on_the_prompts_asked_beside_it(teacher, prompts, sampling):
    together = answers(teacher, prompts, sampling, 5)
    assert answers(teacher, prompts[::-1], sampling, 5) == together
    alone = [answers(teacher, [prompt], sampling, 5) for prompt in prompts]
    assert {key: one for found in alone for key, one in found.items()} == together


def test_asking_for_more_samples_keeps_the_first_ones(teacher, prompts):
    few, many = (answers(teacher, prompts, WARM.model_copy(update={"n": n})) for n in (2, 5))
    assert few == {key: one for key, one in many.items() if key[1] < 2}


def test_first_tokens_are_drawn_from_the_models_own_distribution(checkpoint, teacher):
    """Chi-square over 4,000 answers to one question: its 99.99th percentile is near degrees + 4 deviations."""
    asked = [user_prompt(str(row), "en", "next one") for row in range(4000)]
    model, tokenizer = (auto.from_pretrained(checkpoint()) for auto in (AutoModelForCausalLM, AutoTokenizer))
    turns = [{"role": "user", "content": "next one"}]
    inputs = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    expected = model(**inputs).logits[0, -1].softmax(-1).detach() * len(asked)
    found = teacher.answer(asked, Sampling(temperature=1.0, max_tokens=1), 0)
    texts = [one.text for one in found]
    names = [tokenizer.decode([token], skip_special_tokens=True) for token in range(len(expected))]
    chi_square = degrees = 0
    for name in set(names):
        share = sum(expected[token].item() for token, other in enumerate(names) if other == name)
        if share >= 5:
            chi_square += (texts.count(name) - share) ** 2 / share
            degrees += 1
    assert degrees > 5
    assert chi_square < degrees + 4 * (2 * degrees) ** 0.5


def test_every_prompt_has_n_answers_and_they_differ(teacher, prompts):
    found = answers(teacher, prompts, WARM)
    assert set(found) == {(prompt.id, index) for prompt in prompts for index in range(3)}
    assert len({one.text for one in found.values()}) > len(prompts)


def test_greedy_samples_are_one_answer_repeated(teacher, prompts):
    found = answers(teacher, prompts, Sampling(temperature=0, n=2, max_tokens=5))
    assert all(found[prompt.id, 0].text == found[prompt.id, 1].text for prompt in prompts)
    assert len(found) == 2 * len(prompts)


@pytest.mark.parametrize("how", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_sampling_that_leaves_one_choice_is_greedy(teacher, prompts, how):
    narrow = Sampling(**{"temperature": 1.0, "max_tokens": 12, **how})
    texts = [{key: one.text for key, one in answers(teacher, prompts, kind).items()} for kind in (narrow, GREEDY)]
    assert texts[0] == texts[1]


def test_what_a_checkpoint_suggests_does_not_leak_into_sampling(checkpoint, prompts, tmp_path):
    model, tokenizer = (auto.from_pretrained(checkpoint()) for auto in (AutoModelForCausalLM, AutoTokenizer))
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(
        **ids, do_sample=True, temperature=9.0, top_k=2, repetition_penalty=5.0, min_new_tokens=9, max_length=15
    )
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opinionated, plain = (Transformers(model=str(path)).build() for path in (tmp_path, checkpoint()))
    assert answers(opinionated, prompts) == answers(plain, prompts)
    assert answers(opinionated, prompts, WARM) == answers(plain, prompts, WARM)


def test_a_stop_text_ends_an_answer_and_is_cut_off(teacher, prompts):
    whole = answers(teacher, prompts)
    long = next(one for one in whole.values() if len(set(one.text.split())) > 2)
    word = next(word for word in long.text.split()[1:] if word != long.text.split()[0])
    stopped = answers(teacher, prompts, Sampling(temperature=0, max_tokens=12, stop=(word,)))
    for key, one in stopped.items():
        assert one.text == whole[key].text.split(word)[0]
        if word in whole[key].text:
            assert one.finish_reason == "stop"
            assert one.completion_tokens <= whole[key].completion_tokens


def test_a_cut_answer_says_so(teacher, prompts):
    cut = answers(teacher, prompts, Sampling(temperature=0, max_tokens=1))
    assert {one.completion_tokens for one in cut.values()} == {1}
    assert "length" in {one.finish_reason for one in cut.values()}


def test_a_prompt_that_leaves_no_room_is_left_out_and_says_why(checkpoint, prompts):
    short = Transformers(model=str(checkpoint(max_position_embeddings=21))).build()
    fitting = {prompt.id for prompt in prompts if len(prompt.text.split()) + 6 + 12 <= 21}
    assert {key for key, _ in answers(short, prompts)} == fitting
    left_out = [one for one in short.answer(prompts, GREEDY, 0) if isinstance(one, Unanswered)]
    assert {one.prompt_id for one in left_out} == {prompt.id for prompt in prompts} - fitting
    assert {one.reason for one in left_out} == {"longer than the context of 21 tokens, of which max_tokens takes 12"}


THINKING = "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"


@pytest.fixture(scope="module", params=["words", "special tokens"])
def thinker(checkpoint, tmp_path_factory, request):
    """A checkpoint whose template opens reasoning, and which now and then writes what closes it."""
    folder = shutil.copytree(checkpoint(), tmp_path_factory.mktemp("thinker") / "checkpoint")
    file = folder / "tokenizer.json"
    made = json.loads(file.read_text())
    words = made["model"]["vocab"]
    marks = {"three": "<think>", "nine": "</think>"}
    made["model"]["vocab"] = {marks.get(word, word): id for word, id in words.items()}
    if request.param == "special tokens":
        blank = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        made["added_tokens"] += [{"id": words[word], "content": mark, **blank} for word, mark in marks.items()]
    file.write_text(json.dumps(made))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = tokenizer.chat_template.removesuffix("{% endif %}") + THINKING + "{% endif %}"
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_reasoning_that_the_template_opens_ends_where_the_answer_closes_it(thinker, prompts):
    found = answers(Transformers(model=thinker).build(), prompts, WARM)
    raw = answers(Transformers(model=thinker, reasoning="keep").build(), prompts, WARM)
    closed = [key for key, one in raw.items() if "</think>" in one.text]
    assert 0 < len(closed) < len(raw)
    for key, one in found.items():
        thought, _, said = raw[key].text.partition("</think>")
        if "think>" in thought + said:  # further blocks, which are taken out, too: see test_reasoning.py
            continue
        assert (one.reasoning, one.text) == (thought.strip().removeprefix("<think>").strip(), said.strip())
        assert one.completion_tokens == raw[key].completion_tokens
        if key not in closed:
            assert (one.text, one.finish_reason) == ("", "length")


def test_arguments_of_the_chat_template_are_handed_to_it(thinker, prompts):
    short, long = (
        answers(Transformers(model=thinker, chat_template_kwargs=kwargs).build(), prompts)
        for kwargs in ({"enable_thinking": False}, {})
    )
    assert {long[key].prompt_tokens - short[key].prompt_tokens for key in short} == {1}
    assert {one.reasoning for key, one in short.items() if "</think>" not in one.text} == {""}
    with pytest.raises(DataError, match="its chat template names no argument 'enable_thinkin'"):
        Transformers(model=thinker, chat_template_kwargs={"enable_thinkin": False}).build()
    with pytest.raises(ValueError, match="no argument of a template"):
        Transformers(model=thinker, chat_template_kwargs={"tokenize": True})


@pytest.mark.parametrize(
    "shortage",
    [torch.OutOfMemoryError, lambda: torch.empty(2**50), lambda: numpy.empty(2**55)],
    ids=["cuda", "cpu", "numpy"],
)
def test_batches_are_halved_when_memory_runs_out(teacher, prompts, monkeypatch, shortage):
    original, sizes = generation.decode, []

    def scarce(model, encoded, rows, **how):
        sizes.append(len(rows))
        if len(rows) > 8:
            raise shortage()
        return original(model, encoded, rows, **how)

    expected = answers(teacher, prompts)
    monkeypatch.setattr(generation, "decode", scarce)
    assert answers(teacher, prompts) == expected
    assert max(sizes) == len(prompts)


def test_another_error_is_not_taken_for_a_shortage_of_memory(teacher, prompts, monkeypatch):
    calls = []

    def broken(*words, **how):
        calls.append(words)
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(generation, "decode", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        answers(teacher, prompts)
    assert len(calls) == 1


def test_no_prompts_give_no_answers(teacher):
    assert list(teacher.answer([], GREEDY, 0)) == []
    assert list(teacher.log_likelihoods([])) == []


def test_likelihoods_are_those_of_the_models_own_logits(checkpoint, teacher, counting):
    assert isinstance(teacher, LikelihoodTeacher)
    found = teacher.log_likelihoods([(row.prompt, row.completion) for row in counting])
    model, tokenizer = (auto.from_pretrained(checkpoint()) for auto in (AutoModelForCausalLM, AutoTokenizer))
    for row, one in zip(counting, found, strict=True):
        turns = [*row.prompt.messages, {"role": "assistant", "content": row.completion}]
        ids = tokenizer.apply_chat_template(turns, return_tensors="pt", return_dict=True)["input_ids"]
        count = len(row.completion.split()) + 1
        logps = model(ids).logits[0].log_softmax(-1)[-count - 1 : -1].gather(1, ids[0, -count:, None])
        assert one.tokens == count
        assert one.nats == pytest.approx(logps.sum().item(), rel=1e-4)


def test_an_answer_too_long_for_the_context_has_no_likelihood(checkpoint):
    short = Transformers(model=str(checkpoint(max_position_embeddings=10))).build()
    found = short.log_likelihoods([(user_prompt("1", "en", "one"), text) for text in ("two", "two three two three")])
    assert found[0].nats < 0
    assert found[1].nats != found[1].nats


def test_a_system_message_changes_the_prompt(checkpoint, prompts):
    result = Transformers(model=str(checkpoint()), system="nine nine").build()
    plain = Transformers(model=str(checkpoint())).build()
    one, other = (answers(teacher, prompts[:1])[prompts[0].id, 0] for teacher in (result, plain))
    assert one.prompt_tokens == other.prompt_tokens + 5


def test_a_model_without_chat_template_continues_texts_and_is_not_asked_to_chat(checkpoint, prompts, tmp_path):
    folder = shutil.copytree(checkpoint(), tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    base = Transformers(model=str(folder)).build()
    text = GREEDY.model_copy(update={"prompting": "text"})
    found = answers(base, prompts, text)
    assert found == answers(Transformers(model=str(checkpoint())).build(), prompts, text)
    assert {one.prompt_tokens for one in found.values()} == {len(prompt.text.split()) for prompt in prompts}
    assert dict(base.continuations([Continuation("one two", " three")]))[0].nats < 0
    for ask in (
        lambda: answers(base, prompts),
        lambda: list(base.continuations([Continuation(prompts[0].messages, " three")])),
        lambda: base.log_likelihoods([(prompts[0], "one")]),
    ):
        with pytest.raises(DataError, match=r"base: its tokenizer has no chat template .*`prompting: text`"):
            ask()


def test_a_missing_model_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="expected a Hugging Face checkpoint"):
        Transformers(model=str(tmp_path)).build()

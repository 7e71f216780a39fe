"""The vllm teacher runs the real engine: it answers as the transformers teacher does, and by the same rules."""

import json
import math
import shutil
import warnings

import pytest
from safetensors.torch import load_file, save_file

from aya_core.api import (
    AyaError,
    Completion,
    Continuation,
    ContinuationTeacher,
    DataError,
    LikelihoodTeacher,
    Sampling,
    read_rows,
    user_prompt,
)
from aya_core.testing import check_teacher, sample_demonstrations, sample_prompts, tiny_causal_lm
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.teachers.vllm import Vllm

GREEDY = Sampling(temperature=0, max_tokens=12)
WARM = Sampling(temperature=1.0, max_tokens=12, n=3)
CONTEXT = 40
"""Tokens that the engines of these tests hold."""


def answers(teacher, prompts, sampling=GREEDY, seed=0):
    found = teacher.answer(prompts, sampling, seed)
    return {(one.prompt_id, one.index): one for one in found if isinstance(one, Completion)}


@pytest.fixture(scope="module")
def prompts():
    """More prompts than there are samples: the same words in other orders."""
    return [
        user_prompt(f"{prompt.id}-{turn}", prompt.language, " ".join(words[turn:] + words[:turn]))
        for prompt in sample_prompts()
        for words in [prompt.text.split()]
        for turn in range(4)
    ]


@pytest.fixture(scope="module", params=["cohere", "llama"])
def model(request, tmp_path_factory, wide_heads):
    """A checkpoint whose greedy answers differ from prompt to prompt."""
    return str(tiny_causal_lm(tmp_path_factory.mktemp("vllm") / request.param, request.param, **wide_heads))


@pytest.fixture(scope="module")
def teachers(model, vllm_options):
    """The same checkpoint in vLLM and in transformers.

    Cohere's engine has a process of its own, vLLM's default, and takes most of a minute to start; that of Llama runs in this one,
    where a second engine is up in seconds.
    """
    narrow = {
        **vllm_options["engine"],
        "max_num_batched_tokens": 64,
        "max_num_seqs": 32,
    }  # several steps for all prompts
    is_apart = model.endswith("cohere")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", ".torch.distributed.reduce_op. is deprecated", FutureWarning
        )  # as vLLM looks at torch
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", str(int(is_apart)))
        teacher = Vllm(model=model, max_model_len=CONTEXT, **{**vllm_options, "engine": narrow}).build()
    yield teacher, Transformers(model=model).build()
    core = teacher.engine.llm_engine.engine_core
    core.shutdown()
    if is_apart:
        core.ctx.destroy()  # vLLM leaves it to the collector, which then warns in whatever test is next


FIELDS = ("text", "prompt_tokens", "completion_tokens", "finish_reason")


def test_it_conforms(teachers, model, monkeypatch):
    monkeypatch.setattr(Vllm, "build", lambda settings: teachers[0])
    check_teacher(Vllm(model=model))


def test_greedy_answers_and_counts_are_those_of_the_transformers_teacher(teachers, prompts):
    ours, theirs = (answers(teacher, prompts, GREEDY.model_copy(update={"n": 2})) for teacher in teachers)
    assert len({one.text for one in theirs.values()}) > len(prompts) / 2
    assert {key: [getattr(one, name) for name in FIELDS] for key, one in ours.items()} == {
        key: [getattr(one, name) for name in FIELDS] for key, one in theirs.items()
    }


def test_stop_texts_end_an_answer_as_with_the_transformers_teacher(teachers, prompts):
    whole = answers(teachers[1], prompts)
    long = max(whole.values(), key=lambda one: len(set(one.text.split())))
    stop = Sampling(temperature=0, max_tokens=12, stop=(long.text.split()[2],))
    ours, theirs = (answers(teacher, prompts, stop) for teacher in teachers)
    assert [one.text for _, one in sorted(ours.items())] == [one.text for _, one in sorted(theirs.items())]
    assert any(one.text != whole[key].text for key, one in ours.items())


def test_likelihoods_are_those_of_the_transformers_teacher(teachers):
    assert isinstance(teachers[0], LikelihoodTeacher)
    pairs = [(row.prompt, row.completion) for row in sample_demonstrations() if len(row.completion.split()) < 9]
    for ours, theirs in zip(*(teacher.log_likelihoods(pairs) for teacher in teachers), strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.nats == pytest.approx(theirs.nats, rel=1e-5)


def test_continuations_are_those_of_the_transformers_teacher(teachers, prompts):
    """Letters and texts, after texts and conversations, some too long; a context loses two tokens more than there."""
    assert isinstance(teachers[0], ContinuationTeacher)
    long = " ".join([prompts[0].text] * 9)
    contexts = [context for prompt in prompts for context in (prompt.text, prompt.messages)]
    words = prompts[0].text.split()
    asked = [Continuation(one, f" {text}") for one in contexts for text in (*words[:3], " ".join(words))]
    asked += [
        Continuation("", words[0]),
        Continuation(long, f" {words[1]}"),
        Continuation(long, f" {words[1]} {words[2]}"),
    ]
    ours, theirs = (dict(teacher.continuations(asked)) for teacher in teachers)
    assert sorted(ours) == list(range(len(asked)))
    for place in range(len(asked) - 2):
        assert ours[place].tokens == theirs[place].tokens
        assert ours[place].nats == pytest.approx(theirs[place].nats, rel=1e-4)
    short = Transformers(model=str(teachers[1].settings.model)).build()
    short.encoder.max_tokens = CONTEXT - 2
    theirs = dict(short.continuations(asked[-2:]))
    for place, one in theirs.items():
        assert one.cut > 0
        assert ours[len(asked) - 2 + place] == pytest.approx(one, rel=1e-4)


def test_texts_are_continued_as_by_the_transformers_teacher(teachers, prompts):
    ours, theirs = (
        {
            key: one.text
            for key, one in answers(teacher, prompts, Sampling(temperature=0, max_tokens=8, prompting="text")).items()
        }
        for teacher in teachers
    )
    assert ours == theirs


def test_an_answer_does_not_depend_on_the_prompts_asked_beside_it(teachers, prompts):
    teacher = teachers[0]
    together = answers(teacher, prompts, WARM, 5)
    assert set(together) == {(prompt.id, index) for prompt in prompts for index in range(3)}
    assert answers(teacher, prompts[::-1], WARM, 5) == together
    alone = [answers(teacher, [prompt], WARM, 5) for prompt in prompts[:4]]
    assert all(one == together[key] for found in alone for key, one in found.items())


def test_more_prompts_than_the_engine_reads_at_once_are_answered_with_seeds(teachers, prompts):
    """vLLM 0.32 on a CPU dies of a request with a seed whose prompt is read in two pieces."""
    found = answers(teachers[0], prompts, Sampling(temperature=1.0, max_tokens=2, n=5))
    assert len(found) == 5 * len(prompts)


def test_seeds_and_samples_differ(teachers, prompts):
    first, other = (answers(teachers[0], prompts, WARM, seed) for seed in (5, 6))
    assert first != other
    assert len({one.text for one in first.values()}) > 2 * len(prompts)


@pytest.mark.parametrize("how", [{"top_k": 1}, {"top_p": 1e-6}])
def test_sampling_that_leaves_one_choice_is_greedy(teachers, prompts, how):
    narrow = Sampling(temperature=1.0, max_tokens=12, **how)
    texts = [{key: one.text for key, one in answers(teachers[0], prompts, kind).items()} for kind in (narrow, GREEDY)]
    assert texts[0] == texts[1]


def test_a_prompt_that_leaves_no_room_is_left_out(teachers, prompts):
    lengths = {one.prompt_id: one.prompt_tokens for one in answers(teachers[1], prompts).values()}
    middle = sorted(lengths.values())[len(lengths) // 2]
    found = answers(teachers[0], prompts, Sampling(temperature=0, max_tokens=CONTEXT - middle))
    assert {id for id, _ in found} == {id for id, length in lengths.items() if length <= middle}
    assert 0 < len(found) < len(prompts)


def test_an_answer_too_long_for_the_context_has_no_likelihood(teachers):
    long = " ".join(["two"] * CONTEXT)
    found = teachers[0].log_likelihoods([(user_prompt("1", "en", "one"), text) for text in ("two", long)])
    assert found[0].nats < 0
    assert found[1].nats != found[1].nats


def test_a_continuation_without_tokens_or_longer_than_the_window_has_no_likelihood(teachers):
    texts = ("", " " + " ".join(["two"] * CONTEXT), " two")
    found = dict(teachers[0].continuations([Continuation("one", text) for text in texts]))
    assert [math.isnan(found[place].nats) for place in range(3)] == [True, True, False]
    assert found[0].tokens == 0
    assert found[1].tokens >= CONTEXT


def test_answers_that_are_not_waited_for_are_given_up(teachers, prompts):
    teacher = teachers[0]
    asked = teacher.answer(prompts, WARM, 5)
    first = next(asked)
    asked.close()
    assert not teacher.engine.llm_engine.has_unfinished_requests()
    assert answers(teacher, prompts, WARM, 5)[first.prompt_id, first.index] == first


def test_nothing_asked_is_nothing_answered(teachers):
    assert list(teachers[0].answer([], GREEDY, 0)) == []
    assert list(teachers[0].log_likelihoods([])) == []


@pytest.mark.usefixtures("vllm_options")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # as vLLM is imported
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": {"max_num_seq": 4}}, "vLLM has no engine argument 'max_num_seq'; did you mean 'max_num_seqs'"),
        ({"engine": {"dtype": "float32"}}, "'dtype' is a setting of the teacher itself"),
        ({"engine": {"max_num_seqs": 0}}, "(?s)vLLM refuses these settings: .*max_num_seqs"),
    ],
)
def test_engine_arguments_that_vllm_does_not_take_are_mistakes_of_the_user(model, settings, message):
    with pytest.raises(AyaError, match=message):
        Vllm(model=model, **settings).build()


def test_several_copies_of_a_model_are_refused_with_what_to_do_instead():
    with pytest.raises(
        ValueError, match="`vllm serve MODEL --data-parallel-size 2` and ask it with the teacher 'openai'"
    ):
        Vllm(model="a/b", data_parallel_size=2)


def test_a_missing_model_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="expected a Hugging Face checkpoint"):
        Vllm(model=str(tmp_path)).build()


@pytest.mark.usefixtures("vllm_options")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")  # as vLLM is imported
def test_a_checkpoint_that_is_not_whole_is_refused_before_the_engine_starts(model, tmp_path, monkeypatch):
    folder = shutil.copytree(model, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.extra.weight"] = tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    teacher = Vllm(model=str(folder))
    from aya_plugins.teachers.runtime import vllm as runtime

    monkeypatch.setattr(runtime.vllm, "LLM", lambda **arguments: pytest.fail("the engine was started"))
    with pytest.raises(DataError, match=r"model.layers.1.mlp.up_proj.weight; unexpected, .*: model.extra.weight"):
        teacher.build()


RECIPE = """
name: engines
languages: [en]
stages:
  - name: answers
    do: arbitrage
    prompts: {{use: jsonl, path: prompts.jsonl, language: en}}
    teachers:
      plain: {{use: transformers, model: {model}}}
      fast: {{use: vllm, model: {model}, dtype: float32, max_model_len: 40, engine: {engine}}}
    sampling: {{temperature: 0, max_tokens: 8}}
    arbiter: {{use: likelihood, model: {model}}}
"""


def test_a_run_has_vllm_and_transformers_answer_each_in_a_process_of_its_own(
    tmp_path, tmp_path_factory, wide_heads, vllm_options, aya_command
):
    model = tiny_causal_lm(tmp_path_factory.mktemp("vllm") / "llama", "llama", **wide_heads)
    rows = [{"id": prompt.id, "prompt": prompt.text} for prompt in sample_prompts()]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=model, engine=json.dumps(vllm_options["engine"])))
    done = aya_command("run", tmp_path / "recipe.yaml", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    plain, fast = (
        {row.prompt_id: [getattr(row, name) for name in FIELDS] for row in read_rows(artifact, Completion)}
        for name in ("plain", "fast")
        for artifact in (tmp_path / "run" / "artifacts" / f"answers.answers@{name}").glob("*/payload")
    )
    assert len(plain) == len(rows)
    assert len({text for text, *_ in plain.values()}) > 1
    assert fast == plain

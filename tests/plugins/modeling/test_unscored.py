"""What a tokenizer drops, or a model cannot read whole, has no log-likelihood, is not asked and teaches nothing: it is counted."""

import json
import math
import shutil

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from aya_core.api import (
    Case,
    Completion,
    Continuation,
    DataError,
    Demonstration,
    Preference,
    Sampling,
    Unanswered,
    user_prompt,
)
from aya_plugins.arbiters.likelihood import Likelihood
from aya_plugins.arbiters.reward_model import RewardModel
from aya_plugins.modeling.checkpoint import load_encoder, load_tokenizer, load_unscored
from aya_plugins.routers.learned import Learned
from aya_plugins.teachers.transformers import Transformers
from aya_plugins.trainers.preference import PreferenceTraining
from aya_plugins.trainers.reward import RewardTraining
from aya_plugins.trainers.sft import Sft

WINDOW = 24
LETTERS = "abcdefghijklmnopqrstuvwxyz .?"
HAN = "它累了"
TEMPLATE = (
    "{% for turn in messages %}<u>{{ turn.content }}{% if turn.role == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<u>{% endif %}"
)


@pytest.fixture(scope="module")
def letters(checkpoint, tmp_path_factory):
    """A model of 24 tokens whose tokenizer knows small letters alone, and drops every other character."""
    folder = tmp_path_factory.mktemp("letters")
    words = ["<s>", "</s>", "<u>", *LETTERS]
    made = Tokenizer(models.BPE({word: place for place, word in enumerate(words)}, []))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    special = {"bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": ["<u>"]}
    PreTrainedTokenizerFast(tokenizer_object=made, chat_template=TEMPLATE, **special).save_pretrained(folder)
    settings = json.loads((checkpoint("llama") / "config.json").read_text())
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    (folder / "config.json").write_text(
        json.dumps({**settings, **ids, "vocab_size": len(words), "max_position_embeddings": WINDOW})
    )
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def teacher(letters):
    return Transformers(model=str(letters), device="cpu").build()


def continuations(teacher, *asked):
    found = dict(teacher.continuations([Continuation(*one) for one in asked]))
    return [found[place] for place in range(len(asked))]


def test_a_continuation_without_a_token_has_no_log_likelihood_and_others_keep_theirs(teacher):
    [alone] = continuations(teacher, ("so", " he slept"))
    nothing, beside, lost = continuations(teacher, ("so", ""), ("so", " he slept"), ("so", HAN))
    assert math.isnan(nothing.nats)
    assert math.isnan(lost.nats)
    assert (nothing.tokens, lost.tokens) == (0, 0)
    assert (beside.nats, beside.tokens) == (pytest.approx(alone.nats), 9)


def test_the_longest_continuation_that_is_scored_fills_the_window(teacher):
    context = "a " * 19 + "a"
    inside, outside = continuations(teacher, (context, "b" * WINDOW), (context, "b" * (WINDOW + 1)))
    assert (math.isfinite(inside.nats), inside.tokens, inside.cut) == (True, WINDOW, len(context) - 1)
    assert (math.isnan(outside.nats), outside.tokens, outside.cut) == (True, WINDOW + 1, 0)


def test_a_continuation_of_a_context_that_is_lost_is_not_scored(teacher):
    lost, kept = continuations(teacher, (HAN, "so"), ("", "so"))
    assert math.isnan(lost.nats)
    assert math.isfinite(kept.nats)


def test_an_answer_without_a_token_has_no_log_likelihood_though_its_end_would(teacher):
    prompt = user_prompt("1", "en", "why?")
    lost, empty, some = teacher.log_likelihoods([(prompt, HAN), (prompt, ""), (prompt, "so")])
    assert (math.isnan(lost.nats), lost.tokens) == (True, 0)
    assert (math.isfinite(empty.nats), empty.tokens) == (True, 1)
    assert (math.isfinite(some.nats), some.tokens) == (True, 3)
    (long,) = teacher.log_likelihoods([(prompt, "b" * WINDOW)])
    assert math.isnan(long.nats)


@pytest.mark.parametrize("prompting", ["chat", "text"])
def test_a_prompt_without_a_token_is_not_asked(teacher, prompting):
    texts = {"lost": HAN, "short": "why?", "long": "b" * WINDOW, "half": f"why {HAN}?"}
    prompts = [user_prompt(id, "en", text) for id, text in texts.items()]
    answers = list(teacher.answer(prompts, Sampling(max_tokens=4, prompting=prompting), 0))
    assert {answer.prompt_id for answer in answers if isinstance(answer, Completion)} == {"short", "half"}
    assert {answer.prompt_id for answer in answers if isinstance(answer, Unanswered)} == {"lost", "long"}


def test_a_conversation_with_a_lost_turn_is_not_asked(teacher):
    turns = ("why?", "so", HAN)
    messages = tuple(
        {"role": role, "content": text} for role, text in zip(("user", "assistant", "user"), turns, strict=True)
    )
    prompt = user_prompt("1", "en", "why?")
    assert len(list(teacher.answer([prompt], Sampling(max_tokens=4), 0))) == 1
    lost = type(prompt)("1", "en", messages)
    [answer] = teacher.answer([lost], Sampling(max_tokens=4), 0)
    assert isinstance(answer, Unanswered)


def test_judges_fail_on_an_answer_without_a_token(letters, tmp_path):
    folder = shutil.copytree(letters, tmp_path / "reward")
    load_unscored(letters, 0).save_pretrained(folder)
    texts = ("so", HAN, "", "b" * WINDOW)
    case = Case(user_prompt("1", "en", "why?"), tuple(Completion("1", "t", n, text) for n, text in enumerate(texts)))
    for arbiter in (RewardModel(model=str(folder), device="cpu"), Likelihood(model=str(letters), device="cpu")):
        [verdicts] = arbiter.build().judge([case])
        assert [one.status for one in verdicts] == ["scored", "failed", "scored", "failed"]


def test_training_counts_answers_without_a_token_and_learns_nothing_of_them(letters, rows_folder, run_trainer):
    prompt = user_prompt("1", "en", "why?")
    rows = [Demonstration(user_prompt(text, "en", "why?"), text) for text in ("so", HAN, "so so", HAN + HAN)]
    settings = {"steps": 1, "batch_rows": 2, "max_tokens": WINDOW}
    _, measures = run_trainer(Sft(**settings), rows_folder(rows), start=letters)
    assert (measures["rows"], measures["dropped_rows"], measures["dropped/no answer token"]) == (4, 2, 2)
    pairs = [Preference(prompt, "so", HAN), Preference(prompt, "so", "no"), Preference(prompt, "so", "or")]
    _, measures = run_trainer(RewardTraining(**settings), rows_folder(pairs), start=letters)
    assert (measures["rows"], measures["dropped_rows"]) == (3, 1)
    with pytest.raises(DataError, match=r"all 1 rows are dropped \(no answer token: 1"):
        run_trainer(
            PreferenceTraining(**settings), rows_folder(pairs[:1]), start=letters, objective=lambda pairs: pairs
        )


FAMILIES = {"gpt2": GPT2Config, "qwen2": Qwen2Config, "gemma2": Gemma2Config}


@pytest.fixture(params=FAMILIES)
def bare(request, tmp_path):
    """A checkpoint without tokenizer, of a family for which transformers makes an empty one."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 16,
    }
    if request.param == "gpt2":
        sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2}
    config = FAMILIES[request.param](vocab_size=300, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("beside", ["nothing", "tokenizer_config.json"])
def test_a_tokenizer_that_is_not_there_is_not_made_up(bare, beside):
    if beside != "nothing":
        added = {"299": {"content": "<tool_call>", "special": False}, "298": {"content": "<end>", "special": True}}
        (bare / beside).write_text(
            json.dumps({"added_tokens_decoder": added, "eos_token": "<end>", "model_max_length": 50})
        )
        (bare / "chat_template.jinja").write_text(TEMPLATE)
    for load in (
        lambda: load_tokenizer(bare),
        lambda: load_encoder(bare, max_tokens=20),
        lambda: Transformers(model=str(bare)).build(),
        lambda: Likelihood(model=str(bare)).build(),
    ):
        with pytest.raises(DataError, match="no tokenizer can be loaded from here: it has no tokens but special ones"):
            load()


def test_it_is_not_made_up_for_classifiers_either(bare):
    load_unscored(bare, 0).save_pretrained(bare)
    with pytest.raises(DataError, match="no tokenizer can be loaded from here"):
        RewardModel(model=str(bare)).build()
    load_unscored(bare, 0, num_labels=2).save_pretrained(bare)
    with pytest.raises(DataError, match="no tokenizer can be loaded from here"):
        Learned(model=str(bare)).build()


def test_training_refuses_it(bare, counting, rows_folder, run_trainer):
    with pytest.raises(DataError, match="no tokenizer can be loaded from here"):
        run_trainer(Sft(steps=1, batch_rows=2), rows_folder(counting), start=bare)

"""Raw requests have the log-likelihoods that lm-evaluation-harness 0.4.13 finds, whatever the tokenizer puts around texts."""

import random

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from aya_core.api import Continuation
from aya_plugins.teachers.transformers import Transformers

TEXT = [
    "Il", "ragazzo", "aveva", "fame,", "quindi", "The", "water", "boiled", "over,\nso", "we", "cleaned", "stove!",
    "水开了，所以我们关了火。", "Kutu", "kırıldı", "çünkü", "ağırdı.", "", "Two", "spaces\n\nA.", "وقال", "B.", "٣", "C.", "four",
]  # fmt: skip
SPECIAL = ["<s>", "</s>", "<|user|>", "<|assistant|>"]
CHAT = (
    "{% for turn in messages %}<|{{ turn.role }}|>{{ turn.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
PUTS_BOS = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
PUTS_EOS = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])

KINDS = {
    # family: its settings, pre-tokenizer, post-processor, special tokens, chat template
    "cohere": ({"logit_scale": 0.25}, "bytes", PUTS_BOS, {"bos_token": "<s>"}, "{{ bos_token }}" + CHAT),
    "llama": ({"tie_word_embeddings": False}, "pieces", PUTS_BOS, {"bos_token": "<s>"}, CHAT),
    "qwen2": ({}, "bytes", None, {}, CHAT),
    "gemma2": ({"head_dim": 8, "sliding_window": 8}, "bytes", None, {"bos_token": "<s>"}, "{{ bos_token }}" + CHAT),
    "mamba": ({}, "bytes", PUTS_EOS, {}, CHAT),
}


def make_tokenizer(kind, post_processor, special, template):
    made = Tokenizer(models.BPE())
    if kind == "bytes":
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        alphabet = sorted({*" ".join(TEXT).replace(" ", "▁")})
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([" ".join(TEXT)] * 3, trainer)
    if post_processor:
        made.post_processor = post_processor
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="</s>", pad_token="</s>", chat_template=template, **special
    )


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory):
    """A random model that reads 40 tokens, and the tokenizer of its kind."""
    settings, kind, post_processor, special, template = KINDS[request.param]
    tokenizer = make_tokenizer(kind, post_processor, special, template)
    sizes = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 40, "initializer_range": 0.3,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(request.param, **sizes, **settings), dtype=torch.float32
        )
    folder = tmp_path_factory.mktemp(request.param)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def harness(model):
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=transformers.AutoModelForCausalLM.from_pretrained(model),
        tokenizer=transformers.AutoTokenizer.from_pretrained(model), batch_size=3,
    )  # fmt: skip


def asked(harness):
    """Requests of every shape, drawn anew for each model."""
    draw = random.Random(harness.model.config.model_type)

    def words(most):
        return " ".join(draw.choices(TEXT, k=draw.randint(1, most)))

    shots = words(9)
    pairs = []
    for _ in range(12):
        context = words(5) + draw.choice(["", "", " ", "  ", "\n", ":\n\n ", "A."])
        pairs += [(context, draw.choice(["", " ", "\n"]) + words(3)) for _ in range(2)]
        pairs += [(f"{shots}\n\n{words(3)}\nAnswer:", f" {letter}") for letter in "ABCD"]
    pairs += [("", words(4)), ("", " " + words(2)), ("", "<s>" + words(2)), ("", "</s>" + words(2))]
    pairs += [("<s>" + words(3), " " + words(2)), ("</s>" + words(3), words(2)), (words(60), " " + words(5))]
    pairs += [(words(60) + "  ", words(5)), (" ".join(TEXT), " A."), (" ".join(TEXT), " A. وقال")]
    return pairs


def expected(harness, pairs):
    from lm_eval.api.instance import Instance

    requests = [Instance("loglikelihood", {}, pair, place) for place, pair in enumerate(pairs)]
    return [nats for nats, _ in harness.loglikelihood(requests, disable_tqdm=True)]


def test_texts_are_encoded_and_scored_as_the_harness_does(model, harness):
    pairs = asked(harness)
    teacher = Transformers(model=str(model)).build()
    found = dict(teacher.continuations([Continuation(*pair) for pair in pairs]))
    nats = [found[place].nats for place in range(len(pairs))]
    assert nats == pytest.approx(expected(harness, pairs), rel=1e-5, abs=1e-5)
    encoded = [harness._encode_pair(*pair) if pair[0] else None for pair in pairs]
    for place, parts in enumerate(encoded):
        if parts is not None:
            assert found[place].tokens == len(parts[1])
            longest = harness.max_length + 1 if teacher.encoder.max_tokens < 99 else 1 << 30
            assert found[place].cut == max(0, len(parts[0] + parts[1]) - longest)
    assert any(one.cut for one in found.values()) == (teacher.encoder.max_tokens < 99)


def test_conversations_are_rendered_encoded_and_scored_as_the_harness_does(model, harness):
    turns = [({"role": "user", "content": text},) for text in ("Il ragazzo aveva fame", "five  spaces \n")]
    options = ["A.", " quindi ha mangiato", "水"]
    pairs = [(harness.apply_chat_template(list(conversation)), text) for conversation in turns for text in options]
    teacher = Transformers(model=str(model)).build()
    found = dict(teacher.continuations([Continuation(one, text) for one in turns for text in options]))
    assert [found[place].nats for place in range(len(pairs))] == pytest.approx(expected(harness, pairs), rel=1e-5)

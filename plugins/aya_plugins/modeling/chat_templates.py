"""Chat templates for models that have none or another: bundled ones, those of files and of other models, with the tokens they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError

from aya_core.api import AyaError, DataError, did_you_mean
from aya_plugins.time_limit import SlowError, within

SECONDS = 20.0
"""That a template may take to write a question and its answer."""

_PROBE = "7f3a answer"
"""An answer by which is found what a template puts after answers."""

_SYSTEM_INTO_USER = (
    "{% set ns = namespace(system='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set ns.system = message['content'] | trim + '\n\n' %}{% endif %}{% endfor %}"
)

_ROLE_CHECK = (
    "{% if message['role'] not in roles %}{{ raise_exception('no turn for the role ' + message['role']) }}{% endif %}"
)

BUNDLED: Mapping[str, str] = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "llama3": (
        "{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "gemma": (
        f"{_SYSTEM_INTO_USER}"
        "{% set roles = {'user': 'user', 'assistant': 'model'} %}"
        "{% for message in messages if message['role'] != 'system' %}"
        + _ROLE_CHECK
        + "{{ '<start_of_turn>' + roles[message['role']] "
        "+ '\n' + (ns.system if loop.first else '') + message['content'] | trim + '<end_of_turn>\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
    ),
    "cohere": (
        "{% set roles = {'system': '<|SYSTEM_TOKEN|>', 'user': '<|USER_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>'} %}"
        "{% for message in messages %}" + _ROLE_CHECK + "{{ '<|START_OF_TURN_TOKEN|>' + roles[message['role']] + "
        "message['content'] + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
    ),
    "plain": (
        "{% set roles = {'system': 'System', 'user': 'User', 'assistant': 'Assistant'} %}"
        "{% for message in messages %}" + _ROLE_CHECK + "{{ roles[message['role']] + ':\n' + message['content'] }}"
        "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{{ '\n\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
    ),
}
"""Chat templates by name. Where a tokenizer puts a token at the beginning of texts, so does the template.

Sources: ChatML, OpenAI 2023; the model cards of Llama 3 and Gemma; Aryabumi et al. 2024 (Aya 23), arXiv 2405.15032, figure 2. `plain`
is words alone, and the tokenizer's own end of text.
"""

_TOKEN = re.compile(r"<[|｜][^<>\s'\"{}]+>|<[^<>\s'\"{}/|｜][^<>\s'\"{}|｜]*[|｜]>|<(?:start_of_turn|end_of_turn)>")
"""What looks like a token of its own in a template: `<|end|>`, Gemma 4's `<|turn>` and `<turn|>`."""


@dataclass(frozen=True)
class GivenTemplate:
    """What became of a tokenizer to which a chat template was given.

    end: the token that ends a turn. added: tokens that were new to the vocabulary, by id. reused: those that it had. before: the token
    that ended texts until then; None where there was none.
    """

    name: str
    end: str
    added: Mapping[int, str]
    reused: Sequence[str]
    before: str | None = None

    def __str__(self) -> str:
        said = f"chat_template {self.name}: turns end with {self.end!r}"
        if self.reused:
            said += f"; {len(self.reused)} of its tokens are in the vocabulary ({', '.join(self.reused)})"
        if self.added:
            said += f"; {len(self.added)} are added ({', '.join(self.added.values())}), whose embeddings begin at the mean of all"
        if self.end in self.added.values() and self.before is not None:
            said += f", that of {self.end!r} as that of {self.before!r}, which ended texts before"
        return said


def give_template(tokenizer: Any, source: str, where: str, load: Callable[[Path], Any]) -> GivenTemplate:
    """Give a tokenizer the chat template of a bundled name, a file, or the folder of another model, with the tokens that it needs.

    load: reads the tokenizer of a folder. Raises AyaError for a template that cannot write a conversation, or that is not found.
    """
    folder, before = Path(source), tokenizer.eos_token
    if source in BUNDLED:
        template = BUNDLED[source]
        needed = _TOKEN.findall(template)
        if _begins_texts(tokenizer):
            template = "{{ bos_token }}" + template
        name = f"'{source}'"
    elif folder.is_dir():
        other = load(folder)
        template, name = _default(other.chat_template), folder.name
        if not template:
            raise DataError(
                f"{folder}: its tokenizer has no chat template to take over; name another model, or one of {_names()}"
            )
        special = {str(token) for token in other.added_tokens_decoder.values() if token.special}
        needed = [
            token for token in sorted(special, key=template.find) if token in template and re.search(r"[<\[|｜]", token)
        ]
        if other.eos_token is not None and re.search(r"\beos_token\b", template):
            needed.append(other.eos_token)
            template = _with_end_named(template, other.eos_token)
    elif folder.is_file():
        template, name = read_template(folder), folder.name
        needed = _TOKEN.findall(template)
        if needed and tokenizer.eos_token is not None:  # which may become another one below
            template = _with_end_named(template, tokenizer.eos_token)
    else:
        raise AyaError(
            f"chat_template: no '{source}'; {did_you_mean(source, BUNDLED)}; expected one of {_names()}, a file, or the folder or hub id "
            "of a model whose tokenizer has one"
        )
    needed = list(dict.fromkeys(needed))
    known = tokenizer.get_vocab()
    reused = [token for token in needed if token in known]
    tokenizer.add_special_tokens({"extra_special_tokens": needed}, replace_extra_special_tokens=False)
    added = {tokenizer.convert_tokens_to_ids(token): token for token in needed if token not in known}
    tokenizer.chat_template = template
    end = _end_of_turn(tokenizer, name, where)
    tokenizer.eos_token = end
    return GivenTemplate(name, end, added, reused, before)


def _with_end_named(template: str, end: str) -> str:
    """A template that names its end of text, whatever the tokenizer calls so later."""
    return re.sub(r"\beos_token\b", repr(str(end)), template)


def read_template(file: Path) -> str:
    """Read the template of a file. Raises DataError for one that is no text."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as a chat template ({error}); expected Jinja in UTF-8") from None
    if not text.strip():
        raise DataError(f"{file}: is empty; expected a chat template in Jinja")
    return text


def fit_model(model: Any, tokenizer: Any, given: GivenTemplate | None) -> None:
    """Give a model room for the tokens of a given template, and let it end its turns as the template does.

    The embeddings of new tokens, of input and output, are the mean of all others; but a token that ends turns begins as the one that
    ended texts before, for a base model knows when a text is at its end, and a token at the mean is one of a whole vocabulary.
    """
    if given is None:
        return
    old = int(model.get_input_embeddings().weight.shape[0])
    if len(tokenizer) > old:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if given.added:
        new = torch.tensor(sorted(given.added))
        tables = {
            id(one): one for one in (model.get_input_embeddings(), model.get_output_embeddings()) if one is not None
        }
        with torch.no_grad():
            for weight in {id(one.weight): one.weight for one in tables.values()}.values():
                others = torch.ones(len(weight), dtype=torch.bool)
                others[new] = False
                others[old:] = False
                weight[new] = weight[others].float().mean(0).to(weight.dtype)
                if given.end in given.added.values() and given.before is not None:
                    end, before = tokenizer.convert_tokens_to_ids([given.end, given.before])
                    weight[end] = weight[before]
    ends = [tokenizer.convert_tokens_to_ids(given.end)]
    settings = getattr(model, "generation_config", None)
    if settings is not None:
        before = settings.eos_token_id
        settings.eos_token_id = list(
            dict.fromkeys([*ends, *(before if isinstance(before, list) else [before] * (before is not None))])
        )
    model.config.get_text_config().eos_token_id = ends[0]
    if settings is not None and settings.pad_token_id is None:
        settings.pad_token_id = tokenizer.pad_token_id


def _end_of_turn(tokenizer: Any, name: str, where: str) -> str:
    """The token that a template puts after answers, or else the tokenizer's own end of text."""
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE}]
    try:
        with within(SECONDS):
            text: str = tokenizer.apply_chat_template(turns, tokenize=False)
    except SlowError:
        raise AyaError(
            f"chat_template {name}: takes longer than {SECONDS:g} s to write a question and its answer"
        ) from None
    except (TemplateError, TypeError, ValueError) as error:
        raise AyaError(f"chat_template {name}: cannot write a question and its answer ({error}); mend it") from None
    place = text.rfind(_PROBE)
    if place < 0:
        raise AyaError(f"chat_template {name}: leaves out what the assistant says; mend it")
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    after = tokenizer(text[place + len(_PROBE) :], add_special_tokens=False).input_ids
    end = next((id for id in after if id in special), tokenizer.eos_token_id)
    if end is None:
        raise AyaError(
            f"{where}: chat_template {name} ends no turn, and the tokenizer names no eos_token; give a template that ends its turns with "
            "a token, such as chatml"
        )
    return str(tokenizer.convert_ids_to_tokens(end))


def _begins_texts(tokenizer: Any) -> bool:
    """Whether a tokenizer puts its first token before every text."""
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("a").input_ids[:1] == [bos]


def _default(template: Any) -> str:
    found = template.get("default", "") if isinstance(template, Mapping) else template
    return str(found or "")


def _names() -> str:
    return ", ".join(BUNDLED)

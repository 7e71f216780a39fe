"""Chat templates that a merge can ask for by name.

They are those that mergekit knows by name, as the models that they come from use them: mergekit's llama3, exaone and alpaca have
blank space between messages that those models were not trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' ~ message['role'] ~ '\\n' ~ message['content'] ~ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_LLAMA3 = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' ~ message['role'] ~ '<|end_header_id|>\\n\\n' ~ (message['content'] | trim) ~ '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

_MISTRAL = (
    "{% set first = 1 if messages and messages[0]['role'] == 'system' else 0 %}"
    "{{ bos_token }}"
    "{% for message in messages[first:] %}"
    "{% if message['role'] != ('user' if loop.index0 is even else 'assistant') %}"
    "{{ raise_exception('expected turns of user and assistant one after the other, after at most one system message') }}"
    "{% endif %}"
    "{% if message['role'] == 'user' %}"
    "{{ ' [INST] ' ~ (messages[0]['content'] ~ '\\n\\n' if first and loop.first else '') ~ message['content'] ~ ' [/INST]' }}"
    "{% else %}{{ ' ' ~ message['content'] ~ eos_token }}{% endif %}"
    "{% endfor %}"
)

_EXAONE = (
    "{% if messages and messages[0]['role'] != 'system' %}{{ '[|system|][|endofturn|]\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '[|' ~ message['role'] ~ '|]' ~ message['content'] ~ ('\\n' if message['role'] == 'user' else '[|endofturn|]\\n') }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
)

_ALPACA = (
    "{% set titles = {'user': 'Instruction', 'user_context': 'Input', 'assistant': 'Response'} %}"
    "{% for message in messages if message['role'] == 'system' %}"
    "{% if loop.last %}{{ (message['content'] | trim) ~ '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% for message in messages if message['role'] in titles %}"
    "{{ '### ' ~ titles[message['role']] ~ ':\\n' ~ (message['content'] | trim) ~ ('' if loop.last else '\\n\\n') }}"
    "{% endfor %}"
    "{% if add_generation_prompt and messages and messages[-1]['role'] != 'assistant' %}{{ '\\n\\n### Response:\\n' }}{% endif %}"
)

NAMED: Mapping[str, str] = MappingProxyType(
    {"alpaca": _ALPACA, "chatml": _CHATML, "exaone": _EXAONE, "llama3": _LLAMA3, "mistral": _MISTRAL}
)
"""The text of each, by name."""

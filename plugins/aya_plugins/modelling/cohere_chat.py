"""The chat format of Aya Expanse, for checkpoints made from scratch."""

PAD, UNKNOWN, BOS = "<PAD>", "<UNK>", "<BOS_TOKEN>"
START_OF_TURN, END_OF_TURN = "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"
ROLE_TOKENS = {"system": "<|SYSTEM_TOKEN|>", "user": "<|USER_TOKEN|>", "assistant": "<|CHATBOT_TOKEN|>"}

SPECIAL_TOKENS = (PAD, UNKNOWN, BOS, START_OF_TURN, END_OF_TURN, *ROLE_TOKENS.values())
"""In the order of their ids, from 0."""

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    f"{{% set roles = {ROLE_TOKENS} %}}"
    "{% for message in messages %}"
    "{% if message['role'] not in roles %}"
    "{{ raise_exception('no turn for the role ' + message['role']) }}"
    "{% endif %}"
    f"{{{{ '{START_OF_TURN}' + roles[message['role']] + message['content'] + '{END_OF_TURN}' }}}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    f"{{{{ '{START_OF_TURN}{ROLE_TOKENS['assistant']}' }}}}"
    "{% endif %}"
)
"""A turn is <|START_OF_TURN_TOKEN|>, its role, its text, <|END_OF_TURN_TOKEN|>; the last is the eos, too.

Source: Aryabumi et al. 2024 (Aya 23), arXiv 2405.15032, figure 2; the token names are those of the released
tokenizer.
)"""

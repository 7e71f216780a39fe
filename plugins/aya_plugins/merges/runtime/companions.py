"""Files that go with the weights: config, tokenizer, chat template, generation config, code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOKENIZER = (
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "generation_config.json", "vocab.json", "vocab.txt", "merges.txt",
    "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "chat_template.*", "additional_chat_templates/*",
)  # fmt: skip
"""Files of a tokenizer, and generation_config.json, which names token ids."""

OTHERS = ("*.py", "LICENSE*")
"""Files beside config.json and the tokenizer's. *.py: the code of models that bring their own."""


def copy_companions(donor: Path, out: Path, config: Mapping[str, Any], *, tokenizer: bool) -> list[str]:
    """Copy what goes with the weights, and name it. config: of the merge. tokenizer: whether the donor's files go, too."""
    (out / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    copied = ["config.json"]
    patterns = (*OTHERS, *(TOKENIZER if tokenizer else ()))
    for path in sorted({path for pattern in patterns for path in donor.glob(pattern) if path.is_file()}):
        name = path.relative_to(donor)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(path.read_bytes())
        copied.append(name.as_posix())
    return copied

"""Files that go with the weights: config, tokenizer, chat template, generation config, code, and the model card of a merge."""

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

OTHERS = ("*.py", "LICENSE*", "*processor_config.json")
"""Files beside config.json and the tokenizer's. *.py: the code of models that bring their own. *processor_config.json: how
pictures, videos and sound are read (preprocessor_config.json, processor_config.json, video_preprocessor_config.json)."""


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


def model_card(description: Mapping[str, Any], seed: int, account: Mapping[str, Any]) -> str:
    """Say what was merged, how, and what became of the tensors. description: method and settings, as the stage gives them."""
    names = [entry["model"] for entry in account["inputs"]]
    parents = list(dict.fromkeys([*names, *([account["base"]] if account["base"] else [])]))
    values = {**description, "seed": seed}
    method = values.pop("use", "merge")
    lines = [
        "---",
        "library_name: transformers",
        "tags: [merge]",
        "base_model:",
        *(f"- {json.dumps(name, ensure_ascii=False)}" for name in parents),
        "---",
        "",
        f"# {method} of {len(names)} {'model' if len(names) == 1 else 'models'}",
        "",
        "| model | weight | content |",
        "|---|---|---|",
        *(f"| {entry['model']} | {_shown(entry['weight'])} | `{entry['content']}` |" for entry in account["inputs"]),
        *([f"| {account['base']} | base | `{account['base_content']}` |"] if account["base"] else []),
        "",
        f"Settings: {', '.join(f'`{name}: {json.dumps(value, default=str)}`' for name, value in values.items())}",
        "",
        f"{account['tensors']} tensors, {account['parameters']:,} parameters, "
        f"stored in {account['dtype']}; merged in float32, rounded once.",
        "",
        "Content is a SHA-256 of a model's weights, whatever files they lie in: of the sorted lines `name dtype shape sha256`, "
        "one for each tensor.",
    ]
    if account["integer_tensors"]:
        lines += ["", f"Integer tensors, equal in all models and copied: {', '.join(account['integer_tensors'])}."]
    if account["tied"]:
        pairs = ", ".join(f"{name} = {source}" for name, source in account["tied"].items())
        lines += ["", f"Tied in all models: {pairs}."]
    lines += [line for note in account["notes"] for line in ("", note)]
    return "\n".join(lines) + "\n"


def _shown(weight: Any) -> str:
    return f"{weight:g}" if isinstance(weight, (int, float)) else f"`{json.dumps(weight)}`"

"""Files that go with the weights: config, tokenizer, chat template, generation config, code, and the model card of a merge."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aya_plugins.modeling.cards import parents, read_card

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


def unlike_companions(models: Sequence[tuple[str, Path]], donor: str, *, tokenizer: bool) -> list[str]:
    """Say which files beside the weights differ between models, and so are those of the donor alone, or of nobody.

    models: names and folders, the donor's among them. tokenizer: as for `copy_companions`. JSON is compared by what it says.
    """
    patterns = ("*processor_config.json", "*.py", *(("generation_config.json",) if tokenizer else ()))
    found: dict[str, dict[str, Any]] = {}
    for model, folder in models:
        for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
            found.setdefault(path.name, {})[model] = _said(path)
    notes = []
    for name, by_model in sorted(found.items()):
        if donor not in by_model:
            notes.append(f"{name} of {', '.join(by_model)} does not come along: {donor}, whose files do, has none")
        elif unlike := [model for model, said in by_model.items() if said != by_model[donor]]:
            notes.append(f"{name} is that of {donor}; of {', '.join(unlike)} it is another")
    return notes


def _said(path: Path) -> Any:
    data = path.read_bytes()
    if path.suffix != ".json":
        return data
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return data
    return {key: value for key, value in said.items() if key not in _LEFTOVERS} if isinstance(said, dict) else said


_LEFTOVERS = ("transformers_version", "_from_model_config")


class Descent(NamedTuple):
    """Where a merge comes from.

    base_models: ids on the hub. license: that of all models, None where they differ or do not say. languages: of any model.
    said: lines of Markdown with the licences of each.
    """

    base_models: tuple[str, ...]
    license: str | None
    languages: tuple[str, ...]
    said: tuple[str, ...]


def descent_of(models: Sequence[tuple[str, Path]]) -> Descent:
    """Find out where a merge comes from, from the names and folders of its models and the cards in these.

    A model of the hub is named by its id; of others, the models that their own cards name. Names of stages and clusters mean
    nothing outside a run.
    """
    cards = [(name, read_card(folder)) for name, folder in models]
    licenses = {card.license for _, card in cards}
    told = ", ".join(f"{name}: {card.license}" for name, card in cards if card.license)
    return Descent(
        tuple(dict.fromkeys(parent for _, folder in models for parent in parents(folder))),
        next(iter(licenses)) if len(licenses) == 1 else None,
        tuple(dict.fromkeys(language for _, card in cards for language in card.languages)),
        ("", f"Licences that the models state, all of which hold for the merge: {told}.") if told else (),
    )


def model_card(description: Mapping[str, Any], seed: int, account: Mapping[str, Any], descent: Descent) -> str:
    """Say what was merged, how, and what became of the tensors. description: method and settings, as the stage gives them."""
    names = [entry["model"] for entry in account["inputs"]]
    values = {**description, "seed": seed}
    method = values.pop("use", "merge")
    lines = [
        "---",
        "library_name: transformers",
        "tags: [merge]",
        *_listed("base_model", descent.base_models),
        *_listed("language", descent.languages),
        *([f"license: {json.dumps(descent.license, ensure_ascii=False)}"] if descent.license else []),
        "---",
        "",
        f"# {method} of {len(names)} {'model' if len(names) == 1 else 'models'}",
        "",
        "| model | weight | content |",
        "|---|---|---|",
        *(f"| {entry['model']} | {_shown(entry['weight'])} | `{entry['content']}` |" for entry in account["inputs"]),
        *([f"| {account['base']} | base | `{account['base_content']}` |"] if account["base"] else []),
        *descent.said,
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


def _listed(key: str, values: Sequence[str]) -> list[str]:
    # Quoted: the language "no" is no boolean.
    return [f"{key}:", *(f"- {json.dumps(value, ensure_ascii=False)}" for value in values)] if values else []

"""The chat template that goes with a merged model."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aya_core.api import AyaError
from aya_plugins.merges.files.checkpoint import read_json
from aya_plugins.merges.tokens.named_templates import NAMED


def read_chat_template(folder: Path) -> str | None:
    """Read the default chat template of a tokenizer's folder; None where it has none."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    path = folder / "tokenizer_config.json"
    written = read_json(path).get("chat_template") if path.is_file() else None
    if isinstance(written, list):
        written = next((entry.get("template") for entry in written if entry.get("name") == "default"), None)
    return written or None


def choose_chat_template(asked: str, folders: Sequence[Path]) -> str | None:
    """Give the text of the chat template that is asked for.

    asked: the text itself, a name (`NAMED`), the path of a file that holds it, or `auto`: the most common among the models,
    the first of them where several are equally common, None where none has one. folders: of the models. Raises AyaError for others.
    """
    if asked == "auto":
        found = [read_chat_template(folder) for folder in folders]
        counts = Counter(template.strip() for template in found if template)
        return counts.most_common(1)[0][0] if counts else None
    if "{" in asked or "\n" in asked:
        return _whole(asked)
    if asked in NAMED:
        return NAMED[asked]
    if Path(asked).is_file():
        return _whole(Path(asked).read_text(encoding="utf-8"))
    raise AyaError(
        f"chat_template: no file '{asked}'; expected the text of a Jinja template, the path of a file that holds it, auto, or one "
        f"of {', '.join(NAMED)}"
    )


def _whole(template: str) -> str:
    """A template that is one. Raises AyaError for text that is no Jinja."""
    import jinja2.ext

    environment = jinja2.Environment(extensions=[jinja2.ext.loopcontrols], autoescape=False)  # it is parsed alone
    try:
        environment.parse(_GENERATION.sub("", template))
    except jinja2.TemplateSyntaxError as error:
        raise AyaError(f"chat_template: no Jinja template: line {error.lineno}: {error.message}") from None
    return template


_GENERATION = re.compile(r"{%[-+]?\s*(?:end)?generation\s*[-+]?%}")
"""Marks of what the assistant says, a tag that transformers adds to Jinja."""


def store_chat_template(out: Path, template: str) -> None:
    """Make a template the default one of the tokenizer in a folder, wherever its files keep templates."""
    path = out / "tokenizer_config.json"
    settings: dict[str, Any] = read_json(path) if path.is_file() else {}
    kept = settings.get("chat_template")
    if isinstance(kept, list):
        others = [entry for entry in kept if entry.get("name") != "default"]
        settings["chat_template"] = [{"name": "default", "template": template}, *others]
    elif kept:
        settings["chat_template"] = template
    if kept:
        path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if not kept or (out / "chat_template.jinja").is_file():
        (out / "chat_template.jinja").write_text(template, encoding="utf-8")
    if (out / "chat_template.json").is_file():
        (out / "chat_template.json").write_text(json.dumps({"chat_template": template}) + "\n", encoding="utf-8")

"""By what an answer or a verdict is known: who was asked what, by which code they answer, and the key of the item it is about.

By this a step knows which rows of earlier runs it can take over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from aya_core.contract.artifacts import MANIFEST, load, stable_hash
from aya_core.contract.durable import write_file
from aya_core.contract.errors import ArtifactError
from aya_core.contract.records import Completion, Prompt
from aya_core.planning.plan import Node
from aya_core.running.work import SCRATCH

MEASURE = "asked"
"""Under which the measures of a finished step hold it."""

NOTE = "asked.json"
"""The file that holds it in the scratch folder of a step that is not finished."""


@dataclass(frozen=True)
class Asked:
    """All that decides an answer or a verdict, but for the item that it is about.

    settings: of those who are asked, and by which they are asked. contents: of their models and files, by role. seed: what they draw
    with; None where they draw nothing. scale: what an arbiter was calibrated with. code: identities of the code that answers. by_item:
    whether the key of each item names whom it is asked, and all that decides what they say, so that no item is taken for another's.
    """

    settings: Mapping[str, Any]
    contents: Mapping[str, str]
    seed: int | None
    code: Mapping[str, str]
    scale: str = ""
    by_item: bool = False

    @classmethod
    def of(cls, node: Node, contents: Mapping[str, str], scale: str = "") -> Asked:
        """What a step asks. contents: of its inputs, those that are known."""
        roles = tuple(node.asked["settings"])
        own = {role: content for role, content in contents.items() if role in roles or _is_inside(role, roles)}
        return cls(node.asked["settings"], own, node.asked["seed"], node.asked["code"], scale)

    @property
    def question(self) -> str:
        """A hash of all but the code: where it is the same, the same was asked."""
        if self.by_item:
            return "named by the items"
        return stable_hash([self.settings, self.contents, self.seed, self.scale])

    def is_question_of(self, other: Asked) -> bool:
        """Whether the same was asked, as far as this one's contents are known. Scales are known too late to count."""
        known = {role: content for role, content in other.contents.items() if role in self.contents}
        mine, others = ([one.settings, one.seed] for one in (self, other))
        return stable_hash(mine) == stable_hash(others) and known == self.contents

    def as_measure(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    def write(self, scratch: Path) -> None:
        """Leave it in the scratch folder of a step that begins to ask."""
        write_file(scratch / NOTE, json.dumps(self.as_measure(), sort_keys=True))


def asked_in(folder: Path) -> Asked | None:
    """What was asked in a folder of a step, finished or not; None where it does not say."""
    try:
        if (folder / MANIFEST).is_file():
            noted = load(folder).measures.get(MEASURE)
        else:
            noted = json.loads((folder / SCRATCH / NOTE).read_text(encoding="utf-8"))
        return Asked(**noted) if isinstance(noted, dict) else None
    except (ArtifactError, FileNotFoundError, ValueError, TypeError):
        return None  # damaged, which `aya run` says of those that it needs


def prompt_key(prompt: Prompt) -> int:
    """Name a prompt by its id, what is asked, and what its source says of it. The reference is no part of the question."""
    turns = [text for turn in prompt.messages for text in (turn["role"], turn["content"])]
    meta = [text for pair in sorted(prompt.meta.items()) for text in pair]
    return _hash(("prompt", prompt.id, prompt.language, str(len(turns)), *turns, *meta))


def case_key(prompt: Prompt, candidates: tuple[Completion, ...]) -> int:
    """Name a case by its prompt, the reference it is judged by, and its candidates."""
    texts = [text for c in candidates for text in (c.teacher, str(c.index), c.finish_reason, c.text)]
    if any(c.reasoning for c in candidates):
        texts += ["reasoning", *(c.reasoning for c in candidates)]
    reference = ("no reference",) if prompt.reference is None else ("reference", prompt.reference)
    return _hash(("case", str(prompt_key(prompt)), *reference, *texts))


def text_key(*texts: str) -> int:
    """Name anything by the texts that make it what it is."""
    return _hash(("texts", *texts))


def _is_inside(role: str, roles: tuple[str, ...]) -> bool:
    return any(role.startswith(f"{one}.") for one in roles)


def _hash(texts: tuple[str, ...]) -> int:
    counted = f"{list(map(len, texts))}{''.join(texts)}"  # lengths first: no two lists of texts give the same
    digest = blake2b(counted.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)

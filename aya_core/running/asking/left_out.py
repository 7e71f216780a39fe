"""Why prompts are left without an answer, by language, kept shard by shard so that a kill loses none of it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from aya_core.contract.journal import Journal
from aya_core.contract.reasons import Reasons
from aya_core.contract.records import Prompt


class LeftOut:
    """Counts the reasons of one subfolder of a payload. scratch: of the step."""

    def __init__(self, scratch: Path, subfolder: str) -> None:
        self._journal = Journal(scratch / f"left-out-{subfolder}.jsonl")
        written = self._journal.read()
        self.shards: dict[str, dict[str, dict[str, int]]] = {k: v for k, v in written.items() if _are_counts(v)}
        self._reasons: dict[str, Reasons] = defaultdict(_reasons)

    def note(self, prompt: Prompt, reason: str) -> None:
        """Count a prompt of the shard that is being made."""
        self._reasons[prompt.language].add(reason)

    def made(self, shard: str) -> None:
        """Keep what was counted of a shard, before it is written."""
        if self._reasons or shard in self.shards:
            self.shards[shard] = {language: reasons.counts() for language, reasons in self._reasons.items()}
            self._journal.write([(shard, self.shards[shard])])
            self._journal.close()
        self._reasons.clear()


def unanswered_because(*counted: LeftOut) -> dict[str, list[dict[str, Any]]]:
    """The measure that says why prompts have no answer, a table of reason, language and count, the commonest first; none where all
    have."""
    by_language: dict[str, Reasons] = defaultdict(_reasons)
    everywhere = _reasons()
    for one in counted:
        for shard in one.shards.values():
            for language, counts in shard.items():
                by_language[language].update(counts)
                everywhere.update(counts)
    rows = [
        {"reason": everywhere.known_as(reason), "language": language, "count": count}
        for language, reasons in sorted(by_language.items())
        for reason, count in reasons.counts().items()
    ]
    return {"unanswered_because": sorted(rows, key=lambda row: -row["count"])} if rows else {}


def _are_counts(value: Any) -> bool:
    """Whether a value counts reasons by language."""
    return isinstance(value, dict) and all(
        isinstance(counts, dict) and all(isinstance(count, int) for count in counts.values())
        for counts in value.values()
    )


def _reasons() -> Reasons:
    """Numbers stay that all prompts have in common: how long a context is, or the status of a reply."""
    return Reasons(keep_equal=True)

"""An arbiter that prefers answers in the script of the prompt: a Greek question wants an answer in Greek letters."""

import unicodedata

from aya_core.api import ArbiterStrategy, Field, Verdict, hookimpl


class SameScript(ArbiterStrategy):
    """Score an answer by the share of its letters that are in a script of its prompt."""

    minimum: float = Field(0.0, ge=0, le=1, description="Answers with a smaller share are not eligible.")

    def build(self):
        """Make the arbiter."""
        return self

    def judge(self, cases):
        """Score each candidate by itself; abstain on prompts without letters."""
        for case in cases:
            wanted = set(scripts(case.prompt.text))
            yield [self._verdict(scripts(candidate.text), wanted) for candidate in case.candidates]

    def _verdict(self, found, wanted):
        if not wanted:
            return Verdict.abstain("the prompt has no letters")
        share = sum(script in wanted for script in found) / len(found) if found else 1.0  # "42" suits every script
        return Verdict(share) if share >= self.minimum else Verdict.abstain(f"{share:.0%} in the prompt's script")


def scripts(text):
    """Name the script of each letter: the first word of its Unicode name, such as GREEK."""
    return [unicodedata.name(mark, "UNNAMED").split()[0] for mark in text if mark.isalpha()]


@hookimpl
def aya_arbiters():
    """Offer the arbiter to recipes as `same-script`."""
    return {"same-script": SameScript}

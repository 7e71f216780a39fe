"""An arbiter that can be fooled: the longest answer wins."""

from aya_core.api import ArbiterStrategy, Verdict, hookimpl


class Longest(ArbiterStrategy):
    """Prefer more words, whatever they say."""

    def build(self):
        return self

    def judge(self, cases):
        for case in cases:
            yield [Verdict(float(len(candidate.text.split()))) for candidate in case.candidates]


@hookimpl
def aya_arbiters():
    return {"longest": Longest}

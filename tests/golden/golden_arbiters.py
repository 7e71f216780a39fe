"""Verdicts of every arbiter on the sample cases."""

from functools import partial

from golden import Maker, bundled
from golden_trainers import trained_reward_model

from aya_core.api import Completion, TeacherStrategy, stable_hash
from aya_core.contract.kinds import CalibratedArbiter
from aya_core.planning.registry import Registry
from aya_core.testing import sample_cases, tiny_causal_lm

REPLIES = {
    "pairwise": ("Preferred: Answer (A)", "They differ.\n**Preferred:** answer b.", "Preferred: TIE", "I cannot say."),
    "score": ("Score: 7", "Well put.\nscore: 9/10", "Preferred: TIE", "Score: 11"),
}
"""What a judge says by mode, two of each that hold a verdict and what is a verdict in no or one mode."""


class Saying(TeacherStrategy):
    """Reply with one of some texts, by the hash of the question."""

    replies: tuple[str, ...]

    def build(self):
        return self

    def answer(self, prompts, sampling, seed):
        for prompt in prompts:
            number = int(stable_hash([seed, prompt.text])[:8], 16)
            yield Completion(prompt.id, "judge", 0, self.replies[number % len(self.replies)])


def makers(registry: Registry) -> dict[str, Maker]:
    return {f"arbiter {name}": partial(_verdicts, registry, name) for name in bundled(registry, "arbiter")}


def _settings(registry, name, folder):
    def offered(name, **settings):
        return registry.find("arbiter", name)(**settings)

    if name == "likelihood":
        return [{"model": str(tiny_causal_lm(folder / "model"))}]
    if name == "reward-model":
        model = str(trained_reward_model(registry, folder))
        return [{"model": model}, {"model": model, "normalize": "language"}]
    agreement, right = offered("consensus"), offered("verifier", check="number")
    return {
        "verifier": [{}, {"check": "number"}, {"expression": "len(answer) < 9"}],
        "consensus": [{}, {"word_order": 2}],
        "judge": [
            {"teacher": Saying(replies=REPLIES[mode]), "mode": mode, "retries": retries}
            for mode in REPLIES
            for retries in (0, 2)
        ],
        "language": [{}, {"expected": {"tr": "en"}, "undetermined": "abstain"}],
        "length": [{}, {"max_ratio": 2}],
        "ensemble": [
            {"gates": {"reference": offered("verifier")}, "scores": {"agreement": agreement}},
            {"scores": {"agreement": agreement, "right": right}, "normalize": "language"},
            {"scores": {"right": right, "agreement": agreement}, "combine": "lexicographic"},
        ],
    }[name]


def _verdicts(registry, name, folder):
    results = {}
    for place, settings in enumerate(_settings(registry, name, folder), 1):
        arbiter = registry.find("arbiter", name)(**settings).build()
        if isinstance(arbiter, CalibratedArbiter):
            arbiter.calibrate(sample_cases())
        results[f"verdicts {place}"] = [list(verdicts) for verdicts in arbiter.judge(sample_cases())]
    return results

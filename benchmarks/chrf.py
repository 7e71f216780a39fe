"""Time corpus chrF++ beside sacrebleu's own, for the same numbers, in one run.

python benchmarks/chrf.py [--segments N] prints processor seconds of both, their ratio and the spread of a bootstrap. Texts are made
of the words of this script's sample in nine scripts, as long as sentences of FLORES-200, and translations of them leave words
out, repeat them or change their letters.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sacrebleu.metrics import CHRF

from aya_plugins.corpus_chrf import CorpusChrf

Made = TypeVar("Made")

SAMPLE = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler.",
    "vi": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "ar": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق، وقد وهبوا عقلا وضميرا.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "zh": "人 人 生而 自由 , 在 尊严 和 权利 上 一律 平等 。 他们 赋有 理性 和 良心 , 并应 以 兄弟 关系 的 精神 相 对待 。",
}


def corpus(segments: int, draw: random.Random) -> tuple[list[str], list[str]]:
    """Make translations and references, the languages in turn."""
    hypotheses, references = [], []
    for number in range(segments):
        language = list(SAMPLE)[number % len(SAMPLE)]
        words = SAMPLE[language].split()
        size = max(3, round(draw.gauss(60 if language == "zh" else 20, 6)))
        # words of its own beside those of the sample, or every text would hold the same few n-grams
        reference = [
            draw.choice(words) if draw.random() < 0.5 else mixed(draw.choice(words), draw) for _ in range(size)
        ]
        hypothesis = [word for word in reference if draw.random() > 0.1]
        hypothesis = [mixed(word, draw) if draw.random() < 0.2 else word for word in hypothesis]
        join = "" if language == "zh" else " "
        references.append(join.join(reference))
        hypotheses.append(join.join(hypothesis))
    return hypotheses, references


def mixed(word: str, draw: random.Random) -> str:
    """Shuffle the letters of a word."""
    return "".join(draw.sample(word, len(word)))


def timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """Do some work, and return what came of it with the processor seconds that it took."""
    start = time.process_time()
    return work(), time.process_time() - start


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=100_000)
    hypotheses, references = corpus(parser.parse_args().segments, random.Random(0))
    ours, theirs = CorpusChrf(), CHRF(word_order=2)
    ours.statistics(hypotheses[:10], references[:10])  # imports
    statistics, counting = timed(lambda: ours.statistics(hypotheses, references))
    value = ours.score(statistics)
    official, seconds = timed(lambda: theirs.corpus_score(hypotheses, [references]).score)
    resampled, drawing = timed(lambda: ours.resampled(statistics[:1012], 1000))
    size = sum(map(len, references)) / len(references)
    print(f"corpus chrF++ of {len(references):,} segments in {len(SAMPLE)} languages, {size:.0f} characters each")
    print(f"  ours       {counting:7.1f} s   {value:.6f}")
    print(f"  sacrebleu  {seconds:7.1f} s   {official:.6f}   {seconds / counting:.1f} times ours")
    print(
        f"  bootstrap  {drawing:7.1f} s   1,000 corpora of {len(statistics[:1012]):,}, standard error {resampled.std(ddof=1):.3f}"
    )
    if value != official or counting > seconds:
        raise SystemExit("expected the same score in no more time")


if __name__ == "__main__":
    main()

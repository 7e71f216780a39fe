"""Where each benchmark comes from, under which license, and how its files are laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Source:
    """A published benchmark.

    page: where its files are. hub: its id on the Hugging Face hub. split: what a file holds whose name says no split. known: columns
    by which a header is recognized, in the names that evaluators use. columns: those of delimited files without a header. aliases:
    names of an edition, to the names that evaluators use. own_codes: it writes jp where ISO 639-1 has ja. is_tsv_quoted: whether
    its TSV files quote fields. beside: patterns of files and folders that lie beside its rows. by_subject: it has a file for each subject.
    """

    name: str
    page: str
    hub: str
    license: str
    files: str
    split: str = "test"
    known: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    own_codes: bool = False
    is_tsv_quoted: bool = False
    beside: tuple[str, ...] = ()
    by_subject: bool = False

    @property
    def where(self) -> str:
        """Say where to get it and under which license."""
        return (
            f"{self.name} is at {self.page} and on the hub as {self.hub}; license: {self.license}; expected files such as "
            f"{self.files}"
        )


XCOPA = Source(
    "XCOPA",
    "https://github.com/cambridgeltl/xcopa (folder data)",
    "cambridgeltl/xcopa",
    "CC-BY-4.0",
    "it/test.it.jsonl",
    known=("premise", "choice1", "choice2", "question", "label"),
    beside=("data-gmt", "translation-*"),
)
XSTORYCLOZE = Source(
    "XStoryCloze",
    "https://github.com/facebookresearch/fairseq/blob/main/examples/xglm/XStoryCloze.md (English: on request from "
    "https://cs.rochester.edu/nlp/rocstories)",
    "juletxara/xstory_cloze",
    "CC-BY-SA-4.0",
    "spring2016.val.eu.tsv.split_20_80_eval.tsv",
    split="eval",
    known=(
        "input_sentence_1", "input_sentence_2", "input_sentence_3", "input_sentence_4", "sentence_quiz1", "sentence_quiz2",
        "answer_right_ending",
    ),
    aliases={
        "InputStoryid": "story_id", **{f"InputSentence{i}": f"input_sentence_{i}" for i in range(1, 5)},
        "RandomFifthSentenceQuiz1": "sentence_quiz1", "RandomFifthSentenceQuiz2": "sentence_quiz2",
        "AnswerRightEnding": "answer_right_ending",
    },
    is_tsv_quoted=True,
)  # fmt: skip
XWINOGRAD = Source(
    "XWinograd",
    "https://huggingface.co/datasets/Muennighoff/xwinograd (folder test; first published at "
    "https://github.com/yandex-research/crosslingual_winograd, dataset.tsv)",
    "Muennighoff/xwinograd",
    "CC-BY-4.0",
    "fr.jsonl",
    known=("sentence", "option1", "option2", "answer"),
    columns=("lang", "source", "reference", "sentence", "tokens", "pronoun", "candidates"),
    own_codes=True,
    beside=("dataset.selected.tsv",),
)
GLOBAL_MMLU = Source(
    "Global-MMLU",
    "https://huggingface.co/datasets/CohereLabs/Global-MMLU (plain MMLU: https://github.com/hendrycks/test)",
    "CohereLabs/Global-MMLU",
    "Apache-2.0 (plain MMLU: MIT)",
    "de/test-00000-of-00001.parquet, or MMLU's test/anatomy_test.csv beside dev/anatomy_dev.csv",
    known=("question", "option_a", "option_b", "option_c", "option_d", "answer"),
    by_subject=True,
    columns=("question", "option_a", "option_b", "option_c", "option_d", "answer"),
    aliases={
        "Question": "question", "A": "option_a", "B": "option_b", "C": "option_c", "D": "option_d", "Answer": "answer",
        "Subject": "subject",
    },
)  # fmt: skip
MGSM = Source(
    "MGSM",
    "https://github.com/google-research/url-nlp (folder mgsm)",
    "juletxara/mgsm",
    "CC-BY-SA-4.0 (the hub's card; the repository says CC-BY-4.0)",
    "mgsm_de.tsv",
    known=("question", "answer"),
    columns=("question", "answer"),
    beside=("exemplars.*",),
)
INCLUDE = Source(
    "INCLUDE-base",
    "https://huggingface.co/datasets/CohereLabs/include-base-44",
    "CohereLabs/include-base-44",
    "Apache-2.0",
    "Albanian/test-00000-of-00001.parquet",
    known=("question", "option_a", "option_b", "option_c", "option_d", "answer"),
)
FLORES = Source(
    "FLORES-200",
    "https://github.com/facebookresearch/flores (folder flores200)",
    "openlanguagedata/flores_plus",
    "CC-BY-SA-4.0",
    "devtest/arb_Arab.devtest, one sentence a line",
    split="devtest",
    known=("text",),
    aliases={"sentence": "text"},
    beside=("metadata_*.tsv", "DOCUMENT_IDS.tsv", "LANGUAGES.tsv"),
)

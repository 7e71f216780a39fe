"""A language model as judge of other models' answers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from aya_core.api import Arbiter, ArbiterStrategy, Field, Sampling, TeacherStrategy, nested
from aya_plugins.arbiters.judge_asking import AskingArbiter, Questioner
from aya_plugins.arbiters.judge_pairwise import Pairwise
from aya_plugins.arbiters.judge_prompts import Wording, check_instructions
from aya_plugins.arbiters.judge_scores import Scores


class Judge(ArbiterStrategy):
    """Ask a language model: which of two answers is better (`pairwise`), or how good one is (`score`).

    Pairwise, every two answers to a prompt are compared twice, each shown first once. Where the two orders disagree it
    is a tie, which counts half; a score is the mean over an answer's comparisons, from 0 to 1. Equal answers tie
    unasked. An empty answer gets an abstention. With `orders: drawn` they are compared once, in an order that a hash draws, as papers of
    the Aya family do: half the questions, but a judge that likes a place decides single battles by it, and is fair only on average.

    A reply without a readable verdict is asked for again and never guessed: an answer whose every comparison lacks one
    gets a failure. `details` of a verdict count what happened; see `judge_pairwise.py`. The judge sees the whole
    conversation and knows the language by name. Answers stand between marks that they cannot contain.

    Source: the judge's questions follow the one that evaluated Aya 101 (arXiv 2402.07827, appendix), as Aya Expanse
    did, in our words; comparing in both orders is ours, and papers draw the order.
    """

    version = 2

    teacher: nested("teacher") = Field(description="The model that judges.")  # type: ignore[valid-type]
    mode: Literal["pairwise", "score"] = Field(
        "pairwise", description="Compare answers two by two, or score each by itself."
    )
    sampling: Sampling = Field(
        Sampling(temperature=0, max_tokens=512),
        description="How the judge is asked. A reply cut at max_tokens holds no verdict.",
    )
    retries: int = Field(
        2,
        ge=0,
        description="How often to ask again for a verdict that cannot be read, with another seed; a greedy judge then at "
        "temperature 0.7, for it would only repeat itself.",
    )
    opponents: int | None = Field(
        None,
        ge=2,  # with 1, where their number is odd, somebody would meet nobody
        description="Pairwise: compare each answer with this many others at the most, drawn by hash; all by default, "
        "which asks n (n - 1) questions about n answers.",
    )
    orders: Literal["both", "drawn"] = Field(
        "both",
        description="Pairwise: compare every two answers in both orders, or once, in an order drawn by hash of the two, the prompt's id "
        "and `order_seed`, whichever comes first among the candidates.",
    )
    order_seed: int = Field(0, description="Pairwise, `orders: drawn`: another seed draws other orders.")
    scale: tuple[int, int] = Field((1, 10), description="Score: the worst and the best, whole numbers.")
    rubric: str | None = Field(None, min_length=1, description="What to weigh above the general rules.")
    instructions: Annotated[str | None, AfterValidator(check_instructions)] = Field(
        None,
        description="What to judge by, in place of our rules; may hold {language} and {rubric}. The conversation, the "
        "answers and the form of the verdict follow it.",
    )

    @model_validator(mode="after")
    def _fits_its_mode(self) -> Self:
        if self.mode == "score" and self.opponents is not None:
            raise ValueError("opponents is about comparisons; leave it out, or use mode: pairwise")
        if self.mode == "score" and self.orders != "both":
            raise ValueError("orders is about comparisons; leave it out, or use mode: pairwise")
        if self.orders == "both" and self.order_seed:
            raise ValueError("order_seed draws orders; leave it out, or use orders: drawn")
        if self.mode == "pairwise" and self.scale != (1, 10):
            raise ValueError("scale is about scores; leave it out, or use mode: score")
        if self.scale[0] >= self.scale[1]:
            raise ValueError(f"scale runs from {self.scale[0]} to {self.scale[1]}; expected the worst, then the best")
        if self.sampling.n != 1:
            raise ValueError(f"sampling.n is {self.sampling.n}; a judge replies once to a question")
        if self.instructions is not None and (self.rubric is not None) != ("{rubric}" in self.instructions):
            missing = "rubric is" if self.rubric is None else "instructions hold no {rubric}, so it is"
            raise ValueError(f"{missing} not given to the judge; set both, with {{rubric}} in instructions, or neither")
        return self

    @property
    def pointwise(self) -> bool:  # type: ignore[override]  # settings decide
        """Whether an answer is judged by itself."""
        return self.mode == "score"

    @property
    def orderless(self) -> bool:  # type: ignore[override]  # settings decide
        """Whether the order of the answers decides nothing: two are shown in both, or in one that a hash draws."""
        return self.mode == "pairwise"

    def build(self) -> Arbiter:
        """Build the judge's teacher."""
        teacher: TeacherStrategy = self.teacher
        questioner = Questioner(teacher.build(), self.sampling, self.retries)
        wording = Wording(self.instructions, self.rubric)
        if self.mode == "pairwise":
            order_seed = self.order_seed if self.orders == "drawn" else None
            return AskingArbiter(Pairwise(wording, self.opponents, order_seed), questioner, teacher)
        return AskingArbiter(Scores(wording, *self.scale), questioner, teacher)

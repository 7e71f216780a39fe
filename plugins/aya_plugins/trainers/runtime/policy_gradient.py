"""What policy gradient training runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from aya_core.api import (
    CUT,
    AyaError,
    DataError,
    Demonstration,
    GroupLogps,
    GroupObjective,
    Prompt,
    TokenizedRow,
    TrainingJob,
    read_rows,
)
from aya_plugins.modeling.chat import ChatEncoder
from aya_plugins.modeling.checkpoint import load_causal_lm
from aya_plugins.modeling.head import AnswerLogps
from aya_plugins.modeling.rows import Encoded, Ints, collate
from aya_plugins.modeling.vocabulary import check_same_tokens, check_vocabulary
from aya_plugins.trainers.runtime import dropping
from aya_plugins.trainers.runtime.chat import (
    begin_chat,
    check_reference,
    demonstrated,
    encoder_of,
    say_template,
    template_account,
)
from aya_plugins.trainers.runtime.finish import start_of
from aya_plugins.trainers.runtime.loop import start_accelerator
from aya_plugins.trainers.runtime.out_of_memory import told_what_to_lower
from aya_plugins.trainers.runtime.reference import Reference, reference_logps
from aya_plugins.trainers.runtime.settings import LoopSettings
from aya_plugins.trainers.runtime.showing import show_demonstrations
from aya_plugins.trainers.runtime.training import make_tasks, read_parts, run

Scores = NDArray[numpy.float32]


class Overlong(NamedTuple):
    """What becomes of samples that were cut: the settings of the strategy, by their names there."""

    does: Literal["keep", "mask", "drop", "punish"] = "keep"
    penalty: float = 1.0


KEEP = Overlong()
"""What is done where nothing is asked for."""


@dataclass(frozen=True)
class EncodedGroups:
    """Samples of prompts; those of a prompt are rows of `encoded` one after the other. Groups are named by place.

    scores: of all rows. is_learned: (rows,) which samples count in the loss.
    firsts, sizes: (groups,) the first row of each group that can teach something, and its samples. prompts: of each such group.
    account: how many groups cannot, by reason, and how many samples were cut.
    """

    encoded: Encoded
    scores: Scores
    is_learned: NDArray[numpy.bool_]
    pad_id: int
    firsts: Ints
    sizes: Ints
    prompts: Sequence[Prompt]
    account: Mapping[str, float]

    @classmethod
    def of(
        cls, encoder: ChatEncoder, rows: Sequence[Demonstration], where: Path, name: str, overlong: Overlong = KEEP
    ) -> EncodedGroups:
        """Encode samples. Raises DataError for rows that are no groups, and when no group can teach anything."""
        rows = list(rows)  # the samples of a round, all of which are looked at again and again
        groups = [list(group) for _, group in groupby(rows, key=lambda row: row.prompt.id)]
        _check(rows, groups, where)
        cut = sum(row.finish_reason in CUT for row in rows)
        if overlong.does == "drop":
            left = ([row for row in group if row.finish_reason not in CUT] for group in groups)
            groups = [group for group in left if group]
            rows = [row for group in groups for row in group]
        encoded = encoder.answers([answer for group in groups for answer in demonstrated(group)], refuses=True)
        reasons = dropping.why_not_rows(encoded)
        scores = numpy.array([row.score for row in rows], dtype=numpy.float32)
        is_cut = numpy.array([row.finish_reason in CUT for row in rows], dtype=numpy.bool_)
        if overlong.does == "punish":
            scores[is_cut] -= overlong.penalty
        is_learned = ~is_cut if overlong.does == "mask" else numpy.ones_like(is_cut)
        sizes = numpy.array([len(group) for group in groups], dtype=numpy.int64)
        firsts = numpy.cumsum(sizes) - sizes
        is_lost, is_single, is_equal = numpy.zeros((3, len(groups)), dtype=numpy.bool_)
        is_masked = numpy.zeros(len(groups), dtype=numpy.bool_)
        if groups:
            is_lost = numpy.minimum.reduceat(encoded.answer_tokens, firsts) == 0
            is_masked = ~is_lost & ~numpy.logical_or.reduceat(is_learned, firsts)
            is_single = ~is_lost & (sizes < 2)
            highest, lowest = numpy.maximum.reduceat(scores, firsts), numpy.minimum.reduceat(scores, firsts)
            is_equal = ~is_lost & ~is_single & (highest == lowest)
        kept = numpy.flatnonzero(~(is_lost | is_single | is_equal | is_masked))
        account = {
            "groups": len(kept),
            "dropped_groups": int(is_lost.sum()),
            **dropping.by_reason(reasons),
            "single_sample_groups": int(is_single.sum()),
            "equal_score_groups": int(is_equal.sum()),
            "truncated_rows": int(encoded.truncated.sum()),
            **({"masked_groups": int(is_masked.sum())} if is_masked.any() else {}),
            **({dropping.UNENDED: cut} if cut else {}),
            **({f"{WORDS[overlong.does]}_rows": cut} if cut and overlong.does != "keep" else {}),
            **dropping.unlike_account(encoded.unlike),
        }
        if not len(kept):
            raise DataError(
                f"{where}: no group of {len(groups)} can teach trainer '{name}' anything: {account['dropped_groups']} groups "
                f"have a sample that is dropped{_why(reasons)}, {account['single_sample_groups']} groups have one sample, "
                f"{account['equal_score_groups']} have equal scores{_all_cut(int(is_masked.sum()), cut, overlong)}; sample more answers "
                "to a prompt, at a temperature of 1"
            )
        prompts = [groups[place][0].prompt for place in kept]
        return cls(encoded, scores, is_learned, encoder.pad_id, firsts[kept], sizes[kept], prompts, account)

    @property
    def lengths(self) -> Ints:
        """Tokens that each group takes in a forward pass, all its samples as long as the longest."""
        lengths = self.encoded.lengths
        longest = [
            int(lengths[first : first + size].max()) for first, size in zip(self.firsts, self.sizes, strict=True)
        ]
        return self.sizes * numpy.array(longest, dtype=numpy.int64)

    @property
    def answer_tokens(self) -> Ints:
        """Tokens of all samples of each group."""
        ends = numpy.concatenate([[0], numpy.cumsum(self.encoded.answer_tokens)])
        tokens: Ints = ends[self.firsts + self.sizes] - ends[self.firsts]
        return tokens

    def rows_of(self, groups: Ints) -> Ints:
        """Name the rows of some groups, group by group."""
        sizes = self.sizes[groups]
        within = numpy.arange(int(sizes.sum())) - numpy.repeat(numpy.cumsum(sizes) - sizes, sizes)
        rows: Ints = numpy.repeat(self.firsts[groups], sizes) + within
        return rows


WORDS = {"mask": "masked_as_cut", "drop": "left_out_as_cut", "punish": "punished_as_cut"}
"""What is said of samples that were cut, by what became of them."""


def _why(reasons: dropping.Reasons) -> str:
    """Say why samples are dropped, with how many."""
    counts = dropping.by_reason(reasons)
    said = [f"{name.partition('/')[2]}: {count}" for name, count in counts.items()]
    return f" ({', '.join(said)})" if said else ""


def _all_cut(groups: int, samples: int, overlong: Overlong) -> str:
    if overlong.does == "drop" and samples:
        return f", {samples} samples were cut and are left out (overlong: drop)"
    return f", {groups} have none that was not cut (overlong: mask); raise sampling.max_tokens" if groups else ""


def _check(rows: Sequence[Demonstration], groups: Sequence[Sequence[Demonstration]], where: Path) -> None:
    for row in rows:
        if row.score is None or not math.isfinite(row.score):
            raise DataError(
                f"{where}: an answer to '{row.prompt.id}' has the score {row.score}; expected a finite number for each "
                "sample, as an arbiter gives it"
            )
    seen: set[str] = set()
    for group in groups:
        if group[0].prompt.id in seen:
            raise DataError(
                f"{where}: samples of '{group[0].prompt.id}' are in two places; expected those of a prompt one after the other"
            )
        seen.add(group[0].prompt.id)


@dataclass(frozen=True)
class PolicyGradientTrainer:
    """See the strategy `policy-gradient`."""

    settings: LoopSettings
    overlong: Overlong = KEEP

    @told_what_to_lower("policy-gradient")
    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Train on `job.rows` from `job.start`, which drew the samples, against `job.reference` or else the start."""
        start = start_of(job, "policy-gradient")
        if job.objective is None:
            raise AyaError(
                "trainer 'policy-gradient' needs an objective; set `objective:` of the stage, such as {use: rloo}"
            )
        encoder = encoder_of(start, self.settings)
        say_template(encoder)
        check_reference(encoder, replace(job, needs_reference=True))  # the start is the sampler
        accelerator = start_accelerator(self.settings)

        def score(groups: EncodedGroups, where: Path) -> Reference:
            check_vocabulary(where, encoder.tokenizer, groups.encoded, groups.pad_id)
            if where != start:
                check_same_tokens(where, encoder.tokenizer, groups.encoded)
            rows = groups.rows_of(numpy.arange(len(groups.firsts)))
            return reference_logps(job, where, groups.encoded, groups.pad_id, accelerator, self.settings, rows=rows)

        def make(rows: Sequence[Demonstration], where: Path) -> PolicyGradientTask:
            groups = EncodedGroups.of(encoder, rows, where, "policy-gradient", self.overlong)
            sampled = reference = score(groups, start)
            if job.needs_reference and job.reference not in (None, start):
                reference = score(groups, job.reference)
            return PolicyGradientTask(groups, cast(GroupObjective, job.objective), sampled, reference)

        tasks = make_tasks(job, read_parts(job, Demonstration, self.settings), make)
        model = load_causal_lm(start, dtype=torch.float32)
        begin_chat(model, encoder, self.settings)
        module = AnswerLogps(model)
        measures = run(accelerator, job, self.settings, tasks, module, encoder.tokenizer)
        return {**measures, **template_account(encoder)}

    def show(self, job: TrainingJob) -> Iterator[TokenizedRow]:
        """Show the samples of each prompt."""
        encoder = encoder_of(start_of(job, "policy-gradient"), self.settings)
        return show_demonstrations(encoder, read_rows(job.rows, Demonstration))


@dataclass(frozen=True)
class PolicyGradientTask:
    """The mean of an objective's losses over the samples of a step. A row of it is a group.

    sampled, reference: log-probabilities of all samples under the model that drew them, and under the reference.
    """

    groups: EncodedGroups
    objective: GroupObjective
    sampled: Reference
    reference: Reference
    name: str = "policy-gradient"

    def account(self) -> Mapping[str, float]:
        """See `CountedTask`."""
        return self.groups.account

    @property
    def lengths(self) -> Ints:
        """See `Task`."""
        return self.groups.lengths

    @property
    def answer_tokens(self) -> Ints:
        """See `Task`."""
        return self.groups.answer_tokens

    @property
    def prompts(self) -> Sequence[Prompt]:
        """See `Task`."""
        return self.groups.prompts

    def loss(self, module: Any, rows: Ints, step_rows: Ints) -> Mapping[str, Tensor]:
        """Give the share of some groups."""
        groups, device = self.groups, next(module.parameters()).device
        places, step_places = groups.rows_of(rows), groups.rows_of(step_rows)
        logps = module(collate(groups.encoded, places, groups.pad_id, device))
        tokens = torch.from_numpy(groups.encoded.answer_tokens[places]).to(device)
        scores = torch.from_numpy(groups.scores[places]).to(device)
        found = self.objective(
            GroupLogps(
                logps=logps,
                sampled_logps=torch.from_numpy(self.sampled.tokens(places)).to(device),
                reference_logps=torch.from_numpy(self.reference.tokens(places)).to(device),
                tokens=tokens,
                scores=scores,
                groups=torch.from_numpy(numpy.repeat(numpy.arange(len(rows)), groups.sizes[rows])).to(device),
            )
        )
        deviation = groups.scores[step_places].std(ddof=1)  # of the whole step: each pass reports its share of it
        sums = {
            "loss": found.losses * torch.from_numpy(groups.is_learned[places]).to(device),
            "reward": scores,
            "reward_std": torch.full_like(scores, float(deviation)),
            "advantages/abs_mean": found.advantages.abs(),
            "completions/mean_length": tokens.float(),
        }
        if found.clip_ratio is not None:
            sums["clip_ratio/region_mean"] = found.clip_ratio
        shares = {name: values.sum() / len(step_places) for name, values in sums.items()}
        shares["kl"] = found.kl.sum() / int(groups.encoded.answer_tokens[step_places].sum())
        return shares

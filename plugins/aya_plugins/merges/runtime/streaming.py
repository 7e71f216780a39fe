"""Lift merges of one tensor to merges of checkpoints: stream, account for every tensor, round once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.api import AyaError, LoraJob, MergeInput, MergeJob, PieceMerge, TensorMerge, Vocabulary, WholeModelMerge
from aya_plugins.merges.configs.comparison import check_configs
from aya_plugins.merges.configs.meaning import ties
from aya_plugins.merges.files.checkpoint import read_json
from aya_plugins.merges.runtime.ahead import digests_ahead
from aya_plugins.merges.runtime.inputs import Inputs, with_base
from aya_plugins.merges.runtime.output import check_space, open_output, unhashed
from aya_plugins.merges.runtime.planning import plan_merge
from aya_plugins.merges.runtime.shards import is_full, no_space
from aya_plugins.merges.runtime.workers import Task, work
from aya_plugins.merges.tokens.chat_template import choose_chat_template
from aya_plugins.merges.tokens.same_vocabulary import check_same
from aya_plugins.merges.tokens.vocabulary import plan_vocabulary


class _Configured(NamedTuple):
    """A model whose weights are not there yet."""

    name: str
    folder: Path
    config: Mapping[str, Any]


class StreamingMerge:
    """Merges whole checkpoints with merges of one tensor.

    A tensor is read in pieces of some 65,000 values, merged in float32, in as many processes
    as there are cores, and rounded once to the dtype it is stored in: that of `job.dtype`, or that which the same tensor has in
    the base, or in the first model where there is no base. Several jobs go through the tensors together, so that each is read
    once for all of them. Memory holds a piece per process, and does not grow with the model; a merge that takes whole
    tensors (`TensorMerge`) holds one of them in every model.

    The merged checkpoint has the tensors, config, tokenizer and chat template of the base, or of the first model; all others
    must have the same tensors. A tensor that some models leave out because it is tied (`lm_head.weight` as a copy of the
    embedding) is not a difference. Integer tensors must be equal and are copied. No architecture is known by name.

    The files written depend on the weights, the settings and the seed; not on processes, shards or paths. A shard that is
    whole is kept in `job.scratch`, so that a merge that was killed goes on after it.
    """

    def merge(
        self, jobs: Sequence[tuple[TensorMerge | PieceMerge | WholeModelMerge, MergeJob]]
    ) -> list[Mapping[str, Any]]:
        """Write the merged checkpoints and return the accounts. Raises AyaError where that cannot be done."""
        if not jobs:
            return []
        try:
            return self._merge(jobs)
        except OSError as error:
            if is_full(error):
                raise no_space(jobs[0][1].scratch or jobs[0][1].out, 1 << 16) from error
            raise

    def _merge(
        self, jobs: Sequence[tuple[TensorMerge | PieceMerge | WholeModelMerge, MergeJob]]
    ) -> list[Mapping[str, Any]]:
        inputs = Inputs()
        outputs = [open_output(merge, job, inputs) for merge, job in jobs]
        check_space(outputs)
        resources = jobs[0][1].resources
        tensors = unhashed(outputs, inputs)
        with digests_ahead([input.checkpoint.source(name) for input, name in tensors]) as digests:
            import torch

            from aya_plugins.merges.runtime.run import MergeRun
        check_device(resources.device)
        for (input, name), digest in zip(tensors, digests, strict=False):
            inputs.remember(input, {name: digest})
        run = MergeRun(outputs, inputs, resources.device)
        run.survey_models()
        steps = [*run.tensors(), *run.unread()]
        try:
            work(
                [Task(step.memory, step.run) for step in steps],
                # One process talks to a GPU.
                processes=1 if resources.device != "cpu" else resources.threads or torch.get_num_threads(),
                memory=resources.memory * 2**20,
                begin=lambda number: steps[number].begin(),
                done=lambda number, digests: run.done(steps[number], digests),
            )
        except BaseException:
            for output in outputs:
                output.shards.abandon()
            raise
        return [output.finish(inputs) for output in outputs]

    def extract(self, job: LoraJob) -> Mapping[str, Any]:
        """Make a LoRA adapter of the difference between a model and its base: see `extract_lora`."""
        from aya_plugins.merges.adapters.extract import extract_lora

        check_device(job.device)
        inputs = Inputs()
        base, model = inputs.open(job.base), inputs.open(job.model)
        plan = plan_merge(base, [model, base], None, plan_vocabulary([model, base], 1, Vocabulary()), None)
        pairs = {
            line.name: (model.source(str(line.inputs[0])), base.source(str(line.inputs[1]))) for line in plan.lines
        }
        return extract_lora(pairs, job, tied=plan.tied, ties_head=ties(base.config), notes=plan.notes)

    def foresee(
        self, models: Sequence[MergeInput], vocabulary: Vocabulary, allow: Sequence[str], chat_template: str | None
    ) -> None:
        """Look at the chat template, at the configurations of models, and at their tokenizers where they are to have the same.
        Raises AyaError."""
        if chat_template is not None:
            choose_chat_template(chat_template, [])
        if len({model.folder for model in models}) < 2:
            return
        read = [_Configured(model.name, model.folder, read_json(model.folder / "config.json")) for model in models]
        if vocabulary.source == "same":
            check_same(read, 0)
        check_configs(read[0], read, allow=allow)

    def check(self, models: Sequence[MergeInput], lines: Path, per_language: int, device: str) -> Mapping[str, Any]:
        """Load models, the merged one first, and score the same lines with each: see `compare_perplexity`."""
        from aya_plugins.merges.runtime.perplexity import checked

        check_device(device)
        return checked([with_base(model) for model in models], lines, per_language, device)


def check_device(device: str) -> None:
    """Raise AyaError for a device that torch does not know, or cannot compute on here."""
    import torch

    try:
        torch.ones(1, device=device).add(1).item()
    except Exception as error:  # of as many kinds as there are devices
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AyaError(
            f"device '{device}': torch cannot compute there ({why}); expected cpu, or cuda or cuda:1 where there is such a GPU"
        ) from None

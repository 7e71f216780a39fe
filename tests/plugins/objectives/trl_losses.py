"""TRL's own code, run on given log-probabilities: stand-in models give them, and everything after that is TRL's."""

from types import SimpleNamespace

import torch
from torch.nn.functional import pad


class Recorded(dict):
    """Metrics by name, as TRL appends to them."""

    def __missing__(self, key):
        self[key] = []
        return self[key]


def accelerator():
    return SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)


def spread(logps, tokens):
    """Give each answer's tokens an equal share, (answers, longest), and where there are tokens."""
    mask = torch.arange(int(tokens.max())) < tokens[:, None]
    return logps[:, None] * mask / tokens[:, None], mask


def fused_answer(logps, tokens):
    """Give what TRL's fused head says of answers after a prompt of one token, and the inputs it is asked with."""
    table, mask = spread(logps, tokens)
    zeros = torch.zeros_like(table)
    answer = SimpleNamespace(log_probs=table, entropy=zeros, mean_logits=zeros, is_top1=mask)
    completion = pad(mask.long(), (1, 0))
    attention = pad(mask.long(), (1, 0), value=1)
    return answer, {"input_ids": completion, "attention_mask": attention, "completion_mask": completion}


def dpo_trainer_loss(pairs, loss_type, beta, label_smoothing=0.0):
    """The loss of `DPOTrainer`, and the metrics it logs."""
    from trl.trainer.dpo_trainer import DPOTrainer

    answer, inputs = fused_answer(
        torch.cat([pairs.chosen, pairs.rejected]), torch.cat([pairs.chosen_tokens, pairs.rejected_tokens])
    )
    recorded = Recorded()
    trainer = SimpleNamespace(
        model=torch.nn.Linear(1, 1), accelerator=accelerator(), aux_loss_enabled=False, ld_alpha=None, beta=beta,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=[loss_type], loss_weights=[1.0],
        use_weighting=False, label_smoothing=label_smoothing, _metrics={"train": recorded}, _total_train_tokens=0,
        _tp_size=1,
    )  # fmt: skip
    inputs |= {"ref_chosen_logps": pairs.reference_chosen, "ref_rejected_logps": pairs.reference_rejected}
    loss = DPOTrainer._compute_loss(trainer, lambda **_: answer, inputs, return_outputs=False)
    return loss, {name: values[-1] for name, values in recorded.items()}


def kto_trainer_loss(pairs, beta):
    """The loss of `KTOTrainer`, run on the chosen and on the rejected answers, each with the other half for its divergence."""
    from trl.trainer.kto_trainer import KTOTrainer

    halves = [
        (pairs.chosen, pairs.reference_chosen, pairs.chosen_tokens),
        (pairs.rejected, pairs.reference_rejected, pairs.rejected_tokens),
    ]
    losses, recorded = [], Recorded()
    for label, own, other in ((True, *halves), (False, *halves[::-1])):
        answer, inputs = fused_answer(own[0], own[2])
        trainer = SimpleNamespace(
            model=torch.nn.Linear(1, 1), accelerator=accelerator(), aux_loss_enabled=False, precompute_ref_logps=True,
            calculate_KL=True, loss_type="kto", beta=beta, desirable_weight=1.0, undesirable_weight=1.0,
            _metrics={"train": recorded}, _total_train_tokens=0, _tp_size=1,
            _compute_kl_logps=lambda model, batch, other=other: other[0],
        )  # fmt: skip
        inputs |= {"label": torch.full((len(own[0]),), label), "ref_logps": own[1], "ref_KL_logps": other[1]}
        losses.append(
            KTOTrainer._compute_loss(trainer, lambda answer=answer, **_: answer, inputs, return_outputs=False)
        )
    return sum(losses) / 2, {name: values[-1] for name, values in recorded.items()}


def reference_free_loss(pairs, trainer_class, **settings):
    """The loss of `CPOTrainer` or `ORPOTrainer`, and the metrics it logs, over a model of two tokens.

    The answers' tokens are all the first of the two, so that their logits follow from their log-probabilities.
    """
    inputs, tables = {}, {}
    for side, logps, tokens in (
        ("chosen", pairs.chosen, pairs.chosen_tokens),
        ("rejected", pairs.rejected, pairs.rejected_tokens),
    ):
        tables[side], mask = spread(logps, tokens)
        attention = pad(mask.long(), (1, 0), value=1)
        inputs |= {
            f"{side}_input_ids": 1 - attention, f"{side}_attention_mask": attention,
            f"{side}_labels": torch.where(pad(mask, (1, 0)), 0, -100),
        }  # fmt: skip
    width = max(table.shape[1] for table in tables.values())
    table = torch.cat([pad(table, (0, width - table.shape[1])) for table in tables.values()])
    likely = torch.where(table < 0, table, -1.0)  # padding has no part in the loss
    logits = pad(torch.stack([likely, torch.log(-torch.expm1(likely))], dim=-1), (0, 0, 0, 1))
    trainer = SimpleNamespace(
        accelerator=accelerator(), aux_loss_enabled=False, is_encoder_decoder=False, pad_token_id=1, padding_value=1,
        label_smoothing=0.0, alpha=0.0, **settings,
    )  # fmt: skip
    for name in ("concatenated_inputs", "concatenated_forward", "get_batch_logps", "cpo_loss", "odds_ratio_loss"):
        method = trainer_class.__dict__.get(name)
        if method is not None:
            setattr(trainer, name, method.__get__(trainer, trainer_class))
    return trainer_class.get_batch_loss_metrics(trainer, lambda *_, **__: SimpleNamespace(logits=logits), inputs)


class GroupTrainer:
    """A real trainer of TRL's for groups, which is told what was sampled, its scores and all log-probabilities."""

    def __init__(self, trainer_class, config_class, model, folder, **settings):
        from datasets import Dataset

        config = config_class(
            output_dir=str(folder), report_to=[], use_cpu=True, bf16=False, per_device_train_batch_size=2, num_generations=2,
            beta=0.1, **settings,
        )  # fmt: skip
        self.trainer = trainer_class(
            model=model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=config,
            train_dataset=Dataset.from_list([{"prompt": "?"}] * 2),
        )  # fmt: skip
        self.trainer.model.train()
        self.trainer.current_gradient_accumulation_steps = 1
        self.trainer.num_iterations = 2  # so that what was sampled is not taken for what the policy says

    def loss(self, groups, size, **settings):
        """Give the loss of groups of one size, its metrics, and the advantages."""
        trainer = self.trainer
        for name, value in settings.items():
            holder = trainer if hasattr(trainer, name) else trainer.args
            assert hasattr(holder, name)
            setattr(holder, name, value)
        trainer.num_generations = size
        answers = [[3] * int(count) for count in groups.tokens]
        sampled = [[4]] * len(answers), answers
        rest = (["!"] * len(answers),)
        if type(trainer).__name__ == "GRPOTrainer":
            rest = (None, *rest, None, {}, None, None)
        trainer._generate = lambda prompts: (*sampled, *rest)
        trainer._calculate_rewards = lambda *_: groups.scores[:, None]

        def logps(model, ids, *_, **__):
            if model is trainer.ref_model:
                table = groups.reference_logps
            else:
                table = groups.logps if torch.is_grad_enabled() else groups.sampled_logps
            return table, torch.zeros_like(table), None

        trainer._get_per_token_logps_and_entropies = logps
        trainer._metrics["train"].clear()
        inputs = trainer._generate_and_score_completions([{"prompt": "?"}] * len(answers))
        loss = trainer.compute_loss(trainer.model, inputs)
        return loss, {name: values[-1] for name, values in trainer._metrics["train"].items()}, inputs["advantages"]

"""The settings of config.json that may differ between models that are merged, and why.

A setting that is not here counts: models that differ in it are refused, unless it is allowed by name. So a setting that a new
architecture brings is refused until somebody has thought about it. Settings that the code of the architecture does not read at
all (`Meaning.reads`) need no line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

FREE: dict[str, tuple[str, ...]] = {
    "where the checkpoint comes from and how it is stored": (
        "_name_or_path", "name_or_path", "_commit_hash", "architectures", "auto_map", "transformers_version", "dtype",
        "torch_dtype", "params_dtype", "*_version", "unsloth_*", "axolotl_*", "trl_*", "peft_*", "finetuning_task",
    ),
    "in training alone: no part of a forward pass in evaluation": (
        "*dropout*", "*_pdrop", "*layerdrop", "layer_drop", "drop_path_rate", "*drop_rate", "*jitter*", "initializer_*",
        "*_initializer_range", "init_std", "init_xavier_std", "init_method*", "init_device", "rescale_prenorm_residual",
        "gradient_checkpointing", "*_loss", "*_loss_coef", "*_loss_coefficient",
        "*_loss_weight", "aux_loss_*", "*_aux_loss*", "router_z_loss_coef", "seq_aux", "label_smoothing", "label_smoothing_factor",
        "loss_reduction", "ctc_*", "apply_spec_augment", "mask_time_prob", "mask_time_length",
        "mask_time_min_masks", "mask_feature_prob", "mask_feature_length", "mask_feature_min_masks", "neftune_noise_alpha", "use_lora*",
        "freeze_*", "ignore_index", "keys_to_ignore_at_inference",
    ),
    "what a forward pass returns or keeps, and how it is computed": (
        "output_attentions", "output_hidden_states", "output_router_logits", "output_scores", "output_past", "return_dict*",
        "use_return_dict", "use_cache", "cache_implementation", "num_logits_to_keep", "chunk_size_feed_forward", "pretraining_tp",
        "*attn_implementation*", "*experts_implementation*", "attn_impl", "use_flash_attn*", "use_flash_attention*", "flash_attn*",
        "_flash_attn*", "torchscript", "use_bfloat16", "fp16", "bf16", "fp32", "tf_legacy_loss", "pruned_heads", "use_mamba_kernels",
        "use_mambapy", "use_kernel*", "use_fused*", "fuse_*", "use_triton*", "disable_custom_kernels", "onnx_export",
        "tensor_parallel_size", "pipeline_parallel_size", "model_parallel_size", "base_model_*_plan",
    ),
    "how text is generated, which generation_config.json says": (
        "max_length", "max_new_tokens", "min_length", "min_new_tokens", "do_sample", "early_stopping", "num_beams",
        "num_beam_groups", "diversity_penalty", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty",
        "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences",
        "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
        "forced_decoder_ids", "prefix", "task_specific_params", "generation_config", "max_batch_size",
    ),
    "ids of tokens, which the tokenizer and its check decide": ("*_token_id", "*_token_ids", "*_token_index", "*_tokens_ids"),
    "how far positions go, where nothing is computed from it": (
        "max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len", "max_seq_length", "seq_length",
        "seq_len", "model_max_length", "original_max_position_embeddings",
    ),
    "whether the head is a copy of the embeddings, which is told from the tensors": ("tie_word_embeddings", "tie_encoder_decoder"),
    "names of labels, where no model has a head of labels": ("id2label", "label2id", "num_labels", "problem_type"),
    "how many rows the vocabulary has, which is checked with the tokenizers": ("vocab_size",),
}  # fmt: skip
"""Patterns of names by the reason why they may differ. Some are free under a condition, see `comparison.py`."""

COUNTS = frozenset({
    "token_dropout",  # scales embeddings in evaluation, too
    "speech_decoder_prenet_dropout",  # always on
    "quantization_config", "compression_config", "per_layer_config",  # transformers reads them for every architecture
})  # fmt: skip
"""Settings that count though a pattern above would let them pass, or no code of the architecture itself reads them."""

POSITIONS = FREE["how far positions go, where nothing is computed from it"]
LABELS = FREE["names of labels, where no model has a head of labels"]

THROUGH_LAYER_TYPES = frozenset({
    "max_window_layers", "use_sliding_window", "sliding_window_pattern", "_sliding_window_pattern", "full_attention_interval",
})  # fmt: skip
"""Settings that say which layers see a window; where both models list `layer_types`, these say the same."""

UNTOLD = frozenset({
    "_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "dtype", "torch_dtype", "architectures",
    "vocab_size", "tie_word_embeddings",
})  # fmt: skip
"""Free settings whose difference is no news: they differ between most models, or are told elsewhere."""


def why_free(path: str) -> str | None:
    """Say why a setting may differ; None where it counts. path: `hidden_act`, or `text_config.hidden_act` of a nested one.

    A dictionary that is free makes all that is in it free.
    """
    return next((reason for part in path.split(".") for reason in _reasons(part)), None)


def _reasons(name: str) -> Iterator[str]:
    if name not in COUNTS:
        for reason, patterns in FREE.items():
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                yield reason

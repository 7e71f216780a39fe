"""What making a fresh model runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GenerationConfig

from aya_core.api import (
    AyaError,
    Demonstration,
    ExampleRow,
    Preference,
    Prompt,
    Settings,
    TrainingJob,
    did_you_mean,
    read_rows,
)
from aya_plugins.modeling.checkpoint import save_checkpoint
from aya_plugins.modeling.tokenizers import make_tokenizer
from aya_plugins.trainers.runtime.finish import model_card

FROM_TOKENIZER = ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")


@dataclass(frozen=True)
class InitializeTrainer:
    """See the strategy `initialize`."""

    config: Mapping[str, Any]
    tokenizer: Literal["words", "bpe"]
    vocab_size: int | None
    settings: Settings
    """All of them, for the model card."""

    def train(self, job: TrainingJob) -> Mapping[str, float]:
        """Make the checkpoint; `job.start` is not read."""
        check_configuration(self.config)
        texts, languages = read_texts(job.rows)
        tokenizer = make_tokenizer(self.tokenizer, self.vocab_size, texts)
        ids = {
            "vocab_size": len(tokenizer),
            **{name: getattr(tokenizer, name) for name in FROM_TOKENIZER[1:]},
        }
        config = configuration(self.config, ids)
        torch.manual_seed(job.seed)
        try:
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        except ValueError as error:
            raise AyaError(f"trainer 'initialize': {str(error).splitlines()[0]}") from error
        model.generation_config = GenerationConfig(**{name: ids[name] for name in FROM_TOKENIZER[1:]})
        account = {"parameters": model.num_parameters(), "vocabulary": len(tokenizer)}
        card = model_card(
            "initialize",
            self.settings,
            base=(),
            languages=languages,
            account=account,
            rows=len(texts),
            seed=job.seed,
        )
        save_checkpoint(model, model.state_dict(), tokenizer, job.out, card=card, dtype=None)
        return account


def check_configuration(config: Mapping[str, Any]) -> None:
    """Refuse what the configuration class of the model type does not know."""
    where = "trainer 'initialize': config"
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise AyaError(f"{where}: 'model_type' is missing; expected the name of a transformers family, such as cohere")
    if model_type not in CONFIG_MAPPING:
        raise AyaError(
            f"{where}: transformers has no model_type '{model_type}'; {did_you_mean(model_type, CONFIG_MAPPING.keys())}"
        )
    known = {field.name for field in fields(CONFIG_MAPPING[model_type])} - {"model_type"}
    for key in config:
        if key in FROM_TOKENIZER:
            raise AyaError(f"{where}: '{key}' comes from the tokenizer; remove it, or set tokenizer.vocab_size")
        if key not in known and key != "model_type":
            raise AyaError(f"{where}: {model_type} has no '{key}'; {did_you_mean(key, known)}")


def configuration(config: Mapping[str, Any], ids: Mapping[str, int]) -> Any:
    """Make the configuration object. Raises AyaError for values that the class refuses."""
    settings = {key: value for key, value in config.items() if key != "model_type"}
    try:
        return CONFIG_MAPPING[config["model_type"]](**settings, **ids)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise AyaError(f"trainer 'initialize': config: {' '.join(str(error).split())}") from error


def read_texts(folder: Path) -> tuple[list[str], set[str]]:
    """Read every text of any kind of rows, and their languages."""
    shards = sorted(folder.glob("*.parquet"))
    columns = set(pyarrow.parquet.read_schema(shards[0]).names) if shards else set()
    texts: list[str] = []
    languages: set[str] = set()
    rows: Iterator[ExampleRow]
    if "chosen" in columns:
        rows = read_rows(folder, Preference)
    elif "completion" in columns:
        rows = read_rows(folder, Demonstration)
    else:
        rows = read_rows(folder, Prompt)
    for row in rows:
        prompt = row if isinstance(row, Prompt) else row.prompt
        languages.add(prompt.language)
        texts.extend(message["content"] for message in prompt.messages)
        if isinstance(row, Demonstration):
            texts.append(row.completion)
        if isinstance(row, Preference):
            texts.extend(text for text in (row.chosen, row.rejected) if text is not None)
    return texts, languages

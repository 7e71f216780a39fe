"""Which COMET checkpoint scores translations, and how it is run."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import model_validator

from aya_core.api import Field, LocalFile, Settings

Precision = Literal["float32", "float16", "bfloat16"]


class Comet(Settings):
    """A COMET checkpoint: at a pinned commit of the hub, or in a local folder.

    Unbabel/XCOMET-XL and -XXL are gated, and licensed CC-BY-NC-SA-4.0: accept the terms on their page and set HF_TOKEN.
    """

    metric: Literal["xcomet", "comet"] = Field(
        "xcomet", description="What the checkpoint computes: `xcomet`, or `comet` as wmt22-comet-da does."
    )
    name: str | None = Field(None, description="Id of a checkpoint on the hub, such as Unbabel/XCOMET-XL.")
    revision: str | None = Field(
        None, description="Commit of the checkpoint, 40 hexadecimal digits; required with a name."
    )
    path: LocalFile | None = Field(
        None, description="Local folder with hparams.yaml and checkpoints/model.ckpt, in place of a name."
    )
    encoder_revision: str | None = Field(
        None,
        description="Commit of the encoder that the checkpoint names on the hub, from where its tokenizer and config are taken.",
    )
    encoder: LocalFile | None = Field(
        None, description="Local folder with tokenizer and config of the encoder, in place of an `encoder_revision`."
    )
    precision: Precision = Field("float32", description="Of the weights. The command comet-score uses float16.")
    batch_tokens: int = Field(
        8192, ge=1, description="Tokens in a batch, padding included. Scores do not depend on it, but for rounding."
    )
    python: str | None = Field(
        None,
        min_length=1,
        description="Interpreter of an environment with unbabel-comet that you made; None makes one on first use.",
    )

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        _one_of("checkpoint", "name", self.name, "path", self.path)
        _one_of("encoder", "encoder_revision", self.encoder_revision, "encoder", self.encoder)
        if (self.name is None) != (self.revision is None):
            raise ValueError("a name on the hub needs a revision, and a local folder has none; its content counts")
        for revision in (self.revision, self.encoder_revision):
            if revision is not None and not re.fullmatch(r"[0-9a-f]{40}", revision):
                raise ValueError(
                    f"expected a revision of 40 hexadecimal digits, found '{revision}'; a branch or tag may move. The page of a "
                    "model on the hub lists them under 'History'"
                )
        return self


def _one_of(what: str, name: str, given: str | None, path: str, local: str | None) -> None:
    if (given is None) == (local is None):
        raise ValueError(f"{what}: expected either `{name}` (from the hub) or `{path}` (a local folder)")

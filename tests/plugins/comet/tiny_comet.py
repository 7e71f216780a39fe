"""Run inside COMET's environment: makes tiny checkpoints of its architectures, and scores rows with comet-score itself.

    python tiny_comet.py FOLDER

FOLDER/rows.json holds [[source, hypothesis, reference], ...]. Made are FOLDER/encoder, FOLDER/xcomet, FOLDER/comet (which
name their encoder by its folder, as comet-score needs it) and FOLDER/published (xcomet, which names it by an id of the hub),
and FOLDER/scores.json: lists of scores by checkpoint and precision.
"""

import json
import sys
from pathlib import Path

import pytorch_lightning
import torch
import yaml
from comet.cli import score as comet_score
from comet.models import CometModel, RegressionMetric, XCOMETMetric
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import XLMRobertaConfig, XLMRobertaTokenizerFast

HEADS = {"hidden_sizes": [24, 12], "nr_frozen_epochs": 0, "load_pretrained_weights": False, "local_files_only": True}


def make_encoder(folder, texts):
    letters = sorted({letter for text in texts for letter in text if letter != " "})
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [(token, 0.0) for token in special] + [(token, -4.0) for token in ["▁", *letters]]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    XLMRobertaTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    XLMRobertaConfig(
        vocab_size=len(vocabulary) + 1, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=202, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1,
    ).save_pretrained(folder)  # fmt: skip


def save(model, folder, encoder):
    hparams = {**model.hparams, "pretrained_model": encoder}
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "hparams.yaml").write_text(
        yaml.safe_dump({key: hparams[key] for key in ("class_identifier", "pretrained_model")})
    )
    output = {"state_dict": model.state_dict(), "hyper_parameters": hparams}
    torch.save(
        {**output, "pytorch-lightning_version": pytorch_lightning.__version__}, folder / "checkpoints" / "model.ckpt"
    )


def command(folder, model, *options):
    """comet-score, as its script in the environment calls it."""
    out = folder / "comet-score.json"
    files = ["-s", folder / "source.txt", "-t", folder / "hypothesis.txt", "-r", folder / "reference.txt"]
    sys.argv = [
        "comet-score", *map(str, files), "--model", str(folder / model / "checkpoints" / "model.ckpt"),
        "--gpus", "0", "--quiet", "--to_json", str(out), *options,
    ]  # fmt: skip
    comet_score.score_command()
    (rows,) = json.loads(out.read_text()).values()
    return [row["COMET"] for row in rows]


def main(folder):
    rows = json.loads((folder / "rows.json").read_text())
    encoder = folder / "encoder"
    make_encoder(encoder, [text for row in rows for text in row])
    torch.manual_seed(7)
    xcomet = XCOMETMetric(encoder_model="XLM-RoBERTa", pretrained_model=str(encoder), word_layer=2, **HEADS)
    comet = RegressionMetric(encoder_model="XLM-RoBERTa", pretrained_model=str(encoder), **HEADS)
    comet.hparams["class_identifier"] = "regression_metric"
    for model in (xcomet, comet):
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.data.normal_(0, 0.8)
        last = model.estimator.ff[-1]  # scores within 0 and 1, for the most part
        last.weight.data.mul_(0.5)
        last.bias.data.fill_(0.5)
    save(xcomet, folder / "xcomet", str(encoder))
    save(xcomet, folder / "published", "facebook/xlm-roberta-xl")
    save(comet, folder / "comet", str(encoder))
    for name, texts in zip(("source", "hypothesis", "reference"), zip(*rows, strict=True), strict=True):
        (folder / f"{name}.txt").write_text("".join(f"{text}\n" for text in texts))
    # as it is, comet-score halves the weights; one row a batch has no padding, which moves halves
    scores = {"xcomet float16": command(folder, "xcomet", "--batch_size", "1")}
    CometModel.half = lambda model: model
    scores["xcomet float32"] = command(folder, "xcomet", "--batch_size", "4")
    scores["comet float32"] = command(folder, "comet", "--batch_size", "4")
    (folder / "scores.json").write_text(json.dumps(scores))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

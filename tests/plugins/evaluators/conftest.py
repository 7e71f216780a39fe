"""Fixtures of translation metrics."""

import io
import random

import pytest


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    """A small SentencePiece model, where sacrebleu looks for the one of FLORES-200."""
    import sentencepiece

    draw = random.Random(0)
    text = [" ".join(draw.choices(["katze", "hund", "maus", "läuft", "schläft", "猫が走る"], k=8)) for _ in range(300)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    folder = tmp_path_factory.mktemp("pieces") / "models"
    folder.mkdir()
    file = folder / "flores200sacrebleuspm"
    file.write_bytes(model.getvalue())
    return file

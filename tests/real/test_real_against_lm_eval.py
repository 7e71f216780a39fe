"""Log-likelihoods and texts of published models, beside lm-evaluation-harness 0.4.13's on the same checkpoint."""

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from aya_core.api import Completion, Continuation, Sampling, user_prompt
from aya_plugins.teachers.transformers import Transformers

FACTS = [
    ("en", "The sun rises in the", (" east.", " west.", " north, and it does so every single day of the year.")),
    ("it", "La pioggia ha bagnato la strada, perciò", (" la strada era scivolosa.", " il sole ha asciugato tutto.")),
    ("tr", "Çocuk çok yorgundu, bu yüzden", (" erken uyudu.", " bütün gece koştu.")),
    ("vi", "Trời mưa to nên", (" đường bị ngập.", " tôi quên mang giày đỏ.")),
    ("zh", "他忘了带雨伞，所以", ("被淋湿了。", "他买了一只猫。")),
    ("ar", "عاصمة فرنسا هي", (" باريس", " القاهرة", " مدينة صغيرة جدا في الجنوب")),
    ("hi", "भारत की राजधानी", (" दिल्ली है।", " पेरिस है।")),
    ("ja", "富士山は日本で一番", ("高い山です。", "長い川です。")),
    ("en", "Question: What is 2 + 2?\nA. 3\nB. 4\nC. 5\nD. 22\nAnswer:", (" A", " B", " C", " D")),
    ("el", "Η θάλασσα είναι", (" μπλε.", " τετράγωνη και πολύ μεγάλη.")),
]
"""Language, context, continuations."""

PROBLEMS = [
    ("en", "Question: Tom has 3 apples and buys 5 more. How many has he?\nStep-by-Step Answer:"),
    ("de", "Frage: Anna hat 12 Bälle und verliert 4. Wie viele hat sie?\nSchritt-für-Schritt-Antwort:"),
    ("es", "Pregunta: Un libro cuesta 7 euros. ¿Cuánto cuestan 3 libros?\nRespuesta paso a paso:"),
    ("fr", "Question : Il y a 20 élèves et 8 partent. Combien restent ?\nRéponse étape par étape :"),
    ("ja", "問題: 5個のりんごを2人に分けます。余りはいくつですか。\nステップごとの答え:"),
]
"""Language, and a problem as MGSM asks."""

TOKENS, STOP = 32, ("Question:", "\n\n")


@pytest.fixture(scope="module")
def harness(real):
    return HFLM(pretrained=str(real), device="cpu", dtype="float32", batch_size=1)


@pytest.fixture(scope="module")
def teacher(real):
    return Transformers(model=str(real), dtype="float32").build()


def test_log_likelihoods_are_the_harness(harness, teacher):
    pairs = [(context, continuation) for _, context, several in FACTS for continuation in several]
    theirs = harness.loglikelihood([Instance("loglikelihood", {}, pair, 0) for pair in pairs], disable_tqdm=True)
    ours = dict(teacher.continuations([Continuation(*pair) for pair in pairs]))
    assert len({round(nats, 3) for nats, _ in theirs}) == len(pairs)
    for place, (nats, _) in enumerate(theirs):
        assert ours[place].nats == pytest.approx(nats, abs=1e-3)


def test_texts_are_the_harness(harness, teacher):
    how = {"until": list(STOP), "max_gen_toks": TOKENS, "do_sample": False}
    asked = [Instance("generate_until", {}, (text, dict(how)), 0) for _, text in PROBLEMS]
    theirs = harness.generate_until(asked, disable_tqdm=True)
    prompts = [user_prompt(str(place), language, text) for place, (language, text) in enumerate(PROBLEMS)]
    sampling = Sampling(temperature=0, max_tokens=TOKENS, stop=STOP, prompting="text")
    ours = {one.prompt_id: one.text for one in teacher.answer(prompts, sampling, 0) if isinstance(one, Completion)}
    assert [ours[prompt.id] for prompt in prompts] == theirs

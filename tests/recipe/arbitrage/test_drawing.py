"""Draws by hash, caps, near-duplicates and sets on disk: laws over made-up rows."""

from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st

from aya_core.contract.id_set import IdSet
from aya_recipe.arbitrage.drawing import Caps, Draw, quotas
from aya_recipe.arbitrage.near_duplicates import MOST_ALIKE, NearDuplicates, similarity

IDS = st.lists(st.text(max_size=6), unique=True, max_size=60)
TEXT = "Der schnelle braune Fuchs springt über den faulen Hund, und dann schläft er unter dem alten Baum ein."


def kept(draw, ids):
    for id in ids:
        draw.show(id)
    return [id for id in ids if draw.keeps(id)]


@given(IDS, st.integers(0, 70), st.integers(0, 3))
def test_a_draw_keeps_exactly_its_limit(ids, most, seed):
    assert len(kept(Draw(most, seed), ids)) == min(most, len(ids))


@given(IDS, st.integers(0, 60))
def test_a_larger_limit_keeps_what_a_smaller_one_kept(ids, most):
    assert set(kept(Draw(most, 0), ids)) <= set(kept(Draw(most + 1, 0), ids))


def test_a_draw_hardly_depends_on_order_and_favors_no_place():
    ids = [f"row {n}" for n in range(20_000)]
    one, other = set(kept(Draw(5000, 1), ids)), set(kept(Draw(5000, 1), ids[::-1]))
    assert len(one & other) >= 4990  # within the one bucket that the limit cuts, the first ones are kept
    assert 2350 <= sum(ids.index(id) < 10_000 for id in sorted(one)[:]) <= 2650
    assert one != set(kept(Draw(5000, 2), ids))


WINS = st.dictionaries(st.sampled_from("abcde"), st.integers(1, 200), min_size=1)


@given(WINS, st.floats(0.05, 1))
def test_no_teacher_has_more_than_its_share_and_nothing_is_cut_in_vain(wins, share):
    cut = quotas(wins, None, share)
    allowed = max(share, 1 / len(wins))
    assert all(cut[teacher] <= wins[teacher] for teacher in wins)
    assert max(cut.values()) <= allowed * sum(cut.values()) + len(wins)  # rounding down costs each up to one
    if max(wins.values()) <= allowed * sum(wins.values()):
        assert cut == wins
    untouched = [teacher for teacher in wins if cut[teacher] == wins[teacher]]
    highest = max(cut.values())
    assert all(cut[teacher] >= highest - 1 for teacher in wins if teacher not in untouched)


@given(WINS, st.integers(1, 300), st.one_of(st.none(), st.floats(0.2, 1)))
def test_a_language_has_at_most_its_cap(wins, most, share):
    cut = quotas(wins, most, share)
    assert sum(cut.values()) <= most
    total, allowed = sum(cut.values()), max(share or 1, 1 / len(wins))
    assert max(cut.values()) <= max(1, allowed * total + 1e-6)
    assert total >= min(most, sum(quotas(wins, None, share).values())) - (len(wins) if share else 0)
    assert all(cut[teacher] <= wins[teacher] for teacher in wins)


def test_a_cap_worked_by_hand():
    assert quotas({"a": 900, "b": 50, "c": 50}, None, 0.5) == {"a": 100, "b": 50, "c": 50}
    assert quotas({"a": 900, "b": 50, "c": 50}, 100, 0.5) == {"a": 50, "b": 25, "c": 25}
    assert quotas({"a": 900}, None, 0.5) == {"a": 900}
    assert sum(quotas({"a": 1, "b": 1}, 1, None).values()) == 1
    assert sum(quotas(dict.fromkeys("abcd", 10), 3, None).values()) == 3
    caps = Caps(None, 0.5, 0)
    rows = [("en", "a" if n < 900 else "bc"[n % 2], str(n)) for n in range(1000)]
    for row in rows:
        caps.show(*row)
    assert Counter(teacher for _, teacher, id in rows if caps.keeps("en", teacher, id)) == {"a": 100, "b": 50, "c": 50}


@given(st.text(), st.text())
@settings(max_examples=200)
def test_similarity_is_symmetric_within_bounds_and_whole_for_a_text_and_itself(one, other):
    assert similarity(one, other) == similarity(other, one)
    assert 0 <= similarity(one, other) <= 1
    assert (
        similarity(one, one) == similarity(one, f" {one.upper().lower()} \n") == 1
        or one.casefold() != one.upper().lower()
    )


def add(seen, group, text):
    is_new = not seen.has(group, text)
    if is_new:
        seen.remember(group, text)
    return is_new


def test_near_duplicates_are_found_within_a_language_only():
    seen = NearDuplicates(0.8)
    assert add(seen, "de", TEXT)
    assert not add(seen, "de", TEXT.upper() + "!!")
    assert not add(seen, "de", TEXT.replace("Hund", "Kater"))
    assert add(seen, "en", TEXT)
    assert add(seen, "de", TEXT[: len(TEXT) // 2])
    assert not add(seen, "de", TEXT)


def test_signs_count_in_short_problems():
    assert similarity("3 + 4 = ?", "3 - 4 = ?") < 0.8
    assert similarity("5", "-5") == 0


def test_a_template_before_every_prompt_hides_no_duplicate_and_costs_little():
    seen = NearDuplicates(0.9)
    head = "Translate the following sentence into German, keep its tone, and explain every idiom that you meet: "
    tails = [" ".join(f"word{(n * 31 + k * k * 17) % 997}" for k in range(12)) for n in range(300)]
    assert sum(add(seen, "en", head + tail) for tail in tails) == 300
    assert not any(add(seen, "en", head + tail.upper()) for tail in tails[::7])
    (most,) = seen._database.execute("SELECT max(n) FROM (SELECT count(*) AS n FROM bands GROUP BY band)").fetchone()
    assert most <= MOST_ALIKE  # candidates compared with each new text are bounded


@pytest.mark.parametrize("language", ["zh", "hi", "ar"])
def test_short_texts_of_any_script_are_no_duplicates_of_each_other(language):
    texts = {
        "zh": ["一年有几个月？", "一周有几天？"],
        "hi": ["एक दर्जन कितने?", "एक साल कितने दिन?"],
        "ar": ["كم يوما؟", "كم شهرا؟"],
    }
    seen = NearDuplicates(0.7)
    assert all(add(seen, language, text) for text in texts[language])
    assert not any(add(seen, language, text) for text in texts[language])


def test_alike_texts_are_seldom_missed():
    """Pairs alike by 0.8 or more, among 400 texts each with one word replaced."""
    words = [f"word{n * 7919 % 1000}" for n in range(40_000)]
    seen, missed, alike = NearDuplicates(0.8), 0, 0
    for n in range(400):
        text = words[n * 50 : n * 50 + 40]
        seen.remember("en", " ".join(text))
        changed = " ".join([*text[:20], "else", *text[21:]])
        if similarity(" ".join(text), changed) >= 0.8:
            alike += 1
            missed += not seen.has("en", changed)
    assert alike > 300
    assert missed <= 0.03 * alike


@given(st.lists(st.text()))
def test_a_set_on_disk_is_a_set(texts):
    seen = IdSet()
    assert [seen.add(text) for text in texts] == [text not in texts[:place] for place, text in enumerate(texts)]

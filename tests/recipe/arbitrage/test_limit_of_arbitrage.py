"""`aya arbitrate --limit`, and what of its output is a result."""

import json
from collections import Counter


def test_a_limit_asks_so_many_prompts_of_each_language_and_the_account_says_so(folder, aya):
    recipe = folder.path / "recipe.yaml"
    recipe.write_text(folder.write().read_text())
    done = aya("arbitrate", recipe, "--out", folder.out, "--limit", 2, check=0)
    asked = folder.notes("ana")
    assert Counter(int(id[2:]) % 3 for id in asked) == {0: 2, 1: 2, 2: 2}
    assert set(folder.notes("bo")) == set(asked)
    assert "made with a limit: 2 prompts of each language, drawn by hash" in done.stdout
    assert "Prompts were read so: prompt from 'prompt'." in done.stdout
    assert "6 of 24 prompts" in done.stderr
    assert "6 prompts" in done.stdout  # the results, and of the run's progress nothing
    assert "route" not in done.stdout
    again = aya("arbitrate", recipe, "--out", folder.out, "--limit", 4, "--json", "-q", check=0)
    assert json.loads(again.stdout)["prompts"] == 12
    more = folder.notes("ana")
    assert len(more) == 6  # those of the smaller limit are among these, and not asked again
    assert not set(more) & set(asked)

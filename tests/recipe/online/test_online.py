"""Online rounds on models that are one number: names, references, groups, guards, and where a guard ends the rounds."""

import json
import shutil
from itertools import groupby

import pytest
from places import SHARED

from aya_core.contract.artifacts import read_rows
from aya_core.contract.errors import RecipeError
from aya_core.contract.records import Completion, Demonstration, Judged, Preference, Prompt
from aya_core.planning.plan import make_plan
from aya_core.planning.recipe import load_recipe

GUARDS = {"per_language": 4, "n": 2, "language": {"use": "tongue"}}


class Rounds:
    """A folder with a recipe of one online stage, and its runs."""

    def __init__(self, folder, aya):
        self.folder, self.aya, self.out = folder, aya, folder / "out"
        for plugin in (SHARED / "talkers.py", SHARED / "longest_answer.py"):
            shutil.copy(plugin, folder)

    def write(self, *, stages=(), guards=None, **online):
        stage = {
            "name": "online", "do": "online", "start": "start", "prompts": {"use": "questions"}, "teacher": {"use": "talker"},
            "sampling": {"n": 4, "temperature": 1.0}, "arbiter": {"use": "longest"}, "data": "best",
            "trainer": {"use": "imitate"}, "guards": {**GUARDS, **guards} if isinstance(guards, dict) else guards, **online,
        }  # fmt: skip
        start = {"name": "start", "do": "train", "data": {"use": "questions"}, "trainer": {"use": "start"}}
        recipe = {
            "name": "rounds", "languages": ["en", "de"], "clusters": {"west": ["en"], "east": ["de"]}, "machine": {"jobs": 2},
            "plugins": ["talkers.py", "longest_answer.py"], "stages": [start, stage, *stages],
        }  # fmt: skip
        self.recipe = self.folder / "recipe.yaml"
        self.recipe.write_text(json.dumps(recipe))
        return self

    def plan(self):
        return make_plan(load_recipe(self.recipe))

    def run(self, *words, check=0):
        return self.aya("run", self.recipe, "--out", self.out, *words, check=check).stderr

    def manifest(self, node):
        (found,) = self.out.glob(f"artifacts/{node}/*/artifact.json")
        return json.loads(found.read_text())

    def rows(self, node, record):
        (payload,) = self.out.glob(f"artifacts/{node}/*/payload")
        return list(read_rows(payload, record))

    def words(self, node):
        return self.manifest(node)["measures"]["words"]

    def made(self):
        return {path.parent.name for path in self.out.glob("artifacts/*/*") if not path.name.endswith(".partial")}

    def report(self):
        return json.loads((self.out / "report.json").read_text())["sections"]["online"]["data"]


def command(aya_command):
    """The command `aya`, its exit code checked."""

    def run(*words, check):
        done = aya_command(*words, worker="light")
        assert done.returncode == check, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def rounds(tmp_path, aya_command):
    return Rounds(tmp_path, command(aya_command))


def refused(rounds, **changes):
    with pytest.raises(RecipeError) as caught:
        rounds.write(**changes).plan()
    return str(caught.value)


LATER = {
    "name": "later", "do": "train", "start": "online", "data": "online.3.best", "trainer": {"use": "imitate", "more": 100},
}  # fmt: skip


SCORES = {
    "name": "scores", "do": "evaluate", "models": ["start", "online.1", "online.2", "online.3"], "prompts": {"use": "questions"},
    "teacher": {"use": "talker"}, "greedy": False, "evaluators": {"count": {"use": "count"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def free(tmp_path_factory, aya_command):
    """A run that nothing ends, with a stage that reads its last round."""
    rounds = Rounds(tmp_path_factory.mktemp("free"), command(aya_command))
    rounds.write(guards={}, stages=[LATER])
    rounds.run("-q")
    return rounds


def test_guards_measure_the_start_and_every_round_on_the_same_prompts(free):
    measured = {n: free.manifest(f"online.{n}.guard")["measures"] for n in range(4)}
    assert [measures["stop"] for measures in measured.values()] == [None] * 4
    prompts = {row.id for row in free.rows("online.guard.prompts", Prompt)}
    assert sorted(id.split("/")[0] for id in prompts) == ["de"] * 4 + ["en"] * 4
    for round in range(4):
        asked = [row.prompt_id for row in free.rows(f"online.{round}.guard.answers", Completion)]
        assert set(asked) == prompts
        assert len(asked) == 2 * len(prompts)
    lengths = [measures["overall"]["characters"]["value"] for measures in measured.values()]
    assert lengths == sorted(set(lengths))
    assert "KL, nats per token" not in measured[0]["overall"]
    for round in (1, 2, 3):  # each round says two words more, and each word is worth a tenth of a nat
        for numbers in (measured[round]["overall"], *measured[round]["languages"].values()):
            assert numbers["KL, nats per token"]["value"] == pytest.approx(0.2 * round)
            assert numbers["KL, nats per answer"]["value"] == pytest.approx(0.2 * round * numbers["tokens"]["value"])
    assert measured[3]["languages"]["en"]["mismatch"]["value"] == 1
    assert measured[3]["languages"]["de"]["mismatch"]["value"] == 0
    assert measured[3]["overall"]["mismatch"]["value"] == 0.5
    assert measured[3]["languages"]["en"]["mismatch"]["n"] == 4
    words = {int(word[1:]) for row in free.rows("online.3.guard.answers", Completion) for word in row.text.split()}
    assert 0 < measured[3]["overall"]["distinct-1"]["value"] < len(words) / 80


def test_every_product_of_a_round_can_be_named(free):
    plan = free.plan()
    named = {f"online.{n}.{what}" for n in (1, 2, 3) for what in ("answers", "verdicts", "best", "pairs")}
    assert named | {"online", "online.1", "online.2", "online.3"} <= set(plan.names)
    asked = [{row.prompt_id for row in free.rows(f"online.{n}.answers", Completion)} for n in (1, 2, 3)]
    assert [len(ids) for ids in asked] == [16, 16, 16]
    assert len(set.union(*asked)) == 48
    best = {row.prompt.id: row.completion for row in free.rows("online.2.best", Demonstration)}
    replied = {(row.completion.prompt_id, row.completion.text) for row in free.rows("online.2.verdicts", Judged)}
    assert set(best.items()) <= replied
    assert {row.round for row in free.rows("online.2.pairs", Preference)} == {2}
    assert free.words("later") == 110  # from the model of the last round


def test_the_report_has_every_round(free):
    account = free.report()
    assert [row["round"] for row in account["rounds"]] == [1, 2, 3]
    assert [guard["round"] for guard in account["guards"]] == [0, 1, 2, 3]
    assert account["model"] == "online.3"
    assert account["ended"] is None
    scores = [row["mean_score"] for row in account["rounds"]]
    assert scores == sorted(set(scores))
    for row in account["rounds"]:
        assert row["scored"] == 64
        assert set(row["scores"]) == {"de", "en"}
        assert row["mean_margin"] > 0
    output = (free.out / "report.md").read_text()
    assert "3 rounds on best, none ended by a guard." in output
    assert "| round | score | pairs | margin | dropped | KL/token | KL/answer |" in output
    assert "<h3>mismatch by language</h3>" in (free.out / "report.html").read_text()


STOPS = {
    "length": ({"length": [0.5, 1.8]}, 2, "characters", "mean over languages"),
    "mismatch of a language": ({"mismatch": 0.6, "each_language": True}, 2, "mismatch rise", "en"),
    "distinct": ({"distinct": 0.75}, 2, "distinct-1", "mean over languages"),
}


@pytest.mark.parametrize(("stop", "after", "guard", "where"), STOPS.values(), ids=STOPS)
def test_a_broken_limit_ends_the_rounds_and_the_last_model_that_passed_is_the_result(rounds, stop, after, guard, where):
    rounds.write(guards={"stop": stop}, stages=[LATER])
    output = rounds.run()
    assert "'online.2.guard' ended the rounds" in output
    assert output.count("ended the rounds") == 1
    ended = rounds.report()["ended"]
    assert ended["round"] == after
    assert (guard, where) in [(one["guard"], one["where"]) for one in ended["broken"]]
    for one in ended["broken"]:
        assert (one["value"] > one["limit"]) != one["guard"].startswith("distinct")
    assert rounds.report()["model"] == "online.1"
    assert not [node for node in rounds.made() if node.startswith(("online.3", "online.passed"))]
    assert rounds.words("later") == 106  # from the model of the first round
    assert rounds.manifest("later")["inputs"]["start"] == rounds.manifest("online.1")["content"]
    assert rounds.manifest("later")["inputs"]["rows"] == rounds.manifest("online.2.best")["content"]


def test_status_and_plan_say_what_was_not_done_and_why(rounds):
    rounds.write(guards={"stop": {"kl": 0.3}}, stages=[SCORES])
    before = json.loads(rounds.aya("plan", rounds.recipe, "--out", rounds.out, "--json", check=0).stdout)
    assert not any(step["stands"] or step["why"] for step in before)
    rounds.run("-q")
    steps = {
        step["step"]: step
        for step in json.loads(rounds.aya("plan", rounds.recipe, "--out", rounds.out, "--json", check=0).stdout)
    }
    assert all(step["stands"] for step in steps.values())
    assert steps["online.3.pairs"]["fallback"] == "online.2.pairs"
    assert steps["online.2.passed"]["fallback"] == steps["online.3.passed"]["fallback"] == "online.1"
    assert steps["online.1.passed"]["why"] is None
    assert "KL, nats per token 0.400 (mean over languages), above 0.3" in steps["online.3"]["why"]
    output = rounds.aya("plan", rounds.recipe, "--out", rounds.out, "--all", check=0).stdout
    assert "not done  online.3.answers: sample completions is online.2.answers, as 'online.2.guard' ended" in output
    status = json.loads(rounds.aya("status", rounds.out, "--json", check=0).stdout)["stages"]["online"]
    skipped = [step for step in steps.values() if step["why"]]
    assert {step["step"].split(".")[1] for step in skipped} == {"2", "3"}
    assert status["skipped"] == len(skipped) > 8
    assert status["done"] + status["skipped"] == status["steps"]
    assert "ended the rounds" in status["ended"]
    assert f"{len(skipped)} not done" in rounds.aya("status", rounds.out, check=0).stdout
    rows = {
        row["name"]: row
        for row in json.loads((rounds.out / "report.json").read_text())["sections"]["scores"]["data"]["stages"]
    }
    assert {name: row.get("alias_of") for name, row in rows.items()} == {
        "start": None, "online.1": None, "online.2": "online.1", "online.3": "online.1",
    }  # fmt: skip
    assert rows["online.3"]["score"] == pytest.approx(rows["online.1"]["score"], abs=0.3)
    assert "| online.2 (is online.1) |" in (rounds.out / "report.md").read_text()
    assert "Ended by a guard after round 2: KL" in rounds.aya("report", rounds.out, check=0).stdout


def test_a_looser_limit_goes_on_from_where_a_guard_ended_and_a_tighter_one_asks_nobody(rounds):
    rounds.write(guards={"stop": {"kl": 0.3}}, stages=[LATER])
    rounds.run("-q")
    before = rounds.made()
    rounds.write(guards={"stop": {"kl": 0.9}}, stages=[LATER])
    output = rounds.run("-q")
    assert "ended" not in output
    assert rounds.report()["model"] == "online.3"
    assert {node.split(".")[1] for node in rounds.made() - before} == {"3"}
    everything = {path: path.stat().st_mtime_ns for path in rounds.out.glob("artifacts/*/*")}
    rounds.write(guards={"stop": {"kl": 0.1}}, stages=[LATER])
    rounds.run("-q")
    assert rounds.report()["model"] == "start"
    redone = {path.parent.name for path in rounds.out.glob("artifacts/*/*") if path not in everything}
    assert redone == {"online.1.guard", "online.0.guard", "later"}
    unlimited = rounds.write(guards={}, stages=[LATER]).run()
    assert "ended" not in unlimited
    assert rounds.report()["model"] == "online.3"


def test_a_run_until_the_stage_goes_on_after_its_end(rounds):
    rounds.write(guards={"stop": {"kl": 0.3}}, stages=[LATER])
    rounds.run("-q", "--until", "online")
    assert "later" not in rounds.made()
    output = rounds.run()
    assert rounds.words("later") == 106
    assert "online.1.guard" not in [line for line in output.splitlines() if "reused" not in line]


def test_where_the_first_round_does_not_pass_a_start_outside_the_run_is_the_result(rounds):
    folder = rounds.folder / "mine"
    (folder / "deep").mkdir(parents=True)
    (folder / "words.json").write_text('{"words": 5}')
    (folder / "deep" / "more.txt").write_text("more")
    later = {**LATER, "data": "online.1.best"}
    rounds.write(start="./mine", guards={"stop": {"kl": 0.1}}, stages=[later])
    rounds.run("-q")
    assert rounds.report()["model"] == "online.start"
    assert rounds.words("later") == 105
    (kept,) = rounds.out.glob("artifacts/online.start/*/payload")
    assert (kept / "deep" / "more.txt").read_text() == "more"
    assert (kept / "words.json").read_text() == (folder / "words.json").read_text()


def test_a_hub_model_may_have_to_be_the_result(rounds):
    rounds.write(start="lab/model@v2", guards={"stop": {"kl": 0.1}})
    assert rounds.plan().nodes["online.start"].external == {"model": "lab/model@v2"}


def test_a_teacher_without_log_likelihoods_leaves_the_kl_out_and_another_can_give_it(rounds):
    silent = {"use": "talker", "silent": True}
    rounds.write(teacher=silent, guards={}, iterations=1)
    rounds.run("-q")
    measures = rounds.manifest("online.1.guard")["measures"]
    assert "teacher 'talker' gives no log-likelihoods" in measures["unmeasured"]["KL, nats per token"]
    assert "characters" in measures["overall"]
    assert "KL, nats per token was not measured: teacher 'talker'" in (rounds.out / "report.md").read_text()
    rounds.write(teacher=silent, guards={"stop": {"kl": 0.1}}, iterations=1)
    output = rounds.run("-q", check=2)
    assert "guards.stop.kl is set, but the KL is not known: teacher 'talker' gives no log-likelihoods" in output
    rounds.write(teacher=silent, guards={"stop": {"kl": 0.9}, "teacher": {"use": "talker"}}, iterations=1)
    rounds.run("-q")
    assert rounds.report()["guards"][1]["overall"]["KL, nats per token"]["value"] == pytest.approx(0.2)


def test_without_guards_there_are_none(rounds):
    rounds.write(guards=None, iterations=1)
    rounds.run("-q")
    assert not [node for node in rounds.made() if "guard" in node]
    assert "1 round on best, without guards." in (rounds.out / "report.md").read_text()


PAIRS = {"data": "pairs", "trainer": {"use": "prefer"}, "objective": {"use": "step"}}
SPLIT = {**PAIRS, "each": "cluster", "merge": {"use": "largest"}, "guards": {}}


@pytest.mark.parametrize(
    ("reference", "models", "words"),
    [
        ("initial", ["start", "start", "start"], [4, 4, 4]),
        ("merged", ["start", "online.1", "online.2"], [4, 7, 10]),
        ("previous", ["start", "online.1@{}", "online.2@{}"], [4, 6, 9]),
    ],
)
def test_the_reference_is_the_one_that_is_named_and_is_recorded(rounds, reference, models, words):
    rounds.write(reference=reference, **SPLIT)
    rounds.run("-q")
    for cluster in ("west", "east"):
        steps = [rounds.manifest(f"online.{n}@{cluster}") for n in (1, 2, 3)]
        assert [step["settings"]["reference_model"] for step in steps] == [model.format(cluster) for model in models]
        assert [step["measures"]["reference"] for step in steps] == words
    account = rounds.report()
    assert account["reference"] == reference
    assert account["rounds"][2]["references"]["online.3@east"] == models[2].format("east")


def test_without_clusters_the_previous_model_is_the_merged_one(rounds):
    plans = [rounds.write(reference=reference, guards={}, **PAIRS).plan() for reference in ("previous", "merged")]
    assert [plan.nodes["online.3"].inputs["reference"] for plan in plans] == ["online.2", "online.2"]


def test_the_reference_is_the_merged_model_unless_the_recipe_says_otherwise(rounds):
    assert rounds.write(**SPLIT).plan().nodes["online.3@west"].inputs["reference"] == "online.2"


def test_each_round_can_have_an_objective_of_its_own(rounds):
    rounds.write(**{**PAIRS, "objective": [{"use": "step", "beta": beta} for beta in (1, 5, 2)]}, guards={})
    rounds.run("-q")
    assert [rounds.words(f"online.{n}") for n in (1, 2, 3)] == [5, 10, 12]
    assert [row["objective"]["beta"] for row in rounds.report()["rounds"]] == [1, 5, 2]
    one = [{"use": "step"}]
    assert "stages.online.objective: 1 objectives for 3 rounds; expected one for all, or a list of 3" in refused(
        rounds, **{**PAIRS, "objective": one}
    )
    wrong = [{"use": "step"}, {"use": "stpe"}, {"use": "step", "beat": 1}]
    output = refused(rounds, **{**PAIRS, "objective": wrong})
    assert "stages.online.objective.1: no objective named 'stpe'; did you mean 'step'" in output
    assert "stages.online.objective.2: unknown key 'beat'" in output


def test_groups_are_all_scored_answers_of_each_prompt(rounds):
    rounds.write(
        data="groups", trainer={"use": "group"}, arbiter={"use": "tongue", "words": 4}, guards={}, iterations=1
    )
    rounds.run("-q")
    rows = rounds.rows("online.1.groups", Demonstration)
    judged = rounds.rows("online.1.verdicts", Judged)
    scored = [row for row in judged if row.verdict.status == "scored"]
    sizes = {id: len(list(group)) for id, group in groupby(scored, lambda row: row.completion.prompt_id)}
    assert {1, 4} <= set(sizes.values())
    assert [(row.prompt.id, row.completion, row.score) for row in rows] == [
        (row.completion.prompt_id, row.completion.text, row.verdict.score)
        for row in scored
        if sizes[row.completion.prompt_id] > 1
    ]
    measures = rounds.manifest("online.1.groups")["measures"]
    kept = [size for size in sizes.values() if size > 1]
    assert (measures["rows"], measures["groups"], measures["tied"]) == (sum(kept), len(kept), len(kept))
    dropped = {row["reason"]: row["count"] for row in measures["dropped"]}
    assert dropped["fewer than two scored answers"] == list(sizes.values()).count(1)
    assert sum(dropped.values()) == 48 - len(kept)
    assert "online.1.groups" in rounds.plan().names
    assert rounds.report()["rounds"][0]["rows"] == sum(kept)


def test_a_cap_keeps_groups_whole(rounds):
    rounds.write(
        data="groups", trainer={"use": "group"}, pick={"most_per_language": 5}, guards=None, iterations=1,
        each="cluster", own=0.5, merge={"use": "largest"},
    )  # fmt: skip
    rounds.run("-q")
    for node, languages in (("online.1.groups", {"en": 5, "de": 5}), ("online.1.data@west", {"en": 5, "de": 5})):
        groups = [
            (id, len(list(rows))) for id, rows in groupby(rounds.rows(node, Demonstration), lambda row: row.prompt.id)
        ]
        assert [size for _, size in groups] == [4] * 10
        assert {code: sum(id.startswith(code) for id, _ in groups) for code in languages} == languages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "groups"}, "the trainer reads demonstrations, `data: groups` gives groups"),
        ({"data": "groups", "trainer": {"use": "group"}, "sampling": {"n": 1}}, "to make groups of"),
        ({"reference": "base"}, "stages.online.reference"),
        ({"guards": {"stop": {"length": [2, 1]}}}, "expected [low, high] with 0 <= low < high"),
        ({"guards": {"stop": {"mismatch": 0.1}, "language": None}}, "stop.mismatch needs `language`"),
        ({"guards": {"stop": {"lenght": [1, 2]}}}, "unknown key 'lenght'; did you mean 'length'?"),
        ({"guards": {"language": {"use": "tonge"}}}, "stages.online.guards.language: no arbiter named 'tonge'"),
    ],
)
def test_what_cannot_be_is_told(rounds, changes, message):
    assert message in refused(rounds, **changes)


MERGED = {"each": "cluster", "iterations": 2, "guards": None}


def merges(plan):
    return {id: node for id, node in plan.nodes.items() if node.action == "merge"}


def test_a_merge_that_needs_a_base_takes_the_model_that_its_round_started_from(rounds):
    plan = rounds.write(merge={"use": "ties", "density": 0.2}, **MERGED).plan()
    assert {id: node.inputs["base"] for id, node in merges(plan).items()} == {
        "online.1": "start",
        "online.2": "online.1",
    }


def test_the_base_and_the_weights_of_a_rounds_merge_may_be_given(rounds):
    plan = rounds.write(merge={"use": "ties"}, base="start", weights={"west": 2.0, "east": [0, 1]}, **MERGED).plan()
    assert {node.inputs["base"] for node in merges(plan).values()} == {"start"}
    assert [node.settings["weights"] for node in merges(plan).values()] == [[2.0, [0.0, 1.0]]] * 2
    plan = rounds.write(merge={"use": "weighted"}, weights=[3, 1], **MERGED).plan()
    assert [node.settings["weights"] for node in merges(plan).values()] == [[3.0, 1.0]] * 2
    assert not any("base" in node.inputs for node in merges(plan).values())


def test_a_merge_that_cannot_take_the_clusters_is_refused(rounds):
    said = refused(rounds, merge={"use": "nearswap"}, **MERGED)
    assert "stages.online.merge: 'nearswap' takes exactly 1 model beside the base, and there are 2: west, east" in said
    assert "expected one weight for each of west, east" in refused(
        rounds, merge={"use": "ties"}, weights={"west": 1}, **MERGED
    )
    assert "`base` and `weights` are those of `merge`" in refused(rounds, base="start")


def test_a_teacher_that_asks_a_server_cannot_answer_for_the_model_of_each_round(rounds):
    teacher = {"use": "openai", "base_url": "http://localhost:8000/v1", "model": "served"}
    said = refused(rounds, teacher=teacher)
    assert "stages.online.teacher: 'openai' would ask 'served' in place of each model of this stage" in said

"""Plugins load loudly: everything that is wrong with one is an error that names it."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from aya_core.contract.errors import PluginError
from aya_core.contract.explain import SettingsError
from aya_core.contract.kinds import KINDS
from aya_core.planning import registry as registry_module
from aya_core.planning.registry import Registry

HEAD = "from aya_core.api import MergeStrategy, hookimpl\n"
MERGE = HEAD + "class M(MergeStrategy):\n    '''Merge.'''\n    def build(self):\n        return self\n"


@pytest.fixture
def plugin(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def offered_by(path):
    return Registry([path]).strategies


def test_a_file_offers_strategies_like_a_package(plugin):
    path = plugin(MERGE + "@hookimpl\ndef aya_merges():\n    return {'mine': M}\n")
    registry = Registry([path])
    assert "mine" in registry.strategies["merge"]
    assert registry.origin("merge", "mine").source == str(path)
    assert registry.dump("merge", registry.validate("merge", {"use": "mine"})) == {"use": "mine"}


BAD = {
    "does not import": (
        "import no_such_module\n",
        "does not import: ModuleNotFoundError: No module named 'no_such_module'",
    ),
    "syntax": ("def (:\n", "does not import: SyntaxError"),
    "misspelled hook": (
        HEAD + "@hookimpl\ndef aya_mergers():\n    return {}\n",
        "no hook named 'aya_mergers'; did you mean 'aya_merges'?",
    ),
    "wrong arguments": (HEAD + "@hookimpl\ndef aya_merges(x):\n    return {}\n", "aya_merges"),
    "not a mapping": (HEAD + "@hookimpl\ndef aya_merges():\n    return 3\n", "returned int; expected a mapping"),
    "not a strategy": (
        HEAD + "@hookimpl\ndef aya_merges():\n    return {'x': dict}\n",
        "expected a subclass of Strategy",
    ),
    "bad name": (
        MERGE + "@hookimpl\ndef aya_merges():\n    return {'My_Merge': M}\n",
        "lower case words joined by hyphens",
    ),
    "taken name": (
        MERGE + "@hookimpl\ndef aya_merges():\n    return {'weighted': M}\n",
        "merge 'weighted' is offered twice",
    ),
    "raises": (HEAD + "@hookimpl\ndef aya_merges():\n    raise KeyError('x')\n", "aya_merges failed: KeyError"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_plugin_is_named_with_what_is_wrong(name, plugin):
    text, message = BAD[name]
    with pytest.raises(PluginError) as caught:
        offered_by(plugin(text))
    assert message in str(caught.value)
    assert "mine.py" in str(caught.value)


def test_a_file_that_is_edited_twice_in_a_second_offers_what_it_says_last(plugin, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for name in ("first", "after"):
        path = plugin(MERGE + f"@hookimpl\ndef aya_merges():\n    return {{'{name}': M}}\n")
        os.utime(path, (0, 0))
        assert name in offered_by(path)["merge"]


def test_a_taken_name_names_both_plugins(plugin):
    with pytest.raises(PluginError, match=r"plugin 'aya-merges' \(aya-core .*mine\.py"):
        offered_by(plugin(MERGE + "@hookimpl\ndef aya_merges():\n    return {'weighted': M}\n"))


def test_a_blocked_plugin_offers_nothing():
    assert "weighted" in Registry().strategies["merge"]
    assert not Registry(disabled=["aya-merges"]).strategies["merge"]


def test_blocking_an_unknown_plugin_is_an_error():
    with pytest.raises(PluginError, match="no plugin named 'aya-mergs'; did you mean 'aya-merges'"):
        Registry(disabled=["aya-mergs"])


def test_two_entry_points_of_one_name_are_an_error(monkeypatch):
    points = [EntryPoint("same", "aya_plugins.merges", "aya"), EntryPoint("same", "aya_plugins.routers", "aya")]
    monkeypatch.setattr(registry_module, "entry_points", lambda group: points)
    with pytest.raises(PluginError, match="two plugins are named 'same'"):
        Registry()


def test_an_entry_point_that_does_not_import_names_its_cure(monkeypatch):
    monkeypatch.setattr(registry_module, "entry_points", lambda group: [EntryPoint("broken", "no.such.module", "aya")])
    with pytest.raises(PluginError, match="AYA_DISABLE_PLUGINS=broken"):
        Registry()


def test_an_unknown_strategy_suggests_the_nearest():
    with pytest.raises(SettingsError, match="no merge named 'slrep'; did you mean 'slerp'"):
        Registry().validate("merge", {"use": "slrep"})


def test_every_kind_has_a_default():
    offered = Registry().strategies
    assert [kind for kind in KINDS if not offered[kind]] == []


def test_two_registries_share_nothing(plugin):
    path = plugin(MERGE + "@hookimpl\ndef aya_merges():\n    return {'mine': M}\n")
    assert "mine" in offered_by(path)["merge"]
    assert "mine" not in Registry().strategies["merge"]


def test_listing_strategies_imports_no_torch():
    code = "import sys; from aya_core.planning.registry import Registry; Registry().strategies; print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "False"


def test_half_a_character_in_a_setting_is_told():
    with pytest.raises(SettingsError, match="half of a character"):
        Registry().validate("dataset", {"use": "jsonl", "path": "a", "id_template": "\ud800"})

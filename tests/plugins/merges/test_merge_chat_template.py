"""The chat template of a merge."""

import json

import pytest

from aya_core.api import AyaError
from aya_plugins.merges.tokens.chat_template import choose_chat_template, read_chat_template, store_chat_template
from aya_plugins.merges.tokens.named_templates import NAMED as NAMED_TEMPLATES

NAMED = [{"name": "tools", "template": "{{ tools }}"}, {"name": "default", "template": "{{ plain }}"}]


@pytest.fixture
def folder_of(tmp_path):
    """Make a tokenizer's folder that keeps its template in one of the places where they are kept."""

    def make(name, *, jinja=None, config=None):
        folder = tmp_path / name
        folder.mkdir()
        if jinja:
            (folder / "chat_template.jinja").write_text(jinja)
        if config:
            (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": config, "other": 1}))
        return folder

    return make


PLACES = pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({"jinja": "{{ a }}"}, "{{ a }}"),
        ({"config": "{{ b }}"}, "{{ b }}"),
        ({"config": NAMED}, "{{ plain }}"),
        ({}, None),
    ],
    ids=["file", "config", "list", "nowhere"],
)


@PLACES
def test_it_is_found_wherever_it_is_kept(folder_of, place, expected):
    assert read_chat_template(folder_of("a", **place)) == expected


@PLACES
def test_what_is_stored_is_found_again_and_nothing_else_changes(folder_of, place, expected):
    folder = folder_of("a", **place)
    store_chat_template(folder, "{{ new }}")
    assert read_chat_template(folder) == "{{ new }}"
    path = folder / "tokenizer_config.json"
    assert path.is_file() == ("config" in place)
    if path.is_file():
        settings = json.loads(path.read_text())
        assert settings["other"] == 1
        if isinstance(place["config"], list):
            assert NAMED[0] in settings["chat_template"]


def test_a_template_file_of_a_processor_is_kept_in_step(folder_of):
    folder = folder_of("a")
    (folder / "chat_template.json").write_text('{"chat_template": "{{ old }}"}')
    store_chat_template(folder, "{{ new }}")
    assert json.loads((folder / "chat_template.json").read_text()) == {"chat_template": "{{ new }}"}


def test_it_is_given_as_text_or_as_a_file(tmp_path):
    assert choose_chat_template("{{ text }}", ()) == "{{ text }}"
    (tmp_path / "t.jinja").write_text("{{ file }}")
    assert choose_chat_template(str(tmp_path / "t.jinja"), ()) == "{{ file }}"


@pytest.mark.parametrize("text", ["{% for m in %}", "{{ messages", "{% if x %}"])
def test_text_that_is_no_template_is_refused(text, tmp_path):
    (tmp_path / "t.jinja").write_text(text)
    for asked in (text, str(tmp_path / "t.jinja")):
        with pytest.raises(AyaError, match="no Jinja template: line 1"):
            choose_chat_template(asked, ())


def test_auto_is_the_most_common_and_the_first_of_equally_common_ones(folder_of):
    a, b = folder_of("a", jinja="{{ a }}"), folder_of("b", config="{{ b }}")
    c, none = folder_of("c", jinja="{{ b }}\n"), folder_of("none")
    assert choose_chat_template("auto", [a, none, b, c]) == "{{ b }}"
    assert choose_chat_template("auto", [a, b]) == "{{ a }}"
    assert choose_chat_template("auto", [none]) is None


CONVERSATIONS = [
    [{"role": "user", "content": " Hi "}],
    [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ],
]


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=["one turn", "system and turns"])
@pytest.mark.parametrize("name", NAMED_TEMPLATES)
def test_a_template_by_name_says_what_mergekits_says_but_for_blank_space(name, conversation):
    pytest.importorskip("mergekit")
    from importlib.resources import files

    from mergekit._data import chat_templates

    theirs = files(chat_templates).joinpath(f"{name}.jinja").read_text()
    assert {
        path.name.removesuffix(".jinja") for path in files(chat_templates).iterdir() if path.name.endswith("jinja")
    } == set(NAMED_TEMPLATES)
    said, expected = (rendered(template, conversation) for template in (choose_chat_template(name, ()), theirs))
    assert "".join(said.split()) == "".join(expected.split())
    if name in ("chatml", "mistral"):
        assert said == expected


def rendered(template, conversation):
    """Render as transformers does."""
    from transformers.utils.chat_template_utils import render_jinja_template

    (text,), _ = render_jinja_template(
        [conversation], chat_template=template, add_generation_prompt=True, bos_token="<s>", eos_token="</s>"
    )
    return text


def test_llama3_has_no_blank_space_between_turns():
    text = rendered(NAMED_TEMPLATES["llama3"], CONVERSATIONS[1][1:])
    assert text.startswith("<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant")
    assert text.endswith("Bye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")


def test_what_is_none_of_these_is_refused():
    with pytest.raises(AyaError, match=r"no file .nowhere\.jinja.; expected the text of a Jinja template"):
        choose_chat_template("nowhere.jinja", ())

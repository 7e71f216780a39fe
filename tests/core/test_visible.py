"""What others wrote reaches the terminal as text: no markup, no command, nothing that is hidden."""

import io
import json
import sys
import unicodedata

import pytest
from hypothesis import given, strategies as st

from aya_core.cli.progress import Progress
from aya_core.cli.terminal import TextConsole, say
from aya_core.contract.visible import VisibleStream, brief, visible

COMMANDS = {
    "color": "\x1b[31mred\x1b[0m",
    "color of 8 bits": "\x9b31mred",
    "link": "\x1b]8;;http://evil\x07here\x1b]8;;\x07",
    "title": "\x1b]0;gone\x07",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "clear": "\x1b[2J\x1b[H",
    "overwritten line": "failed\raya: sound",
    "backspaces": "bad\b\b\bgood",
    "bell": "\a",
    "turned around": "\u202egnp.exe",
    "isolate": "\u2067txt\u2069",
    "tag letters": "a\U000e0069\U000e0067",
    "half a character": "\ud800",
    "line of Unicode": "a\u2028aya: sound",
}

MARKUP = ["sweep[lr=1e-5]", "a[/b]", "[bold]b[/bold]", "[link=http://evil]x[/link]", ":boom:", "\\[x]", "[red", "[/]"]


def is_safe(text):
    return not any(
        (unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\n\t")
        or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        or "\U000e0000" <= character <= "\U000e007f"
        for character in text
    )


@pytest.mark.parametrize("text", COMMANDS.values(), ids=COMMANDS)
def test_what_a_terminal_would_act_upon_is_shown_instead(text):
    assert is_safe(visible(text))
    assert "\\u" in visible(text)


@given(st.text())
def test_whatever_is_printed_is_safe_and_other_text_stays(text):
    assert is_safe(visible(text))
    if is_safe(text):
        assert visible(text) == text


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_json_stays_the_same_json(data):
    assert json.loads(visible(json.dumps(data, ensure_ascii=False))) == data


@pytest.mark.parametrize("text", ["Grüße", "العربية", "עברית", "می‌خواهم", "क्ष", "日本語", "👩‍👩‍👧", "a\u200fb"])
def test_text_of_all_scripts_is_left_alone(text):
    assert visible(text) == text


def console():
    return TextConsole(file=io.StringIO(), force_terminal=True, color_system=None, width=300)


def printed(*words, **options):
    with console() as shown:
        shown.print(*words, **options)
    return shown.file.getvalue()


@pytest.mark.parametrize("name", MARKUP)
def test_names_are_no_markup(name):
    from rich.table import Table

    table = Table("name")
    table.add_row(name)
    assert printed(f"{name}: done", soft_wrap=True) == f"{name}: done\n"
    assert name in printed(table)


@pytest.mark.parametrize("text", COMMANDS.values(), ids=COMMANDS)
def test_a_console_passes_no_command_on(text):
    from rich.table import Table
    from rich.text import Text

    table = Table("name")
    table.add_row(text)
    for renderable in (
        text,
        Text(text),
        Text.assemble((text, "bold")),
        table,
        Text.from_ansi("\x1b]8;;http://evil\x1b\\x"),
    ):
        assert is_safe(printed(renderable)), repr(printed(renderable))


def test_styles_of_our_own_are_written():
    from rich.text import Text

    shown = TextConsole(file=io.StringIO(), force_terminal=True, color_system="standard", _environ={})
    shown.print(Text.assemble(("failed", "red"), ": \x1b[2J"))
    assert shown.file.getvalue() == "\x1b[31mfailed\x1b[0m: \\u001b[2J\n"


@pytest.mark.parametrize("name", [*MARKUP, *COMMANDS.values()])
def test_progress_of_steps_of_any_name(name):
    progress = Progress(3, {})
    progress.console = console()
    for ended in ("finished", "failed"):
        progress.aya_step_started(name, name, {})
        progress.aya_progress(name, 1, 2, {name: 1.0})
        progress.tell(0)
        progress.console.print(progress._lines())
        if ended == "finished":
            why = [{"reason": name, "language": "de", "count": 1}]
            progress.aya_step_finished(name, None, 1.0, False, {name: 0.5, "unanswered_because": why})
    progress.aya_step_failed(name, name)
    progress.aya_step_skipped(name, name, name)
    assert is_safe(progress.console.file.getvalue())
    if name in MARKUP:
        assert progress.console.file.getvalue().count(name) >= 5


def test_a_message_quotes_no_more_than_anybody_reads():
    said = brief(
        f"r.yaml: stages.m.merge: no merge named '{70_000 * 'a'}'; did you mean 'slerp'?\nr.yaml: {30_000 * 'a b '}; mend it"
    )
    assert len(said) < 4000
    assert "... (70,003 characters) did you mean 'slerp'?\n" in said
    assert said.endswith("; mend it")
    assert brief("a sentence\nor two") == "a sentence\nor two"


def test_lines_of_commands_are_cleaned(capsys):
    say("model \x1b[31mred\u202e")
    say(json.dumps({"name": "\u202e"}, ensure_ascii=False), err=True)
    out, err = capsys.readouterr()
    assert out == "model \\u001b[31mred\\u202e\n"
    assert json.loads(err) == {"name": "\u202e"}


def test_a_log_that_is_shown_does_nothing(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", VisibleStream(log))
    print("half \x1b[2J", file=sys.stderr)
    print("10%\r20%", file=sys.stderr)
    sys.stderr.writelines(["a\x07"])
    sys.stderr.flush()
    assert log.getvalue() == "half \\u001b[2J\n10%\r20%\na\\u0007"

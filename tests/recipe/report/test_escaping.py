"""Names and texts in reports are text in each format: Markdown, HTML, SVG and LaTeX."""

import html
import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, strategies as st
from markdown_it import MarkdownIt

from aya_core.api import Alert, Picture, RunReport, Section, Table, Text, visible
from aya_recipe.report import bars, reporter
from aya_recipe.report.latex import escape as for_latex, latex
from aya_recipe.report.markdown import escape, markdown, paragraph, table_lines
from aya_recipe.report.page import page
from aya_recipe.report.pictures import only_draws

NAMES = [
    "sweep[lr=1e-5]", "a|b", "*b*", "_b_", "__b__", "`b`", "``", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "[x](http://evil)", "![x](http://evil)", "<http://evil>", "&lt;b&gt;", "&#60;b&#62;", "~~gone~~", "a\\", "\\|", "$x$", "# no", "- no",
    "\x1b[31mred", "\u202eb", "1. no", "1) no", "+ no", "> no", "===", "---", "a\n\n# b",
    "a\nb", '"><script>', "]]>", "{}", "%", "#1", "^", "~/m",
]  # fmt: skip

READ = MarkdownIt("commonmark").enable(["table", "strikethrough"])

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]) | st.sampled_from(" *_`[]<>|~&#$\\-+=1.)"),
    max_size=20,
)


def words(text):
    return " ".join(text.split())


def read(written):
    """What a reader of Markdown or HTML sees, and which elements it is made of."""
    return words(html.unescape(re.sub(r"<[^>]*>", " ", written))), set(re.findall(r"</?([a-z0-9]+)", written))


@given(TEXTS)
@example("1. a")
@example("a _b_ c")
def test_markdown_shows_a_text_as_it_is(text):
    shown, elements = read(READ.render(paragraph(text)))
    assert shown == words(visible(text))
    assert elements <= {"p"}


@pytest.mark.parametrize("name", NAMES)
def test_names_in_markdown_tables_are_text(name):
    table = Table(["model", name], [[name, "1"]], name, [name])
    shown, elements = read(READ.render("\n".join(table_lines(table))))
    assert shown.count(words(visible(name.replace("\n", " ")))) >= 4
    assert elements <= {"h2", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


def report(name):
    picture = Picture(
        "pictures", name, bars.shares(name, {name: "#000"}, [bars.Bar(name, {name: 1.0}, {name: name}, name, True)])
    )
    blocks = [Text(name), Alert(name), Table(["model", name], [[name, "1"]], name, [name]), picture]
    return RunReport(name, 0, name, 1.0, {}, {}, {"stage": Section(name, {}, blocks)})


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_whole_report_are_text(name):
    shown, elements = read(READ.render(markdown(report(name))))
    assert elements <= {"h1", "h2", "h3", "p", "strong", "img", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert shown.count(words(visible(name.replace("\n", " ")))) >= 8
    written = page(report(name))
    _, elements = read(written)
    assert not elements & {"script", "b", "a"} - {"b", "a"}
    assert "<img" not in written
    assert "\x1b" not in written
    assert "\u202e" not in written


@pytest.mark.parametrize("name", NAMES)
def test_names_in_pictures_are_text(name):
    drawn = [
        bars.shares(name, {name: "#000"}, [bars.Bar(name, {name: 1.0}, {name: name}, name, True)]),
        bars.scores(name, [bars.Scored(name, 1.0, "#000", 0.5, 1.5)]),
        bars.groups(name, {name: "#000"}, {name: [bars.Scored(name, 1.0, "#000")]}),
    ]
    for svg in drawn:
        texts = [
            element.text for element in ElementTree.fromstring(svg).iter() if element.text and element.text.strip()
        ]
        assert any(text == visible(name) for text in texts)
        assert only_draws(svg)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_latex_are_text(name):
    rows = latex(Table(["model", name], [[name, "1"], [name, "2"]], name, [name], [[name, "3"]])).split("\n")
    assert all("\x1b" not in row for row in rows)
    starred = [row for before, row in pairwise(rows) if before.endswith("\\\\") and row[:1] in ("[", "*")]
    assert starred == []


def test_latex_escapes_all_that_it_treats_as_more_than_text():
    assert for_latex("[*|\\{}&%$#_~^<>]") == (
        r"{[}{*}\textbar{}\textbackslash{}\{\}\&\%\$\#\_\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}{]}"
    )


def test_names_with_an_underscore_or_an_at_sign_look_as_they_are():
    assert escape("min_margin of sft@west: 0.5 (+0.1)") == "min_margin of sft@west: 0.5 (+0.1)"


SVG = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>", '<rect onload="alert(1)"/>', '<a href="http://evil"><text>x</text></a>', '<image href="http://evil"/>',
        '<use xlink:href="#x" xmlns:xlink="http://www.w3.org/1999/xlink"/>', "<foreignObject/>", "<style>@import 'x'</style>",
        '<rect fill="url(http://evil)"/>', "<set attributeName='x'/>", "<unclosed>",
    ],
)  # fmt: skip
def test_a_picture_that_came_with_a_folder_may_only_draw(inside, tmp_path):
    assert not only_draws(SVG.format(inside))
    section = Section("s", {}, [Picture("p", "p", SVG.format(inside))])
    made = RunReport("r", 0, "0", 1.0, {}, {}, {"s": section}, frozenset({"s"}))
    reporter.write(made, tmp_path)
    assert not list(Path(tmp_path).rglob("*.svg"))
    assert "alert" not in (tmp_path / "report.html").read_text()


def test_a_picture_with_entities_is_not_read():
    assert not only_draws('<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>')


def test_sections_hold_what_json_holds():
    assert json.loads(json.dumps(report("a|b").sections["stage"].as_row()))["title"] == "a|b"

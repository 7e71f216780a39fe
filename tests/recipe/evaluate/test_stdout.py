"""What of `aya evaluate` goes where: tables alone on stdout, so that they can be written to a file."""

from evaluated_runs import HERE


def test_tables_are_on_stdout_and_all_else_on_stderr(tmp_path, aya_here):
    (tmp_path / "quiz_plugin.py").write_text((HERE / "quiz_plugin.py").read_text())
    (tmp_path / "ana").mkdir()
    (tmp_path / "ana" / "weights").write_text("ana")
    words = ("evaluate", "ana", "--evaluator", "quiz", "--teacher", "clerk", "--set", "plugins=[quiz_plugin.py]")
    done = aya_here(*words)
    assert "Models by tasks" in done.stdout
    assert "evaluate.quiz.requests" not in done.stdout
    assert "evaluate.quiz.requests" in done.stderr
    assert "Models by tasks" not in done.stderr
    again = aya_here(*words, "-q")
    assert again.stdout == done.stdout

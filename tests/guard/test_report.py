"""A report as data, text and markdown, apart from any TensorFlow."""

import io
import json

import pytest

from trainer.guard.words.finding import Finding, Link, MissingGradientError, Report

SOURCE = """def dice_loss(y_true, y_pred):
    \"\"\"A loss.\"\"\"
    mask = tf.cast(y_pred > 0.5, tf.float32)
    overlap = tf.reduce_sum(mask * y_true)
    return 1.0 - overlap
"""


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "dice.py"
    file.write_text(SOURCE, encoding="utf-8")
    return str(file)


def threshold(source, variables=("enc/conv/kernel", "enc/conv/bias"), **changes):
    chain = (
        Link("Cast", file=source, line=3),
        Link("Mul", file=source, line=4),
        Link("Sum", file=source, line=4),
        "Sub",
    )
    fields = dict(op_type="Greater", op_name="Greater", file=source, line=3, chain=chain)
    return Finding("missing", "non_differentiable_op", variables, **{**fields, **changes})


def many(count):
    return tuple(f"unet/conv{layer}/{name}" for layer in range(count) for name in ("kernel", "bias"))


def test_whole_text(source):
    assert str(Report((threshold(source),), 4)) == (
        f"""2 of 4 trainable variables get no gradient from this loss.

1. A comparison (Greater) has no gradient: its answer is only true or false — 2 variables:
     enc/conv: kernel, bias

   {source}:3

     1 | def dice_loss(y_true, y_pred):
     2 |     \"\"\"A loss.\"\"\"
   > 3 |     mask = tf.cast(y_pred > 0.5, tf.float32)
       |                    ^^^^^^^^^^^^
     4 |     overlap = tf.reduce_sum(mask * y_true)
     5 |     return 1.0 - overlap

   From there to the loss: Cast (dice.py:3) -> Mul (dice.py:4) -> Sum -> Sub -> loss

   Use the probability itself in the loss; keep the threshold for the metric.

   If these are meant to have no gradient, say so:
     explain(…, allow=['enc/conv/(kernel|bias)'])"""
    )


@pytest.mark.parametrize(
    "findings, total, wanted",
    [
        ([("missing", "not_used", ["a/k"])], 10, "1 of 10 trainable variables get no gradient from this loss."),
        ([("missing", "not_used", ["a/k"])], 1, "1 of 1 trainable variable gets no gradient from this loss."),
        (
            [("missing", "not_used", ["a/k"]), ("missing", "stop_gradient", ["b/k", "a/k"])],
            3,
            "2 of 3 trainable variables get no gradient from this loss.",
        ),
        (
            [("missing", "not_used", ["a/k"]), ("zero", "zero_gradient", ["b/k"])],
            3,
            "1 of 3 trainable variables get no gradient from this loss. "
            "1 of 3 trainable variables get a gradient that is exactly zero.",
        ),
        (
            [("nonfinite", "nan_gradient", ["a/k"])],
            2,
            "1 of 2 trainable variables get a gradient that is NaN or infinite.",
        ),
        (
            [("untracked", "untracked_variable", ["gain"])],
            2,
            "1 trainable variable is read by the loss and is not in the list of variables, so it keeps",
        ),
        (
            [("missing", "not_trainable", [])],
            0,
            "The list of variables is empty: everything is frozen, or it was made before the model was built.",
        ),
        ([("missing", "left_tensorflow", [])], 2, "This loss cannot be differentiated."),
        ([("nonfinite", "nan_gradient", [])], 2, "The loss is NaN or infinite, although every gradient is finite."),
        ([], 5, "All 5 trainable variables get a gradient from this loss."),
    ],
)
def test_count_comes_first(findings, total, wanted):
    report = Report([Finding(*fields) for fields in findings], total)
    assert " ".join(str(report).split()).startswith(wanted)
    assert report.ok == (not findings)


def test_long_lists_are_cut_short_in_text_and_whole_in_data():
    report = Report((Finding("missing", "not_used", many(30)),), 70)
    text = str(report)
    assert "unet/conv7: kernel, bias" in text and "unet/conv8:" not in text
    assert "… and 22 more layers (44 variables)" in text
    assert report.to_dict()["findings"][0]["variables"] == list(many(30))


def test_one_layer_too_many_is_shown_rather_than_counted():
    text = str(Report((Finding("missing", "not_used", many(9)),), 70))
    assert "unet/conv8: kernel, bias" in text and "more layers" not in text


def test_long_chain_keeps_both_ends(source):
    chain = [Link(f"Op{i}") for i in range(20)]
    text = str(Report((threshold(source, chain=chain),), 4))
    assert "Op0 -> Op1 -> Op2 -> Op3 -> … 12 more … -> Op16 -> Op17 -> Op18 -> Op19 -> loss" in " ".join(text.split())


def test_the_engines_columns_go_before_a_guess(source):
    text = str(Report((threshold(source, columns=(4, 8)),), 4))
    assert "   > 3 |     mask = tf.cast(y_pred > 0.5, tf.float32)\n       |     ^^^^\n" in text


def test_mark_is_right_under_tabs_and_wide_letters(tmp_path):
    file = tmp_path / "odd.py"
    file.write_text("def f(p):\n\tgrün = p > 0.5; über = tf.round(p)\n\treturn über\n", encoding="utf-8")
    lines = str(Report((threshold(str(file), op_type="Round", line=2),), 4)).splitlines()
    here = next(number for number, line in enumerate(lines) if "> 2 |" in line)
    line, mark = lines[here], lines[here + 1]
    assert line[mark.index("^") : mark.rindex("^") + 1] == "tf.round(p)"


def test_source_that_is_gone_still_gives_the_line():
    text = str(Report((threshold("/nowhere/lost.py", code="mask = p > 0.5", chain=()),), 4))
    assert "/nowhere/lost.py:3" in text and "> 3 | mask = p > 0.5" in text


def test_colour_is_only_paint(source):
    report = Report((threshold(source),), 4)
    coloured = report.render(color=True)
    assert "\033[" in coloured and "\033[" not in str(report)
    import re

    assert re.sub(r"\033\[[\d;]*m", "", coloured) == str(report)


def test_print_is_plain_where_nobody_sees_colour(source, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    report = Report((threshold(source),), 4)
    log, terminal, mute = io.StringIO(), Terminal(), Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    report.print(log), report.print(terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    report.print(mute)
    assert "\033[" not in log.getvalue() and "\033[" in terminal.getvalue() and "\033[" not in mute.getvalue()


def test_dict_is_json(source):
    data = json.loads(json.dumps(Report((threshold(source, columns=(4, 8)),), 4, notes=("seen",)).to_dict()))
    assert data["ok"] is False and data["variables_total"] == 4 and data["notes"] == ["seen"]
    (finding,) = data["findings"]
    assert (
        finding["kind"] == "missing" and finding["cause"] == "non_differentiable_op" and finding["op_type"] == "Greater"
    )
    assert finding["code"] == "mask = tf.cast(y_pred > 0.5, tf.float32)" and finding["columns"] == [4, 8]
    assert finding["chain"][1] == {"op_type": "Mul", "op_name": None, "file": source, "line": 4, "code": None}
    assert finding["chain"][3] == "Sub"


def test_markdown_has_the_same_and_fences_the_code(source):
    text = Report((threshold(source),), 4).to_markdown()
    assert text.startswith("**2 of 4 trainable variables get no gradient from this loss.**")
    assert "### 1. A comparison (Greater) has no gradient" in text and "* `enc/conv: kernel, bias`" in text
    assert "```python\n" in text and "> 3 |     mask = tf.cast(y_pred > 0.5, tf.float32)" in text
    assert text.count("```") % 2 == 0 and "\033[" not in text


def test_allowing_by_whole_path():
    report = Report((Finding("missing", "not_used", ["bert/pooler/kernel", "bert/pooler/bias", "head/kernel"]),), 9)
    left = report.allowing([r"bert/pooler/.*", "head"])
    assert left.findings[0].variables == ("head/kernel",)
    assert left.allowed == ("bert/pooler/kernel", "bert/pooler/bias")
    assert report.allowing([".*"]).ok and not report.ok
    assert str(report.allowing([".*"])).startswith("6 of 9 trainable variables get a gradient; the others need none.")


def test_nan_cannot_be_allowed():
    report = Report((Finding("nonfinite", "nan_gradient", ["a/kernel"]),), 2)
    assert report.allowing([".*"]) == report


@pytest.mark.parametrize("allow, message", [(["a("], "allow='a('"), ("a/.*", "allow takes a list")])
def test_bad_patterns_are_told(allow, message):
    with pytest.raises(ValueError, match="allow") as error:
        Report((Finding("missing", "not_used", ["a/k"]),), 2).allowing(allow)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("meant", "others", "pattern"),
    [
        (["pooler/dense/kernel"], ["head/kernel"], "pooler/.*"),
        (["stepper/first_state"], ["stepper/cell/kernel", "stepper/cell/bias"], "stepper/first_state"),
        (["a/k", "b/k"], ["c/k"], "a/.*|b/.*"),
        (["e/a/k", "e/b/k", "e/c/k", "e/d/k"], ["f/k"], "e/.*"),
        (["e/a/k", "e/a/b", "e/b/k"], ["e/c/k"], "e/a/.*|e/b/.*"),
        (["e/k", "e/b"], ["e/gamma"], "e/(k|b)"),
        (["scale:0"], ["scale_1:0"], "scale:0"),
        (["net-1/top.dense/kernel"], ["net-1/topadense/kernel"], r"net-1/top\.dense/.*"),
        (["a/k"], ["a/k", "b/k"], None),  # two of one name
        ([f"layer_{i}/k" for i in range(0, 20, 2)], [f"layer_{i}/k" for i in range(1, 20, 2)], None),
    ],
)
def test_hint_matches_what_is_meant_and_nothing_else(meant, others, pattern):
    listed = [*meant, *others]
    report = Report((Finding("missing", "not_used", meant),), len(listed), listed=listed)
    if pattern is None:
        assert "allow=" not in str(report)
        return
    assert f"explain(…, allow=[{pattern!r}])" in str(report)
    whole = Report((Finding("missing", "not_used", listed),), len(listed)).allowing([pattern])
    assert set(whole.allowed) == set(meant)
    # Without the list of all variables nothing may be taken for a whole folder.
    assert ".*" not in str(Report((Finding("missing", "not_used", meant),), len(listed) + 1)).partition("allow=")[2]


def test_hint_speaks_the_language_of_the_program_that_asked():
    finding = Finding("missing", "not_used", ["a/k"])
    report = Report((finding,), 2, listed=("a/k", "b/k"), allow_form="--config.guard.allow='{}'")
    assert "--config.guard.allow='a/.*'" in str(report) and "explain" not in str(report)
    assert "`--config.guard.allow='a/.*'`" in report.to_markdown()
    assert "allow=" not in str(Report((Finding("missing", "not_used", ["a/k", "a/b"]),), 2))


def test_no_hint_for_what_nobody_means():
    for kind, cause in (
        ("untracked", "untracked_variable"),
        ("nonfinite", "nan_gradient"),
        ("missing", "constant_loss"),
    ):
        assert "allow=" not in str(Report((Finding(kind, cause, ["a/k"]),), 4))


def test_error_carries_its_report(source):
    error = MissingGradientError(Report((threshold(source),), 4))
    assert isinstance(error, ValueError) and error.report.findings[0].line == 3
    assert "2 of 4 trainable variables get no gradient" in str(error)


def test_misspelt_cause_is_refused():
    with pytest.raises(ValueError, match="Received: kind='missing', cause='stopgradient'"):
        Finding("missing", "stopgradient", ["a"])

"""The file of a person's answers: nothing that was answered is lost, and nothing damaged is read as an answer."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import sample_sitting

from benchmarks.people.answers import Journal, read_answers
from contracts.errors import DataError


def test_every_answer_is_on_the_disk_before_the_call_returns_and_the_same_sitting_goes_on(tmp_path):
    sitting, path = sample_sitting(5, person='"Ann\u202ea" <b>'), tmp_path / "deep" / "a.jsonl"
    with Journal(path, sitting) as journal:
        for place, called in enumerate((1, 0, 1)):
            journal.answer(called, 1.25 * place)
            assert read_answers(path).called.tolist() == [1, 0, 1][: place + 1]
        journal.undo()
        assert read_answers(path).called.tolist() == [1, 0]
    with Journal(path, sitting) as journal:
        assert journal.answers.called.tolist() == [1, 0]
        for called in (0, 0, 1):
            journal.answer(called, 2.0)
        journal.finish()
    found = read_answers(path)
    assert (found.sitting, found.finished) == (sitting, True)
    assert found.called.tolist() == [1, 0, 0, 0, 1]
    assert found.seconds.tolist() == [0, 1.25, 2, 2, 2]


@given(st.data())
@settings(max_examples=25)
def test_a_file_cut_anywhere_holds_the_answers_whose_lines_are_complete(tmp_path_factory, data):
    path, sitting = tmp_path_factory.mktemp("cut") / "a.jsonl", sample_sitting(3)
    with Journal(path, sitting) as journal:
        for called in (1, 1, 0):
            journal.answer(called, 1)
    content = path.read_bytes()
    end = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:end])
    complete = max(content[:end].count(b"\n") - 1, 0)
    with Journal(path, sitting) as journal:
        assert journal.answers.called.tolist() == [1, 1, 0][:complete]
        journal.undo() if complete == 3 else journal.answer(0, 1)
    assert len(read_answers(path)) == (2 if complete == 3 else complete + 1)


@pytest.mark.parametrize(
    "line", ['{"image": 1, "called": 1, "seconds": 1}', '{"image": 0, "called": 2, "seconds": 1}', '{"undo": 0}', "[]",
             '{"image": 0, "called": true, "seconds": 1}', '{"image": 0, "called": 1, "seconds": NaN}', "{"],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "a.jsonl"
    Journal(path, sample_sitting(3)).__exit__(None, None, None)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=rf"{re.escape(str(path))} does not hold a person's answers \(line 2"):
        read_answers(path)


def test_other_files_and_other_sittings_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    with pytest.raises(DataError, match="cannot be read"):
        read_answers(path)
    for content in ("{}\n", '{"format": "x"}\n', "\n", json.dumps({"format": "pixelproof answers 1"}) + "\n"):
        path.write_text(content)
        with pytest.raises(DataError, match="does not hold a person's answers"):
            read_answers(path)
    path.unlink()
    with Journal(path, sample_sitting(3)) as journal:
        with pytest.raises(DataError, match="open in another"):
            Journal(path, sample_sitting(3))
        journal.answer(1, 1)
    for other in (sample_sitting(4), sample_sitting(3, reveal="each"), sample_sitting(3, seed=9)):
        with pytest.raises(DataError, match="other images"):
            Journal(path, other)
    assert read_answers(path).called.tolist() == [1]

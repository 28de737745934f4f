from types import SimpleNamespace

import pytest
from synthetic_predictions import draw

from benchmarks.predictions import write_predictions
from contracts.errors import ConfigError
from tasks.review import review


def run(inputs, out=None):
    review = SimpleNamespace(
        inputs=[str(path) for path in inputs], people=[], out=out and str(out), resamples=None, serve=False, port=0
    )
    return SimpleNamespace(config=SimpleNamespace(experiment_id=None, review=review))


def test_prints_the_table_and_the_pages_place(tmp_path, capsys):
    write_predictions(tmp_path / "window_0" / "predictions_test_all.npz", draw())
    review(run([tmp_path / "window_0" / "predictions_test_all.npz"]))
    shown = capsys.readouterr().out
    assert (tmp_path / "window_0" / "review" / "index.html").is_file()
    assert str(tmp_path / "window_0" / "review" / "index.html") in shown.replace("\n", "")
    for words in ("drawn · test", "never seen in training", "gamma-10", "cannot be shown"):
        assert words in shown


def test_out_is_where_it_was_asked_for(tmp_path):
    write_predictions(tmp_path / "p.npz", draw())
    review(run([tmp_path / "p.npz"], tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "index.html").is_file()
    assert not (tmp_path / "review").exists()


def test_no_dump_is_a_mistake_with_a_next_step():
    with pytest.raises(ConfigError, match=r"review\.inputs=\["):
        review(run([]))

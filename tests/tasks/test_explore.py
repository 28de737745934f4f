"""``task=explore`` by the real command line."""

import csv

from synthetic_trees import lay

from lightning_main import main


def test_a_page_its_files_and_the_list_of_unreadable_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "images", *(f"train/{kind}/{k}.png" for k in range(6) for kind in ("0_real", "1_fake")), size=20)
    (tmp_path / "images/train/0_real/bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    words = ["task=explore", "datamodule=image_tree", "datamodule.path=images"]
    assert main([*words, "experiment_id=e", "explore.images=8"]) == 0
    out = tmp_path / "experiments_data/e/explore"
    names = {"index.html", "counts.csv", "images.csv", "sample.csv", "spectrum.csv", "near.csv", "rules.csv"}
    assert {file.name for file in out.iterdir()} == names | {"failures.csv"}
    (failed,) = csv.DictReader((out / "failures.csv").open())
    assert failed["id"].endswith("bad.png")
    assert "bad.png" in (out / "index.html").read_text()
    assert str(out / "index.html") in capsys.readouterr().out
    assert main([*words, "explore.images=0"]) == 2
    assert "explore.images=0" in capsys.readouterr().err

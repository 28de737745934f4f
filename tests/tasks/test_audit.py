"""``task=audit`` by the real command line."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from synthetic import encoded, picture

from lightning_main import main


def test_a_shortcut_reaches_screen_page_and_json(tmp_path, monkeypatch, capsys):
    made = [
        {"id": f"i|{k}", "label": k % 2,
         "image": {"bytes": encoded(picture(np.random.default_rng(k), 32, False), ("JPEG", "PNG")[k % 2])}}
        for k in range(40)
    ]  # fmt: skip
    made[20]["image"] = made[0]["image"]
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["task=audit", "datamodule=parquet", "datamodule.path=a.parquet", "audit.out=report"]) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "report" / "audit.json").read_text())
    page = (tmp_path / "report" / "audit.md").read_text()
    assert found["images"] == 40
    assert found["exact"]["images"] == 2
    assert found["tables"]["format"] == {"JPEG": {"real": 20}, "PNG": {"generated": 20}}
    for text in (shown, page, "\n".join(found["warnings"])):
        assert "a rule on format alone separates the classes (AUROC 1.00" in text
    assert "| JPEG | 20 | 0 |" in page

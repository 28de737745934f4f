"""Maps drawn beside a dump stand beside the picture."""

import base64
import io
import json

import numpy as np
import pytest
from packed import payload
from PIL import Image
from synthetic_predictions import draw

from benchmarks.drawing.heat import draw as draw_map
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import write_predictions
from benchmarks.review import review
from benchmarks.review.join import join
from benchmarks.review.maps import collect_maps
from contracts.errors import DataError


@pytest.fixture
def dump(tmp_path):
    predictions = draw(images=12)
    write_predictions(tmp_path / "a.npz", predictions)
    (tmp_path / "maps/x").mkdir(parents=True)
    (tmp_path / "maps/x/Delta01_vis.png").write_bytes(draw_map(np.arange(64.0).reshape(8, 8), "Delta01"))
    index = {str(predictions.fused_ids[3]): {"Delta01_vis": "x/Delta01_vis.png", "D0_native": "x/gone.png"}}
    (tmp_path / "maps/index.json").write_text(json.dumps(index))
    return tmp_path / "a.npz"


def test_the_page_carries_the_maps_of_its_images(dump):
    pixels = np.zeros((8, 8, 3), np.uint8)
    made = review([dump], dump.parent / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20))
    data = payload(made.page)
    (position,) = data["maps"]
    assert data["ids"][int(position)] == str(draw(images=12).fused_ids[3])
    (name,) = data["maps"][position]
    assert name == "Delta01_vis"
    png = base64.b64decode(data["maps"][position][name].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(png)).width > 8


def test_maps_are_capped_and_never_leave_their_folder(dump):
    joined = join([dump])
    assert collect_maps(joined, [3], most=10) == {}
    assert collect_maps(joined, [0, 1]) == {}
    index = dump.parent / "maps/index.json"
    index.write_text(json.dumps({str(joined.ids[3]): {"Delta01_vis": "../maps/x/Delta01_vis.png"}}))
    assert collect_maps(joined, [3]) == {}
    index.write_text("[1]")
    with pytest.raises(DataError, match="not an index of maps"):
        collect_maps(joined, [3])

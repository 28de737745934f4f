"""Every kind of detector that a graph is promised for gives the same logits as ONNX, and the others say why not."""

import numpy as np
import pytest
import torch
import zoo_commands as zoo

from conf.build import build_for_scoring
from conf.compose import compose
from contracts.batch import Batch
from contracts.errors import ConfigError, DataError
from contracts.view import View
from detectors.base import Detector
from detectors.classifier.detector import Classifier
from detectors.exported.onnx_detector import session
from detectors.npr.residual import nearest_sources
from tasks.exporting.compared import score_of
from tasks.exporting.graphs import Graph, as_half, logits_of, onnx_graph, program, refuse_without_graph


def made(words: str) -> Detector:
    torch.manual_seed(0)
    node = compose(["task=predict", *words.split()]).resolved["detector"]
    detector: Detector = build_for_scoring(node, from_checkpoint=False).eval()
    return detector


def largest_difference(detector: Detector, sizes: list[tuple[int, int]]) -> float:
    """Between torch and ONNX Runtime, over batches of 1 and 3 images."""
    view = detector.eval_view
    graph = session(onnx_graph(program(detector, view, detector.sides().least), detector.graph_outputs))
    rng, far = np.random.default_rng(0), 0.0
    for count, (height, width) in enumerate(sizes, start=1):
        images = rng.integers(0, 256, (count, 3, view.square or height, view.square or width), np.uint8)
        with torch.no_grad():
            wanted = Graph(detector)(torch.from_numpy(images))
        for ours, theirs in zip(
            (wanted,) if isinstance(wanted, torch.Tensor) else wanted, graph.run(None, {"images": images}), strict=True
        ):
            far = max(far, float(np.abs(ours.numpy() - theirs).max() / max(1.0, ours.abs().max().item())))
    return far


def batch_of(images: np.ndarray) -> Batch:
    rows = torch.arange(len(images))
    return Batch(torch.from_numpy(images), rows, rows, rows, rows, rows)


SMALL = "detector.eval_view.resize=64"


@pytest.mark.parametrize(
    "words",
    [
        "detector=npr detector.eval_view.resize=null",
        "detector=npr_multiscale detector.eval_view.resize=null detector.scales=[0.3,0.5]",
        f"detector=freqnet {SMALL}",
        f"detector=freqnet detector.front_end_options.symmetric=true detector.body_options.symmetric=true {SMALL}",
        "detector=residual detector.body_options.width=16",
        "detector=residual detector.body=tiny_ladeda detector.front_end=bit_planes detector.normalisation=unit",
        "detector=residual detector.body=tiny_ladeda detector.front_end=dwt_hh detector.normalisation=unit",
    ],
)
def test_graphs_give_the_logits_of_torch(words: str) -> None:
    assert largest_difference(made(words), [(67, 90), (64, 101), (80, 65)]) <= 1e-5


def test_programs_take_images_of_odd_sizes() -> None:
    detector = made("detector=npr_multiscale detector.eval_view.resize=null")
    traced = logits_of(program(detector, detector.eval_view, 8))
    for height, width in ((67, 90), (64, 101)):
        images = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)
        with torch.no_grad():
            torch.testing.assert_close(traced(images), score_of(detector)(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "words",
    [
        "hidden=16 blocks=1 temperature=[1.1,0.9]",
        "mixtures=1 hidden=8 blocks=1 score_levels=[1] score=D1",
        "model=zed_rep hidden=8 temperature=[1.1,0.9]",
        "model=srec hidden=16 blocks=1 temperature=[1.1,0.9,0.7]",
    ],
)
def test_the_graph_of_zed_gives_its_scores_at_any_size(words: str) -> None:
    detector = made(f"detector=zed {' '.join(f'detector.{word}' for word in words.split())}")
    detector.net.calibration.copy_(torch.tensor([0.3, 0.4]))  # type: ignore[union-attr, operator]
    graph = session(onnx_graph(program(detector, detector.eval_view, 2), detector.graph_outputs))
    rng = np.random.default_rng(0)
    for count, height, width in ((2, 64, 64), (1, 37, 50), (3, 18, 21), (1, 2, 2), (1, 3, 5)):
        images = rng.integers(0, 256, (count, 3, height, width), np.uint8)
        images[:, :, height // 2 :] //= 16  # dark parts: values far from the predicted ones, and tails
        found = dict(zip(detector.graph_outputs, graph.run(None, {"images": images}), strict=True))
        scores = detector.score(batch_of(images))
        for name, values in {"logits": scores.logits, **scores.extras}.items():
            if name in found:
                np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
    assert set(detector.graph_outputs) == found.keys() >= {detector.score_name, "logits"}


@pytest.mark.parametrize("mode", ["tune", "probe"])
def test_so_do_those_of_classifiers_and_probes(mode: str, tmp_path: pytest.TempPathFactory) -> None:
    weights = zoo.backbone(tmp_path)  # type: ignore[arg-type]
    detector = Classifier("timm/test_vit", weights=weights, mode=mode, image_size=32).eval()
    assert largest_difference(detector, [(32, 32)] * 5) <= 1e-5


def test_other_detectors_say_why_they_have_no_graph() -> None:
    for words, why in (
        ("detector.score=D0_p90", "D0_p90 is a percentile"),
        ("detector.max_side=512", "max_side resamples"),
        ("detector.model=zed_rep detector.legacy=true", "another program's arithmetic"),
    ):
        with pytest.raises(ConfigError, match=f"ZED cannot be exported as a graph: .*{why}"):
            refuse_without_graph(made(f"detector=zed {words}"), View())
    npr = made("detector=npr")
    with pytest.raises(ConfigError, match=r"detector\.eval_view\.augment"):
        refuse_without_graph(npr, View(augment=[lambda image, rng: image]))  # noqa: ARG005


def test_weights_beyond_16_bits_are_refused() -> None:
    with pytest.raises(DataError, match="x has values that 16 bits cannot hold"):
        as_half(np.array([1.0, 1e6], np.float32), "x")


def test_scales_of_large_fractions_need_a_fixed_size() -> None:
    with pytest.raises(ConfigError, match="not a fraction of small numbers"):
        program(made("detector=npr_multiscale detector.eval_view.resize=null detector.scales=[0.31415926]"), View(), 8)
    assert nearest_sources(10, 0.3).tolist() == [0, 0, 0, 0, 3, 3, 3, 6, 6, 6]

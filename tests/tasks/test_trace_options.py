"""Label policies, quantisers and ranks of a trace, on tiny untrained siblings."""

import itertools
from functools import partial

import numpy as np
import pytest
import timm
import torch

import tasks.scoring.report
from benchmarks.attribution.measures import attribution
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import read_predictions
from conf.compose import compose
from detectors.tracer.measuring.class_labels import marginal_log_likelihood, mixed_log_prob
from tasks.experiment.run import Run
from tasks.trace import trace
from tests.forked import Commands
from tests.tasks import traced
from tests.tasks.traced import CLASSES, TEST

CLASS_LABELS = 4
"""Of the drawn siblings."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Siblings, their images, and a label classifier of random weights."""
    base = traced.world(tmp_path_factory.mktemp("options"))
    torch.manual_seed(0)
    net = timm.create_model("test_resnet", num_classes=CLASS_LABELS)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    torch.save(net.state_dict(), base / "classifier.pth")
    return base


def traced_with(base, out, *more):
    """The test images' dump; tokens of VAR and candidate labels of all images by the order of the caches' keys."""
    with pytest.MonkeyPatch.context() as patch:
        few = partial(attribution, bootstrap=Bootstrap(resamples=20))
        patch.setattr(tasks.scoring.report, "attribution", few)
        trace(Run(compose(traced.words(base, base / "data", f"trace.out={out}", *more))))
    return read_predictions(out / "window_0" / "predictions_test_all.npz")


def cached(out, step, name):
    """Content key → result of a cached step."""
    folder = next((out / "trace_cache").glob(f"{step}_*"))
    found = {}
    for file in folder.glob("*.npz"):
        with np.load(file) as block:
            found |= dict(zip(block["key"].tolist(), block[name], strict=True))
    return found


def test_labels_of_a_classifier(base, tmp_path):
    """The classifier's best k are tried; ``marginal`` averages them in PRADA's likelihood, ``classifier`` takes one."""
    words = ["detector.classifier=test_resnet", f"detector.classifier_weights={base / 'classifier.pth'}"]
    lp = {}
    for policy in ("classifier", "marginal"):
        out = tmp_path / policy
        dump = traced_with(base, out, *words, f"detector.labels={policy}")
        assert dump.fused_multi_logits.shape == (TEST * len(CLASSES), len(CLASSES))
        labels = np.stack(list(cached(out, "labels", "labels").values()))
        prior = np.stack(list(cached(out, "labels", "log_prior").values()))
        assert labels.shape[1] == 2
        assert (labels[:, 0] != labels[:, 1]).all()
        assert labels.min() >= 0
        assert labels.max() < CLASS_LABELS
        assert (np.exp(prior).sum(1) <= 1 + 1e-6).all()
        assert (prior[:, 0] >= prior[:, 1]).all()
        lp[policy] = cached(out, "score_rar_s", "lp")
    taken = cached(tmp_path / "classifier", "score_rar_s", "label")
    candidates = cached(tmp_path / "classifier", "labels", "labels")
    assert all(taken[key] in candidates[key] for key in taken)
    one, mixed = (np.stack([lp[policy][key] for key in taken]) for policy in ("classifier", "marginal"))
    np.testing.assert_array_equal(one[..., 1], mixed[..., 1])
    assert not np.allclose(one[..., 0], mixed[..., 0])


def test_the_mixture_is_the_marginal_token_by_token():
    """Against the sum over classes, and against Bayes by hand for the second token."""
    generator = torch.Generator().manual_seed(0)
    lp = torch.randn(3, 2, 5, generator=generator).sub(2).double()
    log_prior = torch.randn(3, 2, generator=generator).double()
    mixed = mixed_log_prob(lp, log_prior)
    torch.testing.assert_close(mixed.sum(1), marginal_log_likelihood(lp.sum(-1), log_prior))
    weight = (log_prior + lp[..., 0]).softmax(1)
    torch.testing.assert_close(mixed[:, 1], (weight * lp[..., 1].exp()).sum(1).log())


def test_quantisers(base, tmp_path):
    """``icm`` and ``soft`` never explain the features worse than ``greedy``, and are told apart in the cache."""
    quant = {}
    for method in ("greedy", "icm", "soft"):
        traced_with(base, tmp_path / method, f"detector.quantiser={method}", "detector.soft_steps=3")
        quant[method] = cached(tmp_path / method, "encode_var", "quant_loss")
    keys = sorted(quant["greedy"])
    greedy, icm, soft = (np.array([quant[method][key] for key in keys]) for method in ("greedy", "icm", "soft"))
    for refined in (icm, soft):
        assert (refined <= greedy * (1 + 1e-5)).all()
    assert (icm < greedy * (1 - 1e-3)).any()


def test_a_decision_on_searched_tokens_scores_a_folder(base, tmp_path, monkeypatch):
    """Algorithm 3 takes gradients, where scoring takes none."""
    monkeypatch.chdir(tmp_path)
    before = traced_with(base, tmp_path / "out", "detector.quantiser=soft", "detector.soft_steps=3")
    from tasks.predict import predict

    words = ["task=predict", f"ckpt={tmp_path / 'out' / 'tracer.ckpt'}", "experiment_id=s", "trainer=cpu"]
    predict(Run(compose([*words, "datamodule=folder", f"datamodule.path={base / 'data' / 'test'}"])))
    found = read_predictions("experiments_data/s/predictions_predict_all.npz")
    assert len(found) == len(before)
    place = {i.removeprefix("test/"): k for k, i in enumerate(before.fused_ids.tolist())}
    order = [place[i] for i in found.fused_ids.tolist()]
    np.testing.assert_allclose(found.fused_multi_logits, before.fused_multi_logits[order], rtol=1e-2, atol=1e-2)


def test_two_ranks_say_what_one_says(base, zygote: Commands, tmp_path):
    """Blocks are shared out; one rank writes. So too when the tracer scores as a detector."""
    zygote.folder = tmp_path
    two = ["trainer.devices=2", "trainer.strategy=ddp"]
    words = traced.words(base, base / "images" / "images.csv", "trace.block=8", "trainer.enable_progress_bar=false")
    for ranks in (1, 2):
        out = tmp_path / f"out{ranks}"
        printed = zygote.run(f"trace{ranks}", [*words, f"trace.out={out}", *(two if ranks == 2 else ())], ranks)
        assert printed.count("checkpoint for task=test and task=predict: ckpt=") == 1
        score = ["task=test", f"ckpt={tmp_path / 'out1' / 'tracer.ckpt'}", "datamodule=tracer", "trainer=cpu"]
        score += [f"datamodule.path={base / 'images' / 'images.csv'}", "trainer.enable_progress_bar=false"]
        zygote.run(f"test{ranks}", [*score, f"experiment_id=s{ranks}", *(two if ranks == 2 else ())], ranks)
    folders = [[tmp_path / f"out{ranks}", tmp_path / f"experiments_data/s{ranks}"] for ranks in (1, 2)]
    for one, both in zip(*folders, strict=True):
        dumps = [read_predictions(folder / "window_0" / "predictions_test_all.npz") for folder in (one, both)]
        assert len(dumps[0]) == TEST * len(CLASSES)
        assert dumps[0].fused_ids.tolist() == dumps[1].fused_ids.tolist()
        np.testing.assert_allclose(dumps[0].fused_multi_logits, dumps[1].fused_multi_logits, rtol=1e-3, atol=1e-3)
    blocks = [set(cached(tmp_path / f"out{ranks}", "score_var_m", "lp")) for ranks in (1, 2)]
    assert blocks[0] == blocks[1]
    assert len(list(itertools.chain(*blocks))) == 2 * len(blocks[0]) > 0

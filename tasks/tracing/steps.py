"""The cached steps of a trace: tokens of each family, candidate labels, then the likelihoods of each variant."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contracts.errors import DataError
from contracts.words import counted
from detectors.tracer.deciding.evidence import Evidence
from detectors.tracer.measuring.class_labels import screen_labels
from detectors.tracer.measuring.passes import NULL, encode_pass, lengths_of, variant_pass
from detectors.tracer.measuring.zoo import Variant, file_key
from detectors.tracer.models.var_vqvae import VarVqvae
from detectors.tracer.tracer import Tracer
from tasks.tracing.cache import BlockCache, content_key
from tasks.tracing.images import Images, load
from tasks.tracing.machine import Arrays, Machine

FORMAT = "1"
Compute = Callable[[NDArray[np.int64]], Arrays]


@dataclass
class Steps:
    """Runs the steps and gathers their results."""

    tracer: Tracer  # the settings
    machine: Machine  # the devices
    datamodule: Any  # data module of the images
    images: Images  # the images to trace
    cache: Path  # folder of all caches
    positions: int  # tokens per slice of the softmax

    def __post_init__(self) -> None:
        self.keys = list(self.images.keys)
        self._hashes: dict[Path, str] = {}

    def evidence(self) -> Evidence:
        """Runs all steps that are not cached, and gathers the results."""
        encoded = {family: self._encode(family) for family in self.tracer.zoo.tokenizers}
        labels = {family: self._labels(family, *encoded[family]) for family in encoded}
        features, lp, names, lengths = {}, {}, {}, {}
        for variant in self.tracer.zoo.variants:
            cache, keys = self._score(variant, *encoded[variant.family], *labels[variant.family])
            found = cache.read(keys, ("features", "lp"))
            features[variant.name], lp[variant.name] = found["features"], found["lp"]
            names[variant.family] = tuple(cache.note("features"))
            lengths[variant.name] = tuple(int(n) for n in cache.note("lengths"))
        losses = {family: cache.read(self.keys, ("quant_loss", "enc_loss")) for family, (cache, _) in encoded.items()}
        return Evidence(
            families=self.tracer.families,
            lengths=lengths,
            names=names,
            features=features,
            lp=lp,
            quant_loss={family: found["quant_loss"] for family, found in losses.items()},
            enc_loss={family: found["enc_loss"] for family, found in losses.items()},
        )

    def _encode(self, family: str) -> tuple[BlockCache, str]:
        """One pass of every image through the family's tokenizer."""
        tracer, device = self.tracer, self.machine.device
        inverse = tracer.inverse.get(family)
        method = tracer.quantiser if family == "var" else "greedy"
        step = content_key(
            FORMAT, "encode", self._hash(tracer.zoo.tokenizers[family]), self._hash(inverse) if inverse else "",
            method, str(tracer.soft_steps if method == "soft" else 0),
        )  # fmt: skip
        cache = BlockCache(self.cache / f"encode_{family}_{step[:12]}")

        def begin() -> Compute:
            tokenizer = tracer.zoo.tokenizer(family, inverse).to(device)

            def compute(rows: NDArray[np.int64]) -> Arrays:
                pixels = load(self.datamodule, self.images.rows[rows]).to(device)
                done = encode_pass(tokenizer, pixels, method, tracer.soft_steps)
                losses = {name: getattr(done, name).cpu().numpy() for name in ("quant_loss", "enc_loss")}
                return {"tokens": done.tokens.cpu().numpy().astype(np.uint16)} | losses

            return compute

        self.machine.work(f"tokens {family}", cache, self.keys, begin)
        return cache, step

    def _labels(self, family: str, encoded: BlockCache, encode_step: str) -> tuple[str, BlockCache | None]:
        """Candidate labels: a cache, or None if images have their own labels or none are used."""
        tracer, device = self.tracer, self.machine.device
        if tracer.labels in ("given", "null"):
            return tracer.labels, None
        if tracer.labels == "generator":
            smallest = tracer.zoo.smallest(family)
            step = content_key(FORMAT, "screen", encode_step, self._hash(smallest.path), str(tracer.candidates))
            cache = BlockCache(self.cache / f"labels_{family}_{step[:12]}")

            def begin_screening() -> Compute:
                model = tracer.zoo.model(smallest).to(device)
                feed = self._feed(family)

                def compute(rows: NDArray[np.int64]) -> Arrays:
                    tokens = self._tokens(encoded, rows)
                    with self.machine.autocast():
                        labels, _ = screen_labels(model, tokens, tracer.candidates, teacher_input=feed(tokens))
                    return {"labels": labels.cpu().numpy(), "log_prior": np.zeros(labels.shape, np.float32)}

                return compute

            self.machine.work(f"labels {family} by {smallest.name}", cache, self.keys, begin_screening)
            return step, cache
        weights = tracer.classifier_weights
        step = content_key(
            FORMAT, "classifier", str(tracer.classifier), self._hash(weights) if weights else "", str(tracer.candidates)
        )
        cache = BlockCache(self.cache / f"labels_{step[:12]}")

        def begin_classifying() -> Compute:
            net = tracer.label_classifier().to(device)

            def compute(rows: NDArray[np.int64]) -> Arrays:
                labels, log_prior = net(load(self.datamodule, self.images.rows[rows]).to(device))
                return {"labels": labels.cpu().numpy(), "log_prior": log_prior.cpu().numpy()}

            return compute

        self.machine.work("labels by classifier", cache, self.keys, begin_classifying)
        return step, cache

    def _score(
        self, variant: Variant, encoded: BlockCache, encode_step: str, label_step: str, labels: BlockCache | None
    ) -> tuple[BlockCache, list[str]]:
        """One pass of every image through one variant, with all candidate labels and the null class together."""
        tracer, device = self.tracer, self.machine.device
        step = content_key(
            FORMAT, "score", encode_step, label_step, self._hash(variant.path), repr(asdict(variant.sampling)),
            tracer.spread, self.machine.precision, tracer.labels,
        )  # fmt: skip
        cache = BlockCache(self.cache / f"score_{variant.name}_{step[:12]}")
        given = self._given() if tracer.labels == "given" else None
        keys = self.keys
        if given is not None:
            keys = [f"{key}:{label}" for key, label in zip(keys, given.tolist(), strict=True)]

        def begin() -> Compute:
            model = tracer.zoo.model(variant).to(device)
            feed = self._feed(variant.family)

            def compute(rows: NDArray[np.int64]) -> Arrays:
                tokens = self._tokens(encoded, rows)
                candidates, log_prior = self._candidates(rows, labels, given)
                with torch.no_grad(), self.machine.autocast():
                    done = variant_pass(
                        model, tokens, candidates, log_prior, variant.sampling, teacher_input=feed(tokens),
                        positions=self.positions, spread=tracer.spread, mixed=tracer.labels == "marginal",
                    )  # fmt: skip
                if not cache.note("features"):
                    cache.write_note("features", done.names)
                    cache.write_note("lengths", [str(n) for n in lengths_of(model)])
                return {
                    "features": done.features.cpu().numpy(),
                    "lp": done.lp.cpu().numpy(),
                    "label": done.label.cpu().numpy(),
                }

            return compute

        self.machine.work(f"likelihoods {variant.name}", cache, keys, begin)
        return cache, keys

    def _candidates(
        self, rows: NDArray[np.int64], labels: BlockCache | None, given: NDArray[np.int64] | None
    ) -> tuple[Tensor, Tensor]:
        device = self.machine.device
        if labels is not None:
            found = labels.read([self.keys[row] for row in rows.tolist()], ("labels", "log_prior"))
            return torch.from_numpy(found["labels"]).to(device), torch.from_numpy(found["log_prior"]).to(device)
        chosen = np.full(len(rows), NULL) if given is None else given[rows]
        return torch.from_numpy(chosen)[:, None].to(device), torch.zeros(len(rows), 1, device=device)

    def _given(self) -> NDArray[np.int64]:
        """Class labels from the data module.

        Raises:
            DataError: an image has no label.
        """
        manifest = self.datamodule.manifest()
        if "class_label" not in manifest.table.column_names:
            raise DataError("detector.labels=given, but the data has no classes", "Use a table with a column class.")
        found: NDArray[np.int64] = manifest.column("class_label")[self.images.rows].astype(np.int64)
        if (found < 0).any():
            first = manifest.image_id(int(self.images.rows[int((found < 0).argmax())]))
            raise DataError(
                f"detector.labels=given, but {counted(int((found < 0).sum()), 'image')} have none, first {first!r}",
                "Fill in the column class, or choose detector.labels=generator.",
            )
        return found

    def _tokens(self, encoded: BlockCache, rows: NDArray[np.int64]) -> Tensor:
        found = encoded.read([self.keys[row] for row in rows.tolist()], ("tokens",))["tokens"]
        return torch.from_numpy(found.astype(np.int64)).to(self.machine.device)

    def _feed(self, family: str) -> Callable[[Tensor], Tensor | None]:
        """Function from tokens to VAR's teacher-forcing input, the same for all variants; to None for RAR."""
        if family != "var":
            return lambda tokens: None  # noqa: ARG005
        tokenizer = self.tracer.zoo.tokenizer(family)
        assert isinstance(tokenizer, VarVqvae)  # noqa: S101 - guaranteed by Zoo.tokenizer
        quantiser = tokenizer.quantize.to(self.machine.device)
        return torch.no_grad()(quantiser.teacher_input)

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = file_key(path)
        return self._hashes[path]

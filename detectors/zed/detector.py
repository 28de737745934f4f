"""ZED as a detector: a density model trained only on real images, and one score per image."""

import warnings
from collections.abc import Sequence
from typing import Literal, Unpack

import torch
import torch.distributed
from torch import Tensor

from contracts.batch import Batch
from contracts.errors import ConfigError, check_known, nearest
from contracts.view import Sides, View
from detectors.base import Scores, Training
from detectors.zed.averaged_detector import AveragedDetector
from detectors.zed.calibration import calibrate
from detectors.zed.graph import graph_scores
from detectors.zed.maps import POSITIONS, LevelMaps, level_maps
from detectors.zed.models.coding import coding_cost, lossless_bits_per_subpixel
from detectors.zed.models.density import InputScale
from detectors.zed.models.legacy import image_scores
from detectors.zed.models.networks import Kind, Net, foreign_model, freeze_idle, make_model
from detectors.zed.models.published_heads import PublishedHead
from detectors.zed.models.pyramid import Rounding
from detectors.zed.models.srec import Means
from detectors.zed.scores import FIRST_COLUMNS, Upsampling, delta_map, filled, score_names, scored_maps, scores_of_means

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class ZED(AveragedDetector):
    """Zero-shot detection by the surprise of a lossless compressor (Cozzolino et al. 2024).

    It is trained on real images; tasks give it no others. The logit is the chosen score, calibrated on the scores of
    real validation images: P(generated) is 0.05 at their median and 0.5 at their 95th percentile. With published
    weights, which have no calibration, the logit is the score itself. All scores are named extras.

    Args:
        train_view: see `Detector`.
        eval_view: keep the native size, which the statistic needs; ``least`` rejects images without a 2x2 block.
        model: ``srec`` (the paper's), ``heads`` (half-resolution heads) or ``zed_rep`` (heads of that code base).
        mixtures: logistics per subpixel; 1 gives the residual head of ``heads``, 0 that of ``zed_rep``; None, here and
            up to ``levels``, for the model's default.
        hidden: channels.
        blocks: residual blocks.
        levels: levels modelled.
        means: means of SReC: ``residual`` (learns fast) or ``absolute`` (as published).
        input_scale: affine of the heads' input, ``uint8``, ``unit`` or ``tanh``; None for the model's default.
        level1: file of ZED_Rep's head for level 1; ``ckpt`` gives that for level 0.
        legacy: scores bit-identical to ZED_Rep's, mistakes included; only for ``model=zed_rep``.
        train_levels: levels trained, None for all; the others keep their weights.
        score: name of the score that becomes the logit.
        score_levels: levels evaluated; level 2 costs time and only ``Delta12`` and ``bpsp`` need it.
        percentiles: percentiles over pixels that become further scores.
        temperature: divides the logits of the mixture weights; one number, or one per level from level 0 on.
        rounding: rounding of the pyramid, ``ties_down`` (SReC) or ``half_even`` (``torch.round``).
        clamp_p: floor of a component's mass, for parity with code that has one.
        upsampling: how D1 is upsampled to full resolution in maps: ``nearest``, ``bilinear`` or ``bicubic``.
        max_side: longest side to which larger images are reduced, which removes evidence; None keeps them.
        conv_dtype: type of the convolutions in evaluation; the last layer and the likelihood stay float32.
        positions: half-resolution positions evaluated at once: bounds memory, changes no score.
        ema_decay: decay of the averaged weights that validation, checkpoints and scores use; None for no average.
        training: see `Detector`.

    Raises:
        ConfigError: an unknown name, a value out of range, or options that exclude each other.
    """

    trains_on = "real"
    takes_paired = False
    monitor = "val/bits"
    monitor_mode = "min"
    first_columns = FIRST_COLUMNS
    map_unit = "nats a subpixel"
    net: Net

    def __init__(
        self,
        train_view: View,
        eval_view: View,
        model: Kind = "heads",
        mixtures: int | None = None,
        hidden: int | None = None,
        blocks: int | None = None,
        levels: int | None = None,
        means: Means = "residual",
        input_scale: InputScale | None = None,
        level1: str | None = None,
        legacy: bool = False,
        train_levels: Sequence[int] | None = None,
        score: str = "AbsDelta01",
        score_levels: Sequence[int] = (0, 1),
        percentiles: Sequence[float] = (50, 90),
        temperature: float | Sequence[float] = 1.0,
        rounding: Rounding = "ties_down",
        clamp_p: float | None = None,
        upsampling: Upsampling = "nearest",
        max_side: int | None = None,
        conv_dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        positions: int = POSITIONS,
        ema_decay: float | None = 0.999,
        **training: Unpack[Training],
    ) -> None:
        super().__init__(train_view, eval_view, **training)
        self.net = Net(make_model(model, mixtures, hidden, blocks, levels, means, input_scale))
        count = self.net.model.levels
        check_known("detector.conv_dtype", conv_dtype, PRECISIONS)
        if max_side is not None and max_side < 2:
            raise ConfigError(f"detector.max_side={max_side}", "Give a side in pixels, or null for the native size.")
        if ema_decay is not None and not 0 <= ema_decay < 1:
            raise ConfigError(f"detector.ema_decay={ema_decay}", "Give a number from 0 to below 1, or null for none.")
        if legacy and model != "zed_rep":
            raise ConfigError(f"detector.legacy=true with detector.model={model}", "Choose detector.model=zed_rep.")
        self.score_levels = _known_levels(score_levels, count, "score_levels")
        self.train_levels = _known_levels(range(count) if train_levels is None else train_levels, count, "train_levels")
        names = FIRST_COLUMNS if legacy else score_names(self.score_levels, percentiles)
        if score not in names:
            place = f"levels {list(self.score_levels)}"
            raise ConfigError(f"detector.score={score!r} is not a score of {place}", nearest(score, names))
        self.temperature = (temperature,) * count if isinstance(temperature, int | float) else tuple(temperature)
        if len(self.temperature) != count or min(self.temperature) <= 0:
            raise ConfigError(f"detector.temperature={temperature}", f"Give one positive number, or {count} of them.")
        self.input_scale, self.level1, self.legacy = input_scale, level1, legacy
        self.score_name, self.percentiles = score, tuple(percentiles)
        self.rounding, self.clamp_p, self.upsampling = rounding, clamp_p, upsampling
        self.max_side, self.conv_dtype, self.positions = max_side, PRECISIONS[conv_dtype], positions
        self.ema_decay = ema_decay
        self._real: list[float] = []
        self._describe_graph()
        if self.make_optimizer is not None:
            freeze_idle(self.net.model, self.train_levels)
        if max_side is not None and not legacy:
            warnings.warn(
                f"detector.max_side={max_side}: larger images are resampled, which removes the evidence of level 0",
                stacklevel=2,
            )

    def sides(self) -> Sides:
        """At least one 2x2 block: without it there is no level below the finest."""
        return Sides(2)

    def loss(self, batch: Batch) -> Tensor:
        """Coding cost in bits per subpixel; see `costs`."""
        return self.costs(batch.images)["bits"]

    def costs(self, images: Tensor) -> dict[str, Tensor]:
        """Mean cost of a batch: ``bits``, and ``bits0``, ``bits1`` … per coded subpixel of each level.

        If a lossless model codes all its levels, ``bits`` is the size of the file per subpixel; otherwise it is the
        mean over the levels, which are then independent of each other.
        """
        model = self.net.model
        found = coding_cost(model, as_pixels(images), self.train_levels, rounding=self.rounding, clamp_p=self.clamp_p)
        each = {f"bits{level}": cost.per_subpixel.mean() for level, cost in sorted(found.items())}
        if model.lossless and len(found) == model.levels:
            H, W = images.shape[-2:]
            return {"bits": lossless_bits_per_subpixel(found, H, W, model.levels).mean(), **each}
        return {"bits": torch.stack(list(each.values())).mean(), **each}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """The loss of one step; logs it, its running mean and the cost of each level."""
        costs = self.costs(batch.images)
        smoothed = self.smooth(float(costs["bits"].detach()))
        count = len(batch.label)
        self.log("train/loss", costs["bits"], batch_size=count)
        self.log("train/loss_smoothed", smoothed, prog_bar=True, batch_size=count)
        self.log_dict({f"train/{name}": value for name, value in costs.items() if name != "bits"}, batch_size=count)
        return costs["bits"]

    def score(self, batch: Batch) -> Scores:
        """One logit per image, and every score as a named extra."""
        found = self.scores(batch.images)
        centre, spread = self.net.calibration.double()
        logits = (found[self.score_name].double() - centre) / spread
        return Scores(logits.float(), {name: value.float() for name, value in found.items()})

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images ``[B, 3, H, W]`` uint8 → `graph_outputs`, each ``[B]`` float32, as operators of a graph."""
        found = graph_scores(self.net.model, images, self.score_levels, self.temperature, self.rounding, self.clamp_p)
        centre, spread = self.net.calibration.double()
        return tuple(one.float() for one in ((found[self.score_name] - centre) / spread, *found.values()))

    def _describe_graph(self) -> None:
        """Set `graph_outputs`, or `no_graph`."""
        none = torch.zeros(1)
        names = tuple(scores_of_means(dict.fromkeys(self.score_levels, (none, none))))
        reasons = {
            "detector.legacy repeats another program's arithmetic": self.legacy,
            "detector.max_side resamples larger images": self.max_side is not None,
            f"detector.score={self.score_name} is a percentile, which sorts all pixels": self.score_name not in names,
        }
        self.no_graph = next((text for text, applies in reasons.items() if applies), "")
        self.graph_outputs = () if self.no_graph else ("logits", *names)

    def scores(self, images: Tensor) -> dict[str, Tensor]:
        """All scores ``[B]`` of images ``[B, 3, H, W]``, uint8 or unit-range float32."""
        pixels = as_pixels(images)
        if self.legacy:
            fine, coarse = self._legacy_heads()
            each = [image_scores(fine, coarse, one, self.max_side, *self.temperature[:2]) for one in pixels]
            return {name: torch.cat([scores[name] for scores in each]) for name in each[0]}
        pixels = self.sized(pixels)
        maps = self.level_maps(pixels)
        return scored_maps(self.net.model, maps, (pixels.shape[-2], pixels.shape[-1]), self.percentiles)

    def level_maps(self, pixels: Tensor) -> dict[int, LevelMaps]:
        """Surprise of every pixel of uint8 images ``[B, 3, H, W]``, level by level."""
        return level_maps(
            self.net.model,
            pixels,
            self.score_levels,
            temperature=self.temperature,
            rounding=self.rounding,
            clamp_p=self.clamp_p,
            positions=self.positions,
            conv_dtype=self.conv_dtype,
        )

    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """Maps of one image ``[3, H, W]`` for display, float32 in nats per subpixel.

        Returns:
            ``D0_native``, ``D1_native`` and ``Delta01_vis`` (D0 less the upsampled D1), and NLL and entropy of each
            level, each ``[H_l, W_l]``. Pixels that carry no cost show the mean of their 2x2 block.
        """
        found = self.level_maps(self.sized(as_pixels(image[None].to(self.device))))
        shown = {f"D{level}_native": filled(m.d, m.coded) for level, m in sorted(found.items())}
        if 0 in found and 1 in found:
            shown["Delta01_vis"] = delta_map(found, self.upsampling)
        for level, m in sorted(found.items()):
            shown |= {f"NLL{level}": filled(m.nll, m.coded), f"H{level}": filled(m.entropy, m.coded)}
        return {name: values[0].float().cpu() for name, values in shown.items()}

    def sized(self, pixels: Tensor) -> Tensor:
        """Images whose longest side is at most ``max_side``; larger ones are reduced (bicubic, antialiased)."""
        H, W = pixels.shape[-2:]
        if self.max_side is None or max(H, W) <= self.max_side:
            return pixels
        size = [max(2, round(side * self.max_side / max(H, W))) for side in (H, W)]
        from torchvision.transforms.v2.functional import InterpolationMode, resize_image  # slow

        reduced: Tensor = resize_image(pixels, size, InterpolationMode.BICUBIC, antialias=True)
        return reduced

    def validation_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # type: ignore[override]
        """Scores of a batch; also logs the cost of its real images and keeps their scores for the calibration."""
        scores = super().validation_step(batch, batch_idx)
        if batch is not None and scores is not None and self._fitting():
            real = (batch.label == 0).nonzero().flatten().tolist()
            bits = [scores.extras[f"bits{level}"] for level in self.train_levels if level in self.score_levels]
            if bits and real:
                self.log("val/bits", torch.stack(bits).mean(0)[real].mean(), batch_size=len(real), sync_dist=True)
            self._real += scores.extras[self.score_name][real].tolist()
        return scores

    def on_validation_start(self) -> None:
        """Forget the scores of earlier real images."""
        self._real = []
        super().on_validation_start()

    def on_validation_epoch_end(self) -> None:
        """Calibrate on the scores of real images, before any callback saves the weights."""
        if not self._fitting():
            return
        found = calibrate(gathered(self._real))
        if found is not None:
            self.net.calibration.copy_(torch.tensor(found))

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace the model if the weights are published ones (SReC's ``nets``, a ZED_Rep head), by their sizes."""
        model = foreign_model(state, self.level1, self.input_scale)
        if model is None:
            return state
        _known_levels(self.score_levels, model.levels, "score_levels")
        self.net.model = model
        self._describe_graph()
        return dict(self.net.state_dict())

    def configure_model(self) -> None:
        """Set the memory format and compile the networks inside the model, which has no forward pass itself."""
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last)
        if self.compile_net:
            for part in self.net.model.networks():
                if getattr(part, "_compiled_call_impl", None) is None:
                    part.compile(dynamic=True)

    def _legacy_heads(self) -> tuple[PublishedHead, PublishedHead]:
        fine, coarse = (self.net.model.get_submodule(f"heads.{level}") for level in (0, 1))
        if not isinstance(fine, PublishedHead) or not isinstance(coarse, PublishedHead):
            raise ConfigError(
                "detector.legacy=true with a model that has no ZED_Rep heads",
                "Give the weights of two ZED_Rep heads: ckpt=FILE and detector.level1=FILE.",
            )
        return fine, coarse

    def _fitting(self) -> bool:
        trainer = self._trainer
        return trainer is not None and trainer.state.fn == "fit" and not trainer.sanity_checking


def as_pixels(images: Tensor) -> Tensor:
    """Images as uint8; floats in 0..1, which a degradation may leave, are rounded to 8 bits."""
    return images if images.dtype == torch.uint8 else (images * 255).round().clamp(0, 255).to(torch.uint8)


def gathered(values: list[float]) -> list[float]:
    """The values of all ranks, identical on each."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return values
    parts: list[list[float]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, values)
    return [value for part in parts for value in part]


def _known_levels(levels: Sequence[int], count: int, name: str) -> tuple[int, ...]:
    if not levels or not set(levels) <= set(range(count)):
        raise ConfigError(f"detector.{name}={list(levels)}", f"The model has levels 0 to {count - 1}.")
    return tuple(sorted(set(levels)))

"""What a detector relies on, in words, as Markdown, and as tidy comma-separated text."""

from collections.abc import Sequence
from math import isnan

from rich import box
from rich.table import Table

from benchmarks.robustness.bias import CONDITIONS, DeliveryBias, Figure
from contracts.files import csv_text
from contracts.words import counted

TIDY = ("delivery", "figure", "value", "low", "high", "real", "generated")
HEADS = ("delivery", "neither", "both", "only generated", "only real", "robustness", "bias", "logit, real", "generated")
TRACES = {
    "traces of JPEG compression": ("jpeg", "jpeg444"),
    "traces of WebP compression": ("webp",),
    "traces of AVIF compression": ("avif",),
    "image size or traces of resampling": ("resize", "side"),
    "sharpness": ("blur", "kernel", "sharpen"),
    "noise": ("noise", "variance"),
    "how much of the scene an image shows, or its size": ("crop", "centre", "cut"),
}
"""What the kinds of single steps leave in an image."""


def verdict(found: Sequence[DeliveryBias]) -> list[str]:
    """What the detector relies on, in sentences; of each kind and direction the delivery with the greatest bias."""
    lines, named = [], set()
    for one in found:
        what = trace(one.name), one.bias.value > 0
        if not one.bias.significant or what in named:
            continue
        named.add(what)
        both, clean = one.aurocs["both"], one.aurocs["neither"]
        lines.append(
            f"{_cause(one)} AUROC is "
            f"{clean.value:.3f} as the images are, {one.aurocs['generated'].value:.3f} with only generated images "
            f"delivered, {one.aurocs['real'].value:.3f} with only real ones (bias {one.bias.value:+.3f} "
            f"{interval(one.bias)}), and {both.value:.3f} with both alike."
        )
    if unknown := [one.name for one in found if isnan(one.bias.low)]:
        lines.append(f"Too few photographs to tell a bias from chance after {', '.join(unknown)}.")
    steady = [one.name for one in found if not one.bias.significant and one.name not in unknown]
    if steady:
        lines.append(f"No bias was found after {', '.join(steady)}: the interval of the bias contains 0.")
    weak = [one for one in found if one.robustness.high < 0]
    if weak:
        worst = min(weak, key=lambda one: one.robustness.value)
        lines.append(
            f"AUROC falls when both classes are delivered alike, most after {worst.name}: "
            f"{worst.robustness.value:+.3f} {interval(worst.robustness)}. That is a lack of robustness, not bias."
        )
    return lines


def _cause(one: DeliveryBias) -> str:
    """What a significant bias can come from, which depends on the classes whose mean logit moves.

    A trace that the detector takes for a sign of a class moves both. One class moves alone if the other has that trace
    already, but also if a delivery removes the signs of one class: no AUROC tells these two apart.
    """
    kind, name, looks = trace(one.name), one.name, _looks(one.bias)
    shifts = {"real": one.shift_real, "generated": one.shift_generated}
    moved = {label: _looks(shift) for label, shift in shifts.items() if shift.significant}
    if list(moved.values()) == [looks, looks]:
        return f"The detector relies on {kind}: images of both classes look more {looks} after {name}."
    if len(set(moved.values())) == 2:
        return (
            f"After {name} real images look more {moved['real']} and generated images more {moved['generated']}: the "
            "bias says only which class changes more."
        )
    if list(moved.values()) == [looks]:
        (label,) = moved
        other = "generated" if label == "real" else "real"
        return (
            f"After {name} {label} images look more {looks}, and no change of {other} images was found: the detector "
            f"relies on {kind}, which {other} images may have already, or {name} removes its signs of {label} images."
        )
    return (
        f"The detector may rely on {kind}: by AUROC, images look more {looks} after {name}, but no class has a mean "
        "logit that moves this way for certain."
    )


def _looks(figure: Figure) -> str:
    return "generated" if figure.value > 0 else "real"


def trace(name: str) -> str:
    """What a delivery leaves in an image: an entry of `TRACES` if all its steps belong to it, else its own name."""
    kinds = {step.rpartition("-")[0] for step in name.split("+")}
    return next((words for words, known in TRACES.items() if kinds and kinds <= set(known)), f"traces of {name}")


def interval(figure: Figure) -> str:
    """Its interval in brackets, "" without one."""
    return "" if figure.low != figure.low else f"[{figure.low:+.3f}, {figure.high:+.3f}]"


def _rows(found: Sequence[DeliveryBias], intervals: bool) -> list[list[str]]:
    def signed(figure: Figure, digits: int = 3) -> str:
        return f"{figure.value:+.{digits}f}" + (f" {interval(figure)}" if intervals else "")

    return [
        [one.name, *(f"{one.aurocs[name].value:.3f}" for name in CONDITIONS), signed(one.robustness), signed(one.bias),
         signed(one.shift_real), signed(one.shift_generated)]
        for one in found
    ]  # fmt: skip


def markdown(found: Sequence[DeliveryBias], ckpt: str) -> str:
    """A page: the verdict, the table, and how to read it."""
    counts = f"{counted(found[0].real, 'real image')} and {counted(found[0].generated, 'generated image')}"
    lines = [f"# What {ckpt} relies on", "", f"{counts}; 95 % intervals from a bootstrap of photographs.", ""]
    lines += [f"* {text}" for text in verdict(found)]
    lines += ["", "| " + " | ".join(HEADS) + " |", "|---" + "|--:" * (len(HEADS) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in _rows(found, intervals=True)]
    lines += [
        "",
        "AUROC with neither class delivered, both, only generated and only real images; robustness is both minus "
        "neither, bias is only generated minus only real (above 0: delivered images look more generated); last the "
        "mean change of the logit of each class.",
        "",
    ]
    return "\n".join(lines)


def tidy(found: Sequence[DeliveryBias]) -> str:
    """One line for each delivery and figure."""
    lines = []
    for one in found:
        figures = {f"auroc_{name}": figure for name, figure in one.aurocs.items()}
        figures |= {"robustness": one.robustness, "bias": one.bias}
        figures |= {"logit_shift_real": one.shift_real, "logit_shift_generated": one.shift_generated}
        lines += [[one.name, key, f.value, f.low, f.high, one.real, one.generated] for key, f in figures.items()]
    return csv_text([TIDY, *lines])


def terminal(found: Sequence[DeliveryBias]) -> Table:
    """For the screen, without intervals."""
    shown = Table(box=box.SIMPLE_HEAD, title="AUROC with one class or both delivered", pad_edge=False)
    for place, head in enumerate(HEADS):
        shown.add_column(head, justify="right" if place else "left")
    for row in _rows(found, intervals=False):
        shown.add_row(*row)
    return shown

"""QuickGELU, x · sigmoid(1.702 x): the activation of OpenAI's CLIP and of models trained with its code.

Libraries store the activation separately from the weights. open_clip's ``ViT-B-32:openai`` and timm's
``vit_base_patch32_clip_224.openai`` are built with GELU, although the records of both say that the weights were trained
with QuickGELU; only ``ViT-B-32-quickgelu`` and ``vit_base_patch32_clip_quickgelu_224`` are built with it. Features with
the wrong activation are similar to the correct ones, but wrong.
"""

from torch import nn


def has_quick_gelu(module: nn.Module) -> bool:
    """Whether the module contains a QuickGELU; timm and open_clip each have a class of that name."""
    return any(type(part).__name__ == "QuickGELU" for part in module.modules())


def replace_quick_gelu(module: nn.Module) -> None:
    """Replace every QuickGELU with GELU, in place."""
    for part in list(module.modules()):
        for name, child in part.named_children():
            if type(child).__name__ == "QuickGELU":
                setattr(part, name, nn.GELU())

"""QuickGELU, x · sigmoid(1.702 x): the activation of OpenAI's CLIP and of all that were trained by its code.

Libraries keep the activation apart from the weights. open_clip's ``ViT-B-32:openai`` and timm's
``vit_base_patch32_clip_224.openai`` are built with GELU, though the records of both say that the weights were trained
with QuickGELU; only ``ViT-B-32-quickgelu`` and ``vit_base_patch32_clip_quickgelu_224`` have it by name. Features of the
wrong activation are near the right ones, and wrong.
"""

from torch import nn


def has_quick_gelu(module: nn.Module) -> bool:
    """Whether one of the module's activations is QuickGELU; timm and open_clip have a class of that name each."""
    return any(type(part).__name__ == "QuickGELU" for part in module.modules())


def replace_quick_gelu(module: nn.Module) -> None:
    """Put GELU in the place of every QuickGELU, in place."""
    for part in list(module.modules()):
        for name, child in part.named_children():
            if type(child).__name__ == "QuickGELU":
                setattr(part, name, nn.GELU())

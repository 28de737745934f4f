"""Low-rank adapters by peft (Hu et al. 2022): y = W x + b + s B (A x) with s = α / r."""

from typing import Any

from torch import nn

from contracts.errors import ConfigError
from detectors.backbones.library import State

LINEAR = r".*blocks\.\d+\.(attn\.(qkv|q_proj|k_proj|v_proj|proj)|mlp\.(fc1|fc2))"
"""Linear layers inside the blocks; peft's own rule by suffixes would adapt timm's patch embedding, a convolution."""


def add_adapters(
    module: nn.Module, name: str, rank: int, alpha: float, rank_stabilised: bool, modules: str | None
) -> None:
    """Freeze a network and put adapters into linear layers, in place; at first they change nothing (B = 0).

    Args:
        module: the network.
        name: name of the network, for messages.
        rank: r.
        alpha: α.
        rank_stabilised: s = α / √r instead.
        modules: regular expression of the whole names of layers; None for `LINEAR`.

    Raises:
        ConfigError: peft is absent, or no layer has such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ConfigError("detector.tune=lora needs peft", "pip install 'pixelproof[lora]'.") from error
    if rank < 1 or alpha <= 0:
        raise ConfigError(f"detector.rank={rank} detector.alpha={alpha:g}", "Give a positive rank and alpha.")
    wanted = modules or LINEAR
    config = LoraConfig(r=rank, lora_alpha=alpha, use_rslora=rank_stabilised, target_modules=wanted)  # type: ignore[arg-type]
    try:
        inject_adapter_in_model(config, module)
    except ValueError as error:
        names = [found for found, part in module.named_modules() if isinstance(part, nn.Linear)]
        raise ConfigError(
            f"detector.tuned_modules={wanted!r}: {str(error).splitlines()[0][:200]}",
            f"Name linear layers of {name}, such as {', '.join(names[-4:]) or 'none: it has none'}.",
        ) from error


def translated_adapters(state: State) -> State:
    """Adapters as peft saves them (``base_model.model.….lora_A.weight``) or as DDA does, under our names."""
    names = {
        ".original_layer.": ".base_layer.",
        ".lora.lora_A": ".lora_A.default.weight",
        ".lora.lora_B": ".lora_B.default.weight",
        ".lora_A.weight": ".lora_A.default.weight",
        ".lora_B.weight": ".lora_B.default.weight",
    }
    found: State = {}
    for key, value in state.items():
        name = key.removeprefix("base_model.").removeprefix("model.")
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        found[name] = value
    return found


def merged_adapters(module: nn.Module) -> State:
    """The state dict that the network has with plain layers of weight W + s B A, which compute the same."""
    from peft.tuners.lora import LoraLayer

    state = {k.replace(".base_layer.", "."): v for k, v in module.state_dict().items() if ".lora_" not in k}
    adapted: list[tuple[str, Any]] = [(n, part) for n, part in module.named_modules() if isinstance(part, LoraLayer)]
    for name, part in adapted:
        (adapter,) = part.active_adapters
        state[f"{name}.weight"] = state[f"{name}.weight"] + part.get_delta_weight(adapter).detach()
    return state

"""RINE's head and contrastive term (Koutlis and Papadopoulos, ECCV 2024), with the names of its released files."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.parts.precision import row_by_row

TEMPERATURE = 0.07
DROPOUT = 0.5


def _layers(wide: int, narrow: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for k in range(count):
        layers += [nn.Linear(wide if k == 0 else narrow, narrow), nn.ReLU(), nn.Dropout(DROPOUT)]
    return layers


class RineNet(nn.Module):
    """Frozen tokens → logit and embedding.

    Args:
        backbone: normalised images [B, 3, H, W] → class token of each block [B, n, d]; never trained or saved.
        blocks: n.
        width: d.
        layers: linear layers of each projection (the authors' ``nproj``).
        dim: width of the projections (``proj_dim``).
    """

    def __init__(self, backbone: nn.Module, blocks: int, width: int, layers: int, dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.alpha = nn.Parameter(torch.randn(1, blocks, dim))
        self.proj1 = nn.Sequential(nn.Dropout(DROPOUT), *_layers(width, dim, layers))
        self.proj2 = nn.Sequential(nn.Dropout(DROPOUT), *_layers(dim, dim, layers))
        self.head = nn.Sequential(*_layers(dim, dim, 2), nn.Linear(dim, 1))

    def pooled(self, tokens: Tensor) -> Tensor:
        """Tokens [B, n, d] → [B, dim]: projections weighted by a softmax over the blocks, separately per channel."""
        projected: Tensor = self.proj1(tokens.float())
        return (self.alpha.softmax(1) * projected).sum(1)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, n, d] → logits [B] and embeddings [B, dim], float32."""
        with torch.autocast(tokens.device.type, enabled=False):
            embedding = row_by_row(lambda rows: self.proj2(self.pooled(rows)), tokens)
            return row_by_row(self.head, embedding).squeeze(1), embedding


def supervised_contrast(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020), mean over all anchors; one without a partner counts as 0.

    The embeddings [B, D] of images with labels [B] are scaled to length 1 here.
    """
    unit = F.normalize(embeddings, dim=1)
    others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    alike = (labels[:, None] == labels[None, :]) & others
    similar = (unit @ unit.T / TEMPERATURE).masked_fill(~others, -torch.inf)
    chance = similar - similar.logsumexp(1, keepdim=True)
    return -(chance.masked_fill(~alike, 0).sum(1) / alike.sum(1).clamp(min=1)).mean()

"""The contrastive term of DDA's objective."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pair_contrast(features: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Contrastive loss of DDA's objective (Hadsell et al. 2006, as pytorch-metric-learning reduces it).

    Mean of the positive distances d within a class, plus mean of ``margin - d`` between the classes where d is below
    ``margin``; a mean of nothing is 0.

    Args:
        features: [B, D]; scaled to length 1 here.
        labels: [B].
        margin: margin of different labels; that of equal ones is 0.
    """
    unit = F.normalize(features.float(), dim=1)
    product = (2 - 2 * unit @ unit.T).clamp(min=0)
    # the root has no gradient at 0, which every image's distance from itself is
    far = product > 1e-12
    distance = torch.where(far, product, 1.0).sqrt() * far
    others = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    alike = labels[:, None] == labels[None, :]
    near = distance[alike & others & far]
    close = (margin - distance)[~alike & (distance < margin)]
    return sum((part.mean() for part in (near, close) if part.numel()), distance.new_zeros(()))

"""All scores of a batch of images, as the detector computes them."""

from detectors.zed.maps import level_maps
from detectors.zed.scores import scored_maps


def score_image(model, image, levels=(0, 1), percentiles=(50, 90), **options):
    """Scores by name, each float64 ``[B]``; ``options`` as of `level_maps`."""
    maps = level_maps(model, image, levels, **options)
    return scored_maps(model, maps, tuple(image.shape[-2:]), percentiles)

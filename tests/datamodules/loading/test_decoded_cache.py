"""Decoded images that are kept for the next evaluation."""

import torch
from torch import Tensor

from datamodules.loading.decoded_cache import DecodedCache


def test_an_image_that_fits_is_decoded_once_and_may_be_changed() -> None:
    kept, decoded = DecodedCache(most=30), []

    def seen(row: int, pixels: int) -> Tensor:
        def decode() -> tuple[Tensor, tuple[str, ...]]:
            decoded.append(row)
            return torch.full((3, 1, pixels), row, dtype=torch.uint8), (f"note of {row}",)

        image, notes = kept.decoded(row, decode)
        assert notes == (f"note of {row}",)
        assert (image == row).all()
        return image.zero_()

    for _ in range(3):
        for row, pixels in ((1, 4), (2, 7), (3, 6), (4, 1)):  # 12 bytes, 21 too many, 18 to the last byte, 3 too many
            seen(row, pixels)
    assert decoded == [1, 2, 3, 4, 2, 4, 2, 4]

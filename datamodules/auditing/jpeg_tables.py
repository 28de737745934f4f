"""Quantisation tables of a JPEG: their family, and their distance from those of the Independent JPEG Group (IJG)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
        51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121,
        120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip
"""Quantisation of quality 50, row by row (ITU-T T.81, table K.1)."""

CHROMINANCE = np.full(64, 99)  # The same for chrominance (table K.2)
CHROMINANCE[[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 24, 25]] = [17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 47, 66]


@dataclass(frozen=True)
class JpegTables:
    """Description of the tables of one file."""

    quality: int  # 1..100 if every table is the IJG's of that quality, else 0
    nearest: int  # quality of the IJG's nearest luminance table
    distance: float  # mean absolute difference per step between the luminance table and that one
    family: str
    """The tables in words: ``IJG q90``, or ``IJG q90/q75`` for luminance and chrominance, ``flat``, or ``other``
    followed by four bytes of their hash."""

    def __str__(self) -> str:
        if self.family.startswith("IJG"):
            return self.family
        return f"{self.family}, {self.distance:.2f} from IJG q{self.nearest}"


def jpeg_tables(tables: Mapping[int, Sequence[int] | NDArray[np.int64]]) -> JpegTables | None:
    """Compare with the IJG's hundred tables; None without tables.

    Args:
        tables: quantisation tables by number, 64 steps each, row by row; the first is the luminance table.
    """
    found = [np.asarray(tables[number], dtype=np.int64) for number in sorted(tables)]
    if not found:
        return None
    far = np.abs(_SCALED[0] - found[0]).mean(axis=1)
    nearest = int(far.argmin()) + 1
    exact = [_exact(table, first=number == 0) for number, table in enumerate(found)]
    shared = set.intersection(*exact)
    if shared:
        # the lowest qualities share a table whose steps are all clipped at 255
        quality = nearest if nearest in shared else min(shared)
        return JpegTables(quality, nearest, 0.0, f"IJG q{quality}")
    if all(exact):
        return JpegTables(0, nearest, 0.0, "IJG " + "/".join(f"q{min(one)}" for one in exact))
    if all((table == table[0]).all() for table in found):
        name = "flat " + "/".join(str(table[0]) for table in found)
    else:
        name = f"other {hashlib.sha256(np.concatenate(found).tobytes()).hexdigest()[:8]}"
    return JpegTables(0, nearest, float(far.min()), name)


def chroma_sampling(factors: list[tuple[int, int]]) -> str:
    """Name of the sampling factors (horizontal, vertical) of a JPEG's components, J:a:b if it has one."""
    if len(factors) == 1:
        return "gray"
    names = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1", (4, 2): "4:1:0"}
    if len(factors) == 3 and factors[1:] == [(1, 1)] * 2 and factors[0] in names:
        return names[factors[0]]
    if len(factors) == 3 and len(set(factors)) == 1:
        return "4:4:4"
    return " ".join(f"{h}x{v}" for h, v in factors)


def _exact(table: NDArray[np.int64], first: bool) -> set[int]:
    """Qualities that have this table; a second table may be a luminance table too, as some RGB encoders write."""
    kinds = _SCALED[:1] if first else _SCALED
    return {int(quality) + 1 for kind in kinds for quality in np.flatnonzero((kind == table).all(axis=1))}


def _scaled(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """[100, 64] tables of qualities 1 to 100, scaled as in libjpeg (``jpeg_quality_scaling``)."""
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: NDArray[np.int64] = np.clip((table * scale + 50) // 100, 1, 255)
    return tables


_SCALED = (_scaled(LUMINANCE), _scaled(CHROMINANCE))

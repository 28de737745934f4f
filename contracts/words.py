"""Numbers with a noun in the singular or plural."""


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``, ``12,000 images``; the plural is the noun with an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

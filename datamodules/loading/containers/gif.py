"""GIF89a: comments, texts and application extensions before the first image are removed."""

from datamodules.loading.containers.parts import Parts, remarks

SIGNATURES = (b"GIF87a", b"GIF89a")
_CONTROL = 0xF9


def split(data: bytes) -> Parts:
    """Split a GIF: of its extensions, only a complete graphic control is kept, which defines transparency."""
    if len(data) < 13:
        return Parts(data)
    view = memoryview(data)
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    kept = [view[:place]]
    notes: list[str] = []
    while place + 2 < len(data) and data[place] in (0x21, 0):
        if not data[place]:  # empty blocks between others are skipped
            place += 1
            continue
        after = place + 2
        while after < len(data) and data[after]:
            after += 1 + data[after]
        if after >= len(data):
            return Parts(data)
        if data[place + 1] == _CONTROL:
            if data[place + 2] >= 4:
                kept.append(view[place : after + 1])
            else:
                notes.append("GIF graphic control is too short")
        place = after + 1
    kept.append(view[place:])
    return Parts(b"".join(kept), notes=remarks(notes))

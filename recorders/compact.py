"""Compaction: a day that was written in many small pieces, in full blocks.

Theory of operation. A block belongs to one recording; within it, blocks that fit into one are put together, and the
file is written anew under its partial name and published by rename, so that a kill leaves the old file or the new one.
A day in which no two neighbouring blocks fit together is left alone, byte for byte: compaction is idempotent. Messages,
recordings, reports and clocks stay what they were; the digest of every recording's content, taken before, is compared
with that of the new file before it is published. Partial files that a killed writer left are removed.

Two recordings are never made into one, even where the later continues the earlier: each has a clock, a report and
sources of its own, by which an import finds again what it replaces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from recorders.blocks import MessageBlock, has_aux, join
from recorders.book import BookTrack
from recorders.dayfile import BLOCK_MESSAGES, BLOCK_ROWS, BlockInfo, DayFile, DayWriter, digest_of
from recorders.files import PARTIAL, partial_path, publish, writing
from recorders.lake import Feed, Lake
from venues.errors import InputError

_COLUMNS: Final = ("ts_event", "ts_recv", "ts_recv_raw", "kind", "side", "px_ticks", "qty_lots", "aux")


def compact(lake: Path, venue: str | None = None, symbol: str | None = None) -> tuple[list[dict[str, Any]], int]:
    """Compact what is there of a venue and symbol: one entry a file, and how many unfinished files were removed.

    Raises ``InputError`` for a damaged file (which stays as it is) and where an import is writing.
    """
    held = Lake(lake)
    feeds = held.some(venue, symbol)
    left = sum(1 for _ in lake.rglob(f".*{PARTIAL}"))
    with writing(lake):
        return [_compact(feed, path) for feed in feeds for path in feed.paths], left


def content_digest(file: DayFile) -> dict[str, str]:
    """A digest of what each recording of a file says, whatever the blocks it is cut into."""
    found = {}
    for index, report in enumerate(file.about["recordings"]):
        columns = [hashlib.blake2b(digest_size=16) for _ in range(len(_COLUMNS) + 2)]
        for info in file.blocks:
            if info.recording == index:
                block = file.message_block(info)
                ref = np.where(has_aux(block.kind), 0, block.ref)
                values = [*(getattr(block, name) for name in _COLUMNS), ref, np.diff(block.row_start)]
                for digest, column in zip(columns, values, strict=True):
                    digest.update(np.ascontiguousarray(column).data)
        whole = hashlib.blake2b(b"".join(column.digest() for column in columns), digest_size=16)
        found[report["recording"]] = whole.hexdigest()
    return found


def _compact(feed: Feed, path: Path) -> dict[str, Any]:
    file = DayFile(path)
    entry = {
        "venue": feed.venue,
        "symbol": feed.symbol,
        "day": path.stem,
        "path": str(path),
        "state": "as it was",
        "blocks_before": len(file.blocks),
        "bytes_before": path.stat().st_size,
    }
    if _fit_together(file):
        _rewrite(file, path)
        file = DayFile(path)
        entry["state"] = "compacted"
    return {**entry, "blocks": len(file.blocks), "bytes": path.stat().st_size}


def _fit_together(file: DayFile) -> bool:
    """Whether two neighbouring blocks of one recording would be a block."""
    return any(
        one.recording == other.recording
        and one.count + other.count <= BLOCK_MESSAGES
        and one.rows + other.rows <= BLOCK_ROWS
        for one, other in zip(file.blocks, file.blocks[1:], strict=False)
    )


def _rewrite(file: DayFile, path: Path) -> None:
    before = content_digest(file)
    writer = DayWriter(path)
    try:
        for recording in dict.fromkeys(info.recording for info in file.blocks):
            infos = [info for info in file.blocks if info.recording == recording]
            track = BookTrack()
            track.resume(file.checkpoint(infos[0]), infos[0])
            for block in _full_blocks(_undamaged(file, info) for info in infos):
                writer.write(block, recording, track)
                track.run(block)
        about = {key: value for key, value in file.about.items() if key != "format"}
        writer.close(about, file.clock())
        if content_digest(DayFile(partial_path(path))) != before:
            raise InputError("would not hold the same after compaction; it is left as it is", source=str(path))
    except BaseException:
        writer.abandon()
        raise
    publish(path)


def _undamaged(file: DayFile, info: BlockInfo) -> MessageBlock:
    block = file.message_block(info)
    if digest_of(block) != info.digest:
        raise InputError("is damaged: a block does not match its digest; it is left as it is", source=str(file.path))
    return block


def _full_blocks(blocks: Iterator[MessageBlock]) -> Iterator[MessageBlock]:
    """The same messages in blocks as large as they may be."""
    rest: MessageBlock | None = None
    for one in blocks:
        block = one if rest is None else join([rest, one])
        start = 0
        while (stop := _full(block, start)) < len(block):
            yield block.cut(start, stop)
            start = stop
        rest = block.cut(start, len(block))
    if rest is not None and len(rest):
        yield rest


def _full(block: MessageBlock, start: int) -> int:
    """Where the block that begins at ``start`` is full; the block's end, if it is not."""
    rows = int(block.row_start.searchsorted(block.row_start[start] + BLOCK_ROWS, side="right")) - 1
    return min(start + BLOCK_MESSAGES, max(start + 1, rows), len(block))

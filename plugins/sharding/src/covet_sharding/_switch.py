"""The end of a move, once the source has said that the bucket is gone.

That one statement decides. What follows from it anybody may do, any number of times: who moves the
bucket, or the next write that finds it gone.
"""

from __future__ import annotations

from covet_kernel.contracts import SqlDatabase
from covet_sharding._map import RAISE, Placement, ShardMap

OPEN = (
    "UPDATE covet_shard_bucket SET state = 'owned'"
    " WHERE space = ? AND bucket = ? AND state = 'arriving' AND run = ?"
)
POINT = (
    "UPDATE covet_shard_map SET shard = ?, epoch = epoch + 1"
    " WHERE space = ? AND bucket = ? AND shard = ? AND epoch = ?"
)


async def complete(
    map: ShardMap, database: SqlDatabase, bucket: str, place: Placement, target: str, run: int
) -> None:
    """Have the target take writes, and the map point to it.

    Args:
        map: The map, which is read again.
        database: The target.
        bucket: What has moved.
        place: Where the map says it is.
        target: The target's name.
        run: Of the attempt that moved it.
    """
    await database.execute(OPEN, (map.space, bucket, run))
    async with map.home.transaction() as session:
        changed = await session.execute(
            POINT, (target, map.space, bucket, place.shard, place.epoch)
        )
        if changed:
            await session.execute(RAISE, (map.space,))
    map.forget(bucket)
    await map.refresh()

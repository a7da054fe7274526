"""A stream of rows has one reader: what happens to a row belongs to its place, which each reader counts anew."""

from __future__ import annotations

from evenhand.errors import UsageError


def demand_one_reader(shards: int) -> None:
    """UsageError in a worker of a `DataLoader` that reads some of the shards while other workers read the others.

    A stream of one shard has one reader, however many workers there are.
    """
    from torch.utils.data import get_worker_info

    worker = get_worker_info()
    if worker is None or worker.num_workers == 1 or shards == 1:
        return
    raise UsageError(
        f"{worker.num_workers} workers would each count the rows of the stream from 0, and what a step does to a row "
        "belongs to its place in the data",
        where="DataLoader", known=f"the stream has {shards:,} shards, which workers divide among themselves",
        do="read it with num_workers=1, or give the step a data set, which any number of workers may read",
    )  # fmt: skip

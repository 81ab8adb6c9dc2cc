"""BIDS data sets, raw or derivative: names, tables, which rows meet which scans, which of several scans is taken."""

from neurolatent.cohort.readers.bids.reading import is_bids, read_bids

__all__ = ["is_bids", "read_bids"]

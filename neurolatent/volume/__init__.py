"""From raw scans to standard-space volumes, masks, quality and a memory-mapped cache."""

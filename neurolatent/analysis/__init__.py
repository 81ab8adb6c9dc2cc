"""Numbers with intervals and baselines: one module per protocol."""

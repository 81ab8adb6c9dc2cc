"""The input contract of a built cohort: what its table and its images must be before any GPU time is spent."""

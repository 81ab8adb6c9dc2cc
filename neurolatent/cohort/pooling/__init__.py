"""Join built workspaces into one, in which every person and every scan can still be told from the others."""

from neurolatent.cohort.pooling.pool import PoolResult, pool_cohorts

__all__ = ["PoolResult", "pool_cohorts"]

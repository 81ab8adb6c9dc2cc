"""The digital phantom: people, courses and scanners whose truth is known."""

from neurolatent.phantom.cohort import write_phantom
from neurolatent.phantom.truth import PhantomTruth

__all__ = ["PhantomTruth", "write_phantom"]

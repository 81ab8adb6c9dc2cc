"""What leaves the house: reports, tables, weights and samples, without anybody's name and within the data's terms."""

from neurolatent.sharing.share import Wanted, share

__all__ = ["Wanted", "share"]

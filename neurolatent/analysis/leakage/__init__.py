"""Whether anybody who is tested was seen in training: by name, by image, or by a stage of a model."""

from neurolatent.analysis.leakage.certify import certify_workspace
from neurolatent.analysis.leakage.record import Certification, read_certification, refuse_failed, write_certification

__all__ = ["Certification", "certify_workspace", "read_certification", "refuse_failed", "write_certification"]

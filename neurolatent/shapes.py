"""Array shapes, named once and used at every boundary (checked at run time in the tests)."""

from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

Volume = Float[Tensor, "batch 1 i j k"]
"""Standard-space scans, RAS+, intensities in [0, 1], 0 outside the brain."""
MaskVolume = Bool[Tensor, "batch 1 i j k"]
Latent = Float[Tensor, "batch channel i j k"]
Code = Float[Tensor, "batch feature"]
Timestep = Int[Tensor, " batch"]

VoxelArray = Float[ndarray, "i j k"]
MaskArray = Bool[ndarray, "i j k"]
Affine = Float[ndarray, "4 4"]
"""world_from_voxel: millimetres, RAS+."""
VolumeArray = Float[ndarray, "scan i j k"]
FeatureArray = Float[ndarray, "scan feature"]
Values = Float[ndarray, " scan"]

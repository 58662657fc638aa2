"""An example of plug-ins for ActionGrid (docs/plug-ins.md). Imports no torch."""

from trainables.models.registry import ModuleInfo
from trainables.recipe.plug_ins import AugmentationInfo, DatasetKindInfo, OptimiserInfo

MODULE = ModuleInfo("frame_difference", "FrameDifference", "frame_difference.module:FrameDifference")
OPTIMISER = OptimiserInfo("rmsprop", "frame_difference.training:rmsprop", version="1")
AUGMENTATION = AugmentationInfo("centre_crop", "frame_difference.training:centre_crop", version="1")
DATASET_KIND = DatasetKindInfo("named_files", "frame_difference.dataset:list_named_files", version="1")

ACTIONGRID = (MODULE, OPTIMISER, AUGMENTATION, DATASET_KIND)

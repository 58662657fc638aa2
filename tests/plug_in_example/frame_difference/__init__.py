"""An example of plug-ins for ActionGrid (docs/plug-ins.md). Imports no torch."""

from trainables.models.registry import ModuleInfo

MODULE = ModuleInfo("frame_difference", "FrameDifference", "frame_difference.module:FrameDifference")

ACTIONGRID = (MODULE,)

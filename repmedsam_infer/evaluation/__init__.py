"""How good masks are: DSC, NSD, sizes, baselines, and drawn cases with ground truth."""

"""What the step `train` fits: corrected routes, boosters and networks for quantiles, and their calibration."""

"""Build steps, from the log of trips to a release: speeds → samples → quantile models → release."""

"""Build steps, from the auction log to a release: tables → samples → wide and deep → calibration → index → release."""

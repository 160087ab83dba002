"""From the log of auctions to a released model: tables → samples → wide and deep → calibration → index → release."""

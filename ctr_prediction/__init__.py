"""Ads: wide-and-deep click prediction and an auction, in under 10 ms."""

"""Trip records of New York's taxi commission (TLC), with their zones."""

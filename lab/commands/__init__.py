"""The commands of `lab`, one module per group. A command parses arguments and prints; other packages do the work."""

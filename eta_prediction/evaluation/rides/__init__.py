"""The rides of experiments after the history: the cases, the day that they belong to, and their true laws."""

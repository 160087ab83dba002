"""What happened: the tables of the log, and their readers."""

"""Processes of the lab: the supervisor, the services, their ports and the run state file."""

"""Settings for tests that check results and not speed: long deadlines, which only a hang exceeds."""

DEADLINE_FACTOR = 50
PATIENT = {"deadline_factor": DEADLINE_FACTOR}

"""The HTTP layer of every design: app factory, health, problem details, body limit, admission and release slot."""

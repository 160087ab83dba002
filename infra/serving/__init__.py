"""HTTP around a design: app factory, health, problem details, body cap, admission, and the release slot."""

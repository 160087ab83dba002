"""HTTP load: open-loop and closed-loop generators, raw connections, Locust runs and their verdict."""

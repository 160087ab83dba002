"""Request bodies that every version of a design understands."""

from __future__ import annotations

from collections.abc import Mapping

from infra.design import Design
from lab.load.open_loop import Question

USERS, FEW_USERS, NODES = 20_000, 50, 1_000
"""Users and nodes of the preset small have ids below these numbers. The users of warm requests are few, so that a
service with a cache of users has them all in it."""
PRIMES = 7919, 104_729


def questions(design: Design, first: int = 0) -> Mapping[str, Question]:
    """`cold`: the users follow each other through all ids, from number `first` on. `warm`: few users."""
    names = {argument.option for argument in design.ask.arguments}

    def asking(users: int, first: int) -> Question:
        def question(number: int) -> Mapping[str, object]:
            values = {
                "user": (first + number) * PRIMES[0] % users,
                "from": (first + number) * PRIMES[0] % NODES,
                "to": (first + number) * PRIMES[1] % NODES,
            }
            body = design.ask.example()
            for argument in design.ask.arguments:
                if argument.option in values:
                    argument.put(body, values[argument.option])
            return body

        return question

    assert names & {"user", "from"}, f"the requests of {design.name} name neither a user nor a place"
    return {"cold": asking(USERS, first), "warm": asking(FEW_USERS, 0)}

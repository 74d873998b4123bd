"""Those who submit to a service without end, and what must be true of all that was acknowledged."""

import os
import threading

from service import Answer, Served


def acknowledged(served: Served, stop: threading.Event, taken: list[tuple[bytes, Answer]]) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        digest = os.urandom(32)
        try:
            answer = served.submit(digest, Idempotency_Key=f"{threading.get_ident()}-{number}")
        except (OSError, ValueError):
            continue
        if answer.status == 201:
            taken.append((digest, answer))


def require_all_there(served: Served, taken: list[tuple[bytes, Answer]]) -> None:
    """Require that each acknowledged digest stands where its receipt says."""
    for digest, answer in taken:
        found = served.get(f"/v1/entries/{digest.hex()}", key="acme").json["entries"]
        place = answer.json["places"]
        position = place[0]["first"] + answer.json.get("entry", {}).get("position", 0)
        assert (place[0]["batch"], position) in {
            (entry["batch"], entry["position"]) for entry in found
        }

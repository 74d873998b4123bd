"""The service on PostgreSQL, and when PostgreSQL is killed under it."""

import threading
from pathlib import Path

import pytest
from commandline import call
from servers.postgresql import postgresql
from service import Answer, Served, serving, until
from service_load import acknowledged, require_all_there

pytestmark = [pytest.mark.real("postgres"), pytest.mark.enable_socket]


def test_what_was_acknowledged_outlives_a_database_that_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with postgresql() as server:
        url = server.url(server.new_schema())
        assert call("init", "--home", home, "--database", url).code == 0
        with (home / "settings.toml").open("a") as file:
            file.write("batch_age = 2\n")
        assert call("tenant", "add", "acme", "--home", home).code == 0
        stop, taken = threading.Event(), list[tuple[bytes, Answer]]()
        with serving(home) as served:
            served.give_key("acme", "acme")
            served.give_key("operator", "operator", "operator", "read")
            threads = [
                threading.Thread(target=acknowledged, args=(served, stop, taken)) for _ in range(4)
            ]
            for each in threads:
                each.start()
            until(lambda: len(taken) > 30)
            server.kill()
            until(lambda: not_ready(served))
            # While the database is away, nothing is acknowledged, and the process goes on.
            before = len(taken)
            refused = served.submit(bytes(32))
            assert refused.status == 503
            assert refused.code
            assert len(taken) <= before + 4
            assert served.get("/health/live").status == 200
            server.start()
            until(lambda: len(taken) > before + 30)
            stop.set()
            for each in threads:
                each.join()
            until(lambda: served.get("/health/ready").status == 200)
            require_all_there(served, taken)
        assert call("fsck", "--home", home).code == 0


def not_ready(served: Served) -> bool:
    return served.get("/health/ready").status == 503

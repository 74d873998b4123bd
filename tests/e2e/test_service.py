"""The service as platforms meet it: a real process, real connections, real crashes."""

import base64
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from commandline import PROGRAM, call, environment, run
from prometheus_client.parser import text_string_to_metric_families
from service import JSON, LINES, Answer, Served, make_service_home, serving, until
from service_load import acknowledged, require_all_there

from witnesstree.api import admin
from witnesstree.api.app import make_app
from witnesstree.ledger.base.clock import parse_time
from witnesstree.ledger.log.note import parse_verifier_key
from witnesstree.ledger.log.receipt import check_receipt, format_text, is_for, parse_receipt
from witnesstree.ledger.proof.proof import parse_proof
from witnesstree.ledger.tree.tree import parent

pytestmark = pytest.mark.enable_socket

ROOT = Path(__file__).parents[2]


def digests(name: str, count: int) -> list[bytes]:
    return [sha256(f"{name} {number}".encode()).digest() for number in range(count)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("service") / "home"
    make_service_home(home, "batch_age = 1")
    with serving(home) as served:
        served.give_key("acme", "acme")
        served.give_key("other", "other")
        served.give_key("acme", "reader", "read")
        served.give_key("operator", "operator", "operator", "read")
        yield served


def log_key(served: Served) -> str:
    keys: list[str] = served.get("/.well-known/witnesstree").json["log"]["keys"]
    return keys[0]


# Receipts


def test_a_receipt_is_signed_and_for_what_was_submitted(served: Served) -> None:
    for count in (1, 2, 7):
        some = digests(f"receipt {count}", count)
        answer = served.submit(*some)
        assert answer.status == 201
        receipt = parse_receipt(answer.content)
        promise = check_receipt(receipt, [parse_verifier_key(log_key(served))])
        assert promise
        assert is_for(receipt, b"".join(some))
        assert not is_for(receipt, b"".join(some)[::-1])
        assert (promise.due - promise.taken).total_seconds() == 3600
        if count > 1:
            assert [place.count for place in promise.places] == [count]


def test_a_receipt_as_text_says_the_same(served: Served) -> None:
    some = digests("text", 2)
    answer = served.submit(*some, Accept="text/plain")
    assert answer.headers["content-type"].startswith("text/plain")
    receipt = parse_receipt(answer.content)
    assert is_for(receipt, b"".join(some))
    assert format_text(receipt) == answer.content


def test_the_short_and_the_long_way_answer_alike(served: Served) -> None:
    # A field that the short way does not know makes it the long way.
    (one,), (two,) = digests("short", 1), digests("long", 1)
    short, long = served.submit(one), served.submit(two, X_Other="field")
    varying = {"date", "x-request-id", "content-length"}
    assert short.status == long.status == 201
    assert short.headers.keys() == long.headers.keys()
    assert {name: value for name, value in short.headers.items() if name not in varying} == {
        name: value for name, value in long.headers.items() if name not in varying
    }
    assert short.json.keys() == long.json.keys()
    assert len(short.headers["x-request-id"]) == len(long.headers["x-request-id"])


def test_pipelined_requests_are_answered_in_their_order(served: Served) -> None:
    some = digests("pipelined", 20)
    requests = []
    for number, digest in enumerate(some):
        body = json.dumps({"entries": [{"digest": digest.hex()}]})
        # Every third one goes the long way.
        more = "X-Other: 1\r\n" if number % 3 == 2 else ""
        requests.append(
            f"POST /v1/entries HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {served.keys['acme']}"
            f"\r\nContent-Type: {JSON}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
        )
    parts = urlsplit(served.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall("".join(requests).encode())
        received = b""
        while received.count(b'"format":"witnesstree-receipt/1"') < len(some):
            part = connection.recv(65_536)
            assert part
            received += part
    answers = received.split(b"HTTP/1.1 201 Created\r\n")[1:]
    assert len(answers) == len(some)
    for digest, answer in zip(some, answers, strict=True):
        assert is_for(parse_receipt(answer.partition(b"\r\n\r\n")[2]), digest)


def test_each_form_takes_the_same(served: Served) -> None:
    some = digests("forms", 5)
    packed = served.submit_packed(b"".join(some))
    lines = "\n".join(json.dumps({"digest": digest.hex()}) for digest in some)
    streamed = served.ask("POST", "/v1/entries", lines, key="acme", Content_Type=LINES)
    assert packed.status == streamed.status == 201
    assert packed.json["root"] == streamed.json["root"] == served.submit(*some).json["root"]


def test_an_idempotency_key_gives_the_same_receipt_and_no_second_entry(served: Served) -> None:
    some = digests("idempotent", 3)
    first = served.submit(*some, Idempotency_Key='"k-1"')
    again = served.submit(*some, Idempotency_Key='"k-1"')
    assert again.content == first.content
    assert len(served.get(f"/v1/entries/{some[0].hex()}", key="acme").json["entries"]) == 1
    other = served.submit(*some[:2], Idempotency_Key='"k-1"')
    assert (other.status, other.code) == (409, "idempotency-key-reused")
    # Another tenant's key of the same name is another key.
    assert served.submit(*some[:2], key="other", Idempotency_Key='"k-1"').status == 201


# Proofs


def test_from_a_digest_to_a_proof_that_verifies(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"a photo")
    digest = sha256(b"a photo").digest()
    assert served.submit(digest).status == 201
    proof = served.get(f"/v1/proofs/{digest.hex()}?wait=30", key="acme")
    assert proof.status == 200
    (tmp_path / "photo.jpg.proof.json").write_bytes(proof.content)
    assert call("verify", file, "--home", served.home).code == 0
    again = served.get(
        f"/v1/proofs/{digest.hex()}", key="acme", If_None_Match=proof.headers["etag"]
    )
    assert (again.status, again.content) == (304, b"")
    word = served.ask(
        "POST",
        "/v1/verify",
        json.dumps({"digest": digest.hex(), "proof": proof.json}),
        key="acme",
        Content_Type=JSON,
    )
    assert (word.json["verdict"], word.json["assurance"]) == ("verified", "local")
    wrong = served.ask(
        "POST",
        "/v1/verify",
        json.dumps({"digest": "00" * 32, "proof": proof.json}),
        key="acme",
        Content_Type=JSON,
    )
    assert wrong.json["verdict"] == "failed"
    record = served.get(
        f"/v1/proofs/{digest.hex()}",
        key="acme",
        Accept="application/vnd.witnesstree.evidence-record",
    )
    (tmp_path / "photo.ers").write_bytes(record.content)
    assert (
        call(
            "verify",
            file,
            "--proof",
            tmp_path / "photo.ers",
            "--require",
            "token",
            "--home",
            served.home,
        ).code
        == 0
    )


def test_a_receipt_is_enough_to_fetch_the_proof(served: Served) -> None:
    (digest,) = digests("shown", 1)
    receipt = served.submit(digest).content
    answer = served.ask("POST", f"/v1/proofs/{digest.hex()}", receipt, Content_Type=JSON)
    assert parse_proof(answer.content).digest == digest
    (other,) = digests("not shown", 1)
    served.submit(other)
    refused = served.ask("POST", f"/v1/proofs/{other.hex()}", receipt, Content_Type=JSON)
    assert (refused.status, refused.code) == (403, "receipt-not-for-digest")


def test_many_proofs_come_in_their_order_and_name_what_is_not_there(served: Served) -> None:
    some = digests("many", 3)
    served.submit(*some)
    asked = [some[2].hex(), "ab" * 32, some[0].hex()]
    answer = served.ask(
        "POST", "/v1/proofs", json.dumps({"digests": asked}), key="acme", Content_Type=JSON
    )
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert [line["digest"] for line in lines] == asked
    assert [line.get("problem", {}).get("status") for line in lines] == [None, 404, None]


def test_proofs_of_a_batch_are_those_of_the_caller(served: Served, tmp_path: Path) -> None:
    mine, theirs = digests("batch mine", 4), digests("batch theirs", 3)
    served.submit_packed(b"".join(mine))
    served.submit_packed(b"".join(theirs), key="other")
    batch = until(
        lambda: (
            served.get(f"/v1/entries/{mine[0].hex()}", key="acme").json["entries"][0]
            | {"found": True}
        )
    )["batch"]
    until(lambda: served.get(f"/v1/batches/{batch}").status == 200)
    answer = served.get(f"/v1/batches/{batch}/proofs", key="acme")
    found = {json.loads(line)["digest"] for line in answer.content.splitlines()}
    assert {digest.hex() for digest in mine} <= found
    assert not {digest.hex() for digest in theirs} & found
    whole = served.get(f"/v1/batches/{batch}/proofs", key="acme", Accept="application/octet-stream")
    assert (whole.status, whole.code) == (403, "operator-only")
    whole = served.get(
        f"/v1/batches/{batch}/proofs", key="operator", Accept="application/octet-stream"
    )
    (tmp_path / "b.proofs").write_bytes(whole.content)
    part = served.get(
        f"/v1/batches/{batch}/proofs",
        key="operator",
        Accept="application/octet-stream",
        Range="bytes=100-299",
    )
    assert (part.status, part.content) == (206, whole.content[100:300])
    checked = call("verify", tmp_path / "b.proofs", "--home", served.home)
    assert checked.code in {0, 4}, checked.talk


# Direct tokens


def test_a_token_over_the_file_itself(served: Served, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"direct")
    digest = sha256(b"direct").digest()
    served.submit(digest, key="other")
    body = json.dumps({"entries": [{"digest": digest.hex()}], "token": "direct"})
    asked = {"key": "acme", "Content_Type": JSON, "Idempotency_Key": "direct"}
    first, again = (served.ask("POST", "/v1/entries", body, **asked) for _ in range(2))
    assert first.status == again.status == 201
    assert first.json == again.json, "no second token"
    (token,) = first.json["tokens"]
    assert first.json["missing"] == []
    (tmp_path / "f.tsa").write_bytes(base64.b64decode(token["token"]))
    root = served.home / "authority" / "root.pem"
    checked = subprocess.run(
        ["openssl", "ts", "-verify", "-data", "f", "-in", "f.tsa", "-CAfile", root],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Verification: OK" in checked.stdout + checked.stderr
    assert is_for(parse_receipt(json.dumps(first.json["receipt"]).encode()), digest)
    proof = served.get(f"/v1/proofs/{digest.hex()}?wait=20", key="acme")
    assert len(parse_proof(proof.content).file_tokens) == 1
    # Another tenant with the same digest does not learn of it.
    theirs = served.get(f"/v1/proofs/{digest.hex()}?wait=20", key="other")
    assert parse_proof(theirs.content).file_tokens == ()
    for name, count in (("acme", 1), ("other", 0)):
        (entry,) = served.get(f"/v1/entries/{digest.hex()}", key=name).json["entries"][:1]
        lines = served.get(f"/v1/batches/{entry['batch']}/proofs", key=name).content.splitlines()
        found = {each["digest"]: each["proof"] for each in map(json.loads, lines)}
        assert len(found[digest.hex()].get("file_tokens", [])) == count, name


def test_direct_tokens_are_limited(served: Served) -> None:
    many = [{"digest": digest.hex()} for digest in digests("direct", 101)]
    for entries, status, code in (
        (many, 400, "direct-entries-too-many"),
        (many[:61], 429, "direct-rate-exceeded"),
    ):
        body = json.dumps({"entries": entries, "token": "direct"})
        answer = served.ask("POST", "/v1/entries", body, key="acme", Content_Type=JSON)
        assert (answer.status, answer.code) == (status, code)
    body = json.dumps({"entries": many[:1], "token": "other"})
    answer = served.ask("POST", "/v1/entries", body, key="acme", Content_Type=JSON)
    assert (answer.status, answer.code) == (400, "token-kind-unknown")


# Whose is whose


def paths_and_records(served: Served, some: list[bytes], key: str) -> set[bytes]:
    """Return every hash in the paths of a tenant's proofs, and in public records of the batches."""
    seen: set[bytes] = set()
    for digest in some:
        found = until(
            lambda digest=digest: parse_proof(
                served.get(f"/v1/proofs/{digest.hex()}?wait=20", key=key).content
            )
        )
        assert found.inclusion
        assert found.opening
        seen |= {*found.inclusion.path, *found.opening.path}
    for record in (served.home / "published" / "batch").rglob("*.json"):
        public = parse_proof(record.read_bytes())
        assert public.inclusion
        seen |= set(public.inclusion.path)
    return seen


def test_no_path_and_no_public_record_holds_the_digest_of_another_tenant(served: Served) -> None:
    mine, theirs = digests("neighbours mine", 9), digests("neighbours theirs", 9)
    rounds = [
        threading.Thread(target=served.submit, args=(digest,), kwargs={"key": key})
        for pair in zip(mine, theirs, strict=True)
        for digest, key in zip(pair, ("acme", "other"), strict=True)
    ]
    for each in rounds:
        each.start()
    for each in rounds:
        each.join()
    assert not paths_and_records(served, mine, "acme") & set(theirs)
    assert not paths_and_records(served, theirs, "other") & set(mine)
    # Nor does one fill a pair with another's.
    pairs = {parent(a, b) for a in mine for b in theirs}
    assert not paths_and_records(served, mine, "acme") & pairs


def test_whether_another_tenant_has_a_digest_is_not_told(served: Served) -> None:
    (theirs,), (nobodys,) = digests("secret", 1), digests("nobody's", 1)
    served.submit(theirs, key="other")
    for path in ("/v1/entries/{}", "/v1/proofs/{}"):
        found, unknown = (
            served.get(path.format(digest.hex()), key="acme") for digest in (theirs, nobodys)
        )
        assert (
            (found.status, found.code) == (unknown.status, unknown.code) == (404, "entry-unknown")
        )
    # Each tenant has an entry of its own.
    assert served.submit(theirs).status == 201
    assert len(served.get(f"/v1/entries/{theirs.hex()}", key="acme").json["entries"]) == 1


ROUTES = {
    ("POST", "/v1/entries"): "submit",
    ("GET", "/v1/entries/{digest}"): "read",
    ("GET", "/v1/proofs/{digest}"): "read",
    ("POST", "/v1/proofs/{digest}"): "anybody",
    ("POST", "/v1/proofs"): "read",
    ("GET", "/v1/batches"): "anybody",
    ("GET", "/v1/batches/{number}"): "anybody",
    ("GET", "/v1/batches/{number}/proofs"): "read",
    ("POST", "/v1/verify"): "read",
    ("GET", "/v1/usage"): "read",
    ("GET", "/v1/time"): "anybody",
    ("GET", "/log/{path}"): "anybody",
    ("GET", "/.well-known/witnesstree"): "anybody",
    ("GET", "/health/live"): "anybody",
    ("GET", "/health/ready"): "anybody",
    ("GET", "/metrics"): "operator",
}
"""Who may ask for what: a route that is not here fails the test."""


def test_every_route_has_a_rule_and_keeps_it(served: Served) -> None:
    described = {
        (method.upper(), path)
        for path, methods in make_app().openapi()["paths"].items()
        for method in methods
    }
    assert described == ROUTES.keys()
    served.give_key("acme", "revoked")
    revoked = served.keys["revoked"].split("_")[1]
    assert served.get("/v1/usage", key="revoked").status == 200
    assert call("key", "revoke", revoked, "--home", served.home).code == 0
    until(lambda: served.get("/v1/usage", key="revoked").status == 401)
    scopes = {"submit": "reader", "read": "submitter", "operator": "acme"}
    served.give_key("acme", "submitter", "submit")
    for (method, path), rule in ROUTES.items():
        at = path.format(digest="00" * 32, number=0, path="checkpoint")
        refused = {
            "nobody": served.ask(method, at, b"{}", Content_Type=JSON),
            "stranger": served.ask(method, at, b"{}", key="wt_aaaaaaaa_" + "b" * 43),
            "revoked": served.ask(method, at, b"{}", key="revoked"),
        }
        for who, answer in refused.items():
            if rule == "anybody":
                assert answer.status not in {401, 403} or who != "nobody", (path, who, answer)
            else:
                assert answer.status == 401, (path, who, answer)
                assert answer.headers["www-authenticate"].startswith("Bearer")
        if rule in scopes:
            answer = served.ask(method, at, b"{}", key=scopes[rule], Content_Type=JSON)
            assert answer.status == 403, (path, answer)


def test_details_of_readiness_are_for_the_operator(served: Served) -> None:
    assert served.get("/health/ready").json == {"status": "ready"}
    assert served.get("/health/ready", key="acme").status == 403
    checks = served.get("/health/ready", key="operator").json["checks"]
    assert {check["check"] for check in checks} >= {"committer", "database", "disk", "worker"}
    assert all(check["ok"] for check in checks)


def test_metrics_are_of_the_service_and_of_the_ledger(served: Served) -> None:
    served.submit(*digests("metrics", 1))
    text = served.get("/metrics", key="operator").content.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    requests = families["witnesstree_http_requests"].samples
    assert any(each.labels["route"] == "/v1/entries" and each.value > 0 for each in requests)
    assert families["witnesstree_accepted_entries"].samples[0].value > 0
    held = [families[f"witnesstree_{name}"].samples[0] for name in ("entries", "unsealed_entries")]
    assert sum(each.value for each in held) > 0
    assert "witnesstree_ready" in families


def test_the_newest_administrative_act_is_sealed(served: Served) -> None:
    number, _, head, is_right = admin.acts(served.home)[-1]
    assert number > 0
    assert is_right

    def is_sealed() -> bool:
        # Whatever was done since, one of the heads of today is in the ledger.
        heads = [hash_ for *_, hash_, _ in admin.acts(served.home)]
        return any(
            served.get(f"/v1/entries/{each.hex()}", key="operator").status == 200 for each in heads
        )

    assert head
    until(is_sealed)


def test_usage_is_what_was_accepted(served: Served) -> None:
    before = served.get("/v1/usage", key="other").json["entries"]
    served.submit_packed(b"".join(digests("usage", 11)), key="other")
    served.submit_packed(b"short", key="other")
    assert served.get("/v1/usage", key="other").json["entries"] == before + 11


# What is wrong


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", JSON, 400, "body-malformed"),
        (b"{}", JSON, 400, "body-malformed"),
        (b'{"entries":[]}', JSON, 400, "entries-out-of-range"),
        (b'{"entries":[{"digest":"00"}]}', JSON, 400, "entry-digest-malformed"),
        (b'{"entries":[{"digest":"' + b"zz" * 32 + b'"}]}', JSON, 400, "entry-digest-malformed"),
        (b'{"entries":[{"digest":"' + b"00" * 32 + b'","x":1}]}', JSON, 400, "body-malformed"),
        (
            b'{"entries":[{"digest":"' + b"00" * 32 + b'","digest":"' + b"11" * 32 + b'"}]}',
            JSON,
            400,
            "member-twice",
        ),
        (
            b'{"entries":[{"digest":"' + b"00" * 32 + b'","reference":"' + b"r" * 65 + b'"}]}',
            JSON,
            400,
            "entry-reference-malformed",
        ),
        (b"\xff\xfe", JSON, 400, "body-malformed"),
        (b"[" * 100_000, JSON, 400, "json-too-deep"),
        (b"x" * 33, "application/octet-stream", 400, "submission-not-digests"),
        (b"", "application/octet-stream", 400, "submission-not-digests"),
        (b'{"digest":"' + b"00" * 32 + b'"}\n{"digest":1}', LINES, 400, "line-malformed"),
        (b"x" * 5000, LINES, 400, "line-malformed"),
        (b"", LINES, 400, "submission-not-digests"),
        (b"{}", "text/html", 415, "media-type-unknown"),
    ],
)
def test_what_is_malformed_is_named_and_nothing_counts(
    served: Served, body: bytes, kind: str, status: int, code: str
) -> None:
    before = served.get("/v1/usage", key="acme").json["entries"]
    answer = served.ask("POST", "/v1/entries", body, key="acme", Content_Type=kind)
    assert (answer.status, answer.code) == (status, code)
    assert answer.json["title"]
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert served.get("/v1/usage", key="acme").json["entries"] == before


def test_problems_speak_the_language_that_was_asked_for(served: Served) -> None:
    answer = served.get("/v1/usage", Accept_Language="zh-CN, en;q=0.5")
    assert "密钥" in answer.json["title"]
    assert answer.headers["content-language"] == "zh-Hans"


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(served: Served) -> None:
    connection = served.connect()
    connection.putrequest("POST", "/v1/entries")
    connection.putheader("Authorization", f"Bearer {served.keys['acme']}")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", str(2 * 2**30))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_header_beyond_the_limit_ends_the_connection(served: Served) -> None:
    parts = urlsplit(served.address)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: h\r\n")
        received = b""
        try:
            for _ in range(100):
                connection.sendall(b"X-Long: " + b"a" * 10_000 + b"\r\n")
            received = connection.recv(1000)
        except OSError:
            pass
    assert received == b"" or b" 431 " in received
    assert served.get("/health/live").status == 200


@pytest.mark.parametrize(
    "path", ["..%2f..%2fkeys%2fledger.pem", "../keys/ledger.pem", "batch/../../ledger.db", "%00"]
)
def test_only_the_published_folder_is_served(served: Served, path: str) -> None:
    assert served.get(f"/log/{path}").status == 404


def test_the_public_log_can_be_audited(served: Served, tmp_path: Path) -> None:
    served.submit(*digests("log", 1))
    until(lambda: served.get("/log/checkpoint").status == 200)
    audited = call(
        "audit",
        f"{served.address}/log/",
        "--state",
        tmp_path / "state",
        "--checkpoint-key",
        log_key(served),
    )
    assert audited.code in {0, 4}, audited.text + audited.talk


# Crashes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_acknowledged_is_there_however_the_server_ends(
    tmp_path: Path, number: signal.Signals
) -> None:
    home = tmp_path / "home"
    make_service_home(home, "batch_age = 1")
    stop, taken = threading.Event(), list[tuple[bytes, Answer]]()
    with serving(home) as served:
        served.give_key("acme", "acme")
        threads = [
            threading.Thread(target=acknowledged, args=(served, stop, taken)) for _ in range(4)
        ]
        for each in threads:
            each.start()
        until(lambda: len(taken) > 50)
        code = served.stop(number)
        stop.set()
        for each in threads:
            each.join()
    assert code == (0 if number == signal.SIGTERM else -number)
    keys = served.keys
    with serving(home) as served:
        served.keys = keys
        require_all_there(served, taken)
    assert call("fsck", "--home", home).code == 0


def test_a_worker_that_is_killed_is_started_again(served: Served) -> None:
    def worker() -> int | None:
        children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
        found = children.read_text().split()
        return int(found[0]) if found else None

    first = until(worker)
    os.kill(first, signal.SIGKILL)
    assert until(lambda: (now := worker()) and now != first and now)


def test_the_server_never_opens_the_key_of_the_log(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_service_home(home)
    assert call("worker", "--once", "--home", home).code == 0
    (home / "keys" / "ledger.pem").unlink()
    with serving(home, "--no-worker") as served:
        served.give_key("acme", "acme")
        assert served.submit(*digests("without the key", 1)).status == 201


def test_limits_count_each_entry_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_service_home(home)
    assert call("tenant", "add", "slow", "--rate", "1", "--home", home).code == 0
    assert call("tenant", "add", "small", "--quota", "10", "--home", home).code == 0
    with serving(home) as served:
        served.give_key("slow", "slow")
        served.give_key("small", "small", "submit", "read")
        # One a second, over ten seconds: ten at once, and no more.
        answers = [served.submit(each, key="slow") for each in digests("slow", 11)]
        assert [answer.status for answer in answers] == [201] * 10 + [429]
        assert answers[0].headers["ratelimit-policy"] == '"entries";q=10;w=10'
        assert int(answers[-1].headers["retry-after"]) >= 1
        # What is answered again, or refused, uses up nothing.
        five = digests("small", 5)
        for _ in range(4):
            assert served.submit(*five, key="small", Idempotency_Key="k").status == 201
            assert served.submit(*five[1:], key="small", Idempotency_Key="k").status == 409
        assert served.submit(*digests("more", 5), key="small").status == 201
        assert served.submit(*digests("too many", 1), key="small").code == "quota-exceeded"
        assert served.get("/v1/usage", key="small").json["entries"] == 10


def test_what_the_command_line_seals_is_the_operators(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "by-hand.txt"
    file.write_text("by hand")
    assert call("seal", file, "--home", served.home).code == 0
    digest = sha256(b"by hand").hexdigest()
    assert served.get(f"/v1/entries/{digest}", key="acme").status == 404
    assert served.get(f"/v1/entries/{digest}", key="operator").status == 200


def test_keys_are_kept_as_hashes_only(served: Served) -> None:
    served.submit(*digests("hash", 1))
    with sqlite3.connect(served.home / "ledger.db") as database:
        rows = database.execute("SELECT * FROM api_keys").fetchall()
    secret = served.keys["acme"].split("_", 2)[2]
    assert rows
    assert not any(secret in str(value) for row in rows for value in row)


def test_times_have_zones(served: Served) -> None:
    receipt = served.submit(*digests("zones", 1)).json
    assert parse_time(receipt["taken"]) < parse_time(receipt["due"])


def test_what_hinders_a_start_is_one_line(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert call("init", "--home", home).code == 0
    ran = run("serve", "--port", "0", "--no-worker", "--home", home)
    assert ran.code == 6
    assert "receipts.pem" in ran.error()
    beyond = run("serve", "--host", "0.0.0.0", "--port", "0", "--home", home)
    assert beyond.code == 5
    assert "--behind-proxy" in beyond.error()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("serve", "--port", port, "--home", home).code == 8
    assert run("serve", "--home", tmp_path / "none").code == 6


# As strangers use it


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_five_lines_of_the_readme(readme: str, tmp_path: Path) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    lines = text.partition("```bash\n")[2].partition("```")[0]
    assert len(lines.splitlines()) == 5
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    lines = lines.replace("8080", port).replace("serve &", f"serve --port {port} &")
    shutil.copyfile(ROOT / "examples" / "photo.jpg", tmp_path / "photo.jpg")
    path = os.pathsep.join([str(Path(PROGRAM).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", f"{lines}\ncode=$?; kill %1; wait; exit $code"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(PATH=path, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path / "data")),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VERIFIED (local" in done.stdout
    receipt = parse_receipt((tmp_path / "photo.jpg.receipt.json").read_bytes())
    assert is_for(receipt, sha256((tmp_path / "photo.jpg").read_bytes()).digest())


CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def test_nothing_that_is_described_ends_in_an_error_of_ours(served: Served, tmp_path: Path) -> None:
    served.give_key("operator", "all", "operator", "read", "submit")
    done = subprocess.run(
        [
            str(Path(PROGRAM).with_name("schemathesis")),
            "run",
            f"{served.address}/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {served.keys['all']}",
            "--checks",
            ",".join(CHECKS),
            "--phases",
            "coverage,fuzzing",
            "--max-examples",
            "10",
            "--seed",
            "1",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-4000:]

"""KuboStore against a node in memory: what an honest one is asked, and every lie that is told."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.kubo import FakeKubo, fake_kubo, refused, said

from witnesstree.anchor.http import Answer
from witnesstree.anchor.ipfs import local
from witnesstree.anchor.ipfs.cid import DAG_PB, RAW, Cid, cid_of
from witnesstree.anchor.ipfs.kubo import KuboHealth, KuboStore, RemotePin
from witnesstree.anchor.ipfs.local import BlockStore
from witnesstree.anchor.ipfs.unixfs import CHUNK, MAX_BLOCK, Link, format_node
from witnesstree.ledger.base.errors import (
    BadAnswer,
    InvalidInput,
    NotFound,
    StorageFailure,
    Unreachable,
    WitnesstreeError,
)

pytestmark = pytest.mark.enable_socket

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


@pytest.fixture
def kubo() -> Iterator[FakeKubo]:
    with fake_kubo() as kubo:
        yield kubo


@pytest.fixture
def store(kubo: FakeKubo) -> Iterator[KuboStore]:
    with closing(KuboStore(kubo.url, 5)) as store:
        yield store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(2 * CHUNK + 5))
    return path


@pytest.fixture
def added(store: KuboStore, file: Path) -> str:
    return store.add(file)


# add
# --------------------------------------------------------------------------------------------------


def test_what_is_asked_for_does_not_depend_on_the_settings_of_the_node(
    kubo: FakeKubo, store: KuboStore, file: Path, tmp_path: Path
) -> None:
    cid = store.add(file)
    assert cid == BlockStore(tmp_path / "ipfs").add(file)
    (command, params), (asked, pin) = kubo.seen
    assert command == "add"
    assert params == {
        "cid-version": "1",
        "hash": "sha2-256",
        "raw-leaves": "true",
        "chunker": "size-262144",
        "max-file-links": "174",
        "trickle": "false",
        "inline": "false",
        "nocopy": "false",
        "wrap-with-directory": "false",
        "pin": "true",
        "progress": "false",
    }
    assert (asked, pin) == ("pin/ls", {"arg": cid, "type": "recursive"})


LIES = {
    "another file": said(200, {"Name": "file", "Hash": EMPTY, "Size": "5"}),
    "no hash": said(200, {"Name": "file"}),
    "a number": said(200, {"Hash": 5}),
    "a long hash": said(200, {"Hash": "b" * 5000}),
    "no JSON": said(200, b"rubbish"),
    "a list": said(200, b"[]"),
    "no text": said(200, b"\xff\xfe"),
    "too much": said(200, b" " * (2**18 + 1)),
    "a page that is not there": said(404, b"404 page not found"),
    "a redirect": said(307, b""),
    "an error that is none": said(500, b"<html>"),
    "an error without words": said(500, {"Type": "error"}),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_an_added_file_is_not_believed(
    kubo: FakeKubo, store: KuboStore, file: Path, lie: str
) -> None:
    kubo.sayings["add"] = LIES[lie]
    with pytest.raises(BadAnswer):
        store.add(file)


GIVES_UP = {
    "an empty answer, as when the error stands in the trailer": said(200, b""),
    "an error in the answer": said(
        200,
        b'{"Name":"file","Hash":"b"}\n{"Message":"no space left\\non'
        b' device","Code":0,"Type":"error"}\n',
    ),
    "an error": refused("no space left on device"),
    "an error without a body": said(500, b""),
    "an error of another form": said(500, b"{}"),
    "a proxy": said(502, b"Bad Gateway"),
    "too many requests": said(429, b""),
}


@pytest.mark.parametrize("how", GIVES_UP)
def test_a_node_that_gives_up_has_stored_nothing(
    kubo: FakeKubo, store: KuboStore, file: Path, how: str
) -> None:
    kubo.sayings["add"] = GIVES_UP[how]
    with pytest.raises(Unreachable) as raised:
        store.add(file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_node_that_does_not_allow_it(
    kubo: FakeKubo, store: KuboStore, file: Path, status: int
) -> None:
    kubo.sayings["add"] = said(status, b"Forbidden")
    with pytest.raises(InvalidInput, match=r"API\.Authorizations"):
        store.add(file)


@pytest.mark.parametrize(
    "pins",
    [
        refused("path 'b' is not pinned"),
        said(200, {"Keys": {}}),
        said(200, {"Keys": {EMPTY: {"Type": "recursive"}}}),
        said(200, {}),
        said(200, b'{"Keys":{}}\n{"Keys":{}}\n'),
    ],
)
def test_a_file_that_is_not_pinned_is_not_stored(
    kubo: FakeKubo, store: KuboStore, file: Path, pins: Any
) -> None:
    kubo.sayings["pin/ls"] = pins
    with pytest.raises(BadAnswer):
        store.add(file)


def test_a_pin_of_one_block_is_no_pin_of_the_file(
    kubo: FakeKubo, store: KuboStore, file: Path, tmp_path: Path
) -> None:
    cid = BlockStore(tmp_path / "ipfs").add(file)
    kubo.sayings["pin/ls"] = said(200, {"Keys": {cid: {"Type": "direct"}}})
    assert not store.holds(cid)
    with pytest.raises(BadAnswer, match="not pinned"):
        store.add(file)


def test_a_file_that_changes_while_it_is_sent_is_not_stored(
    kubo: FakeKubo, store: KuboStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = local._next_chunk

    def changing(path: Path, stream: Any) -> bytes:
        with path.open("ab") as other:
            other.write(b"more")
        return real(path, stream)

    monkeypatch.setattr(local, "_next_chunk", changing)
    with pytest.raises(InvalidInput, match="changed while it was read"):
        store.add(file)
    assert kubo.pins == set()


def test_a_disk_that_refuses_while_the_file_is_sent(
    kubo: FakeKubo, store: KuboStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, stream: Any) -> bytes:
        raise StorageFailure("cannot read")

    monkeypatch.setattr(local, "_next_chunk", refuse)
    with pytest.raises(StorageFailure):
        store.add(file)
    assert kubo.pins == set()


def test_no_node(tmp_path: Path, file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with closing(KuboStore(url, 5)) as store:
        for call in (
            lambda: store.add(file),
            lambda: store.read(EMPTY, tmp_path / "out"),
            store.check,
            lambda: store.holds(EMPTY),
        ):
            with pytest.raises(
                Unreachable,
                match=(
                    rf"{url}.*start it with `ipfs daemon`, or correct `url` in the settings'"
                    r" \[ipfs\]"
                ),
            ):
                call()
    assert not (tmp_path / "out").exists()


# read, export_car
# --------------------------------------------------------------------------------------------------


def test_every_block_is_compared(
    kubo: FakeKubo, store: KuboStore, added: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name, block in list(kubo.blocks.items()):
        for wrong in (
            block[:-1] + bytes([block[-1] ^ 1]),
            block[:-1],
            block + b"x",
            b"",
            b"x" * MAX_BLOCK,
            b"x" * (MAX_BLOCK + 1),
        ):
            kubo.blocks[name] = wrong
            with pytest.raises(BadAnswer):
                store.read(added, out)
            with pytest.raises(BadAnswer):
                store.export_car(added, out)
        kubo.blocks[name] = block
    assert not out.exists()
    assert list(tmp_path.glob(".*")) == []
    store.read(added, out)


def test_what_was_there_stays_where_a_file_cannot_be_read(
    kubo: FakeKubo, store: KuboStore, added: str, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.write_bytes(b"older")
    removed = kubo.blocks.popitem()
    with pytest.raises(NotFound, match=removed[0]):
        store.read(added, out)
    assert out.read_bytes() == b"older"
    kubo.blocks.update([removed])
    store.read(added, out)
    assert out.read_bytes() == file.read_bytes()


def test_a_block_that_nobody_supplies_in_time(
    kubo: FakeKubo, store: KuboStore, tmp_path: Path
) -> None:
    kubo.sayings["block/get"] = refused("context deadline exceeded")
    with pytest.raises(Unreachable, match="deadline exceeded"):
        store.read(EMPTY, tmp_path / "out")
    # The node is told to give up before we do.
    assert kubo.seen == [("block/get", {"arg": EMPTY, "timeout": "4.000s"})]


def test_a_folder_is_not_a_file_of_ours(kubo: FakeKubo, store: KuboStore, tmp_path: Path) -> None:
    folder = b"\x0a\x02\x08\x01"
    cid = str(cid_of(DAG_PB, folder))
    kubo.blocks[cid] = folder
    with pytest.raises(InvalidInput, match="not part of a file"):
        store.read(cid, tmp_path / "out")


def test_sizes_that_lie_are_seen(kubo: FakeKubo, store: KuboStore, tmp_path: Path) -> None:
    leaf = cid_of(RAW, b"leaf")
    node = format_node([Link(leaf, 5, 5)])
    cid = str(Cid(DAG_PB, sha256(node).digest()))
    kubo.blocks.update({str(leaf): b"leaf", cid: node})
    with pytest.raises(InvalidInput, match="holds 4 bytes"):
        store.read(cid, tmp_path / "out")


def test_the_car_is_that_of_the_embedded_store(
    store: KuboStore, added: str, file: Path, tmp_path: Path
) -> None:
    embedded = BlockStore(tmp_path / "ipfs")
    embedded.add(file)
    embedded.export_car(added, tmp_path / "a.car")
    store.export_car(added, tmp_path / "b.car")
    assert (tmp_path / "a.car").read_bytes() == (tmp_path / "b.car").read_bytes()


def test_a_place_that_cannot_be_written_to(store: KuboStore, added: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="name another file"):
        store.read(added, tmp_path / "no folder" / "out")


# check
# --------------------------------------------------------------------------------------------------


def test_a_healthy_node(kubo: FakeKubo, store: KuboStore) -> None:
    kubo.services["archive"] = {}
    assert store.check() == KuboHealth(
        "0.42.0", is_online=True, stored=1000, capacity=10**10, services=("archive",)
    )
    assert kubo.blocks == {}
    kubo.sayings["id"] = said(200, {"Addresses": None})
    assert not store.check().is_online


SICK = {
    "a disk that is full": ("block/put", refused("no space left on device"), Unreachable),
    "blocks that are lost": ("block/get", refused("ipld: could not find it"), NotFound),
    "other blocks": ("block/get", said(200, b"other"), BadAnswer),
    "no version": ("version", said(200, {}), BadAnswer),
    "no room": ("repo/stat", said(200, {"RepoSize": -1, "StorageMax": 1}), BadAnswer),
    "no list of services": (
        "pin/remote/service/ls",
        said(200, {"RemoteServices": None}),
        BadAnswer,
    ),
    "what is not allowed": ("repo/stat", said(403, b"Forbidden"), InvalidInput),
}


@pytest.mark.parametrize("fault", SICK)
def test_a_sick_node(kubo: FakeKubo, store: KuboStore, fault: str) -> None:
    command, saying, error = SICK[fault]
    kubo.sayings[command] = saying
    with pytest.raises(error):
        store.check()


# pin_remotely
# --------------------------------------------------------------------------------------------------


def asked(kubo: FakeKubo) -> list[str]:
    return [params["service"] for command, params in kubo.seen if command == "pin/remote/add"]


def test_services_are_asked_once(kubo: FakeKubo, store: KuboStore) -> None:
    kubo.services.update(first={}, second={EMPTY: "pinned"})
    assert store.pin_remotely(EMPTY, ["first", "second"]) == (
        RemotePin("first", "queued"),
        RemotePin("second", "pinned"),
    )
    assert asked(kubo) == ["first"]
    assert kubo.seen[1] == (
        "pin/remote/add",
        {"arg": EMPTY, "service": "first", "background": "true"},
    )
    assert store.pin_remotely(EMPTY, ["first"]) == (RemotePin("first", "queued"),)
    assert asked(kubo) == ["first"]


def test_a_service_that_failed_is_asked_again(kubo: FakeKubo, store: KuboStore) -> None:
    kubo.services["archive"] = {EMPTY: "failed"}
    assert store.pin_remotely(EMPTY, ["archive"]) == (RemotePin("archive", "queued"),)


def test_of_several_pins_the_best_counts(kubo: FakeKubo, store: KuboStore) -> None:
    lines = "\n".join(
        json.dumps({"Status": status, "Cid": EMPTY}) for status in ("queued", "pinned", "pinning")
    )
    kubo.sayings["pin/remote/ls"] = said(200, lines.encode())
    assert store.pin_remotely(EMPTY, ["archive"]) == (RemotePin("archive", "pinned"),)


@pytest.mark.parametrize(
    "lie",
    [
        {"Status": "queued", "Cid": "bafkreiother"},
        {"Status": "perhaps", "Cid": EMPTY},
        {"Status": "queued"},
        {"Cid": EMPTY},
    ],
)
def test_a_lie_of_a_service_is_not_believed(
    kubo: FakeKubo, store: KuboStore, lie: dict[str, str]
) -> None:
    kubo.services["archive"] = {}
    kubo.sayings["pin/remote/add"] = said(200, lie)
    with pytest.raises(BadAnswer):
        store.pin_remotely(EMPTY, ["archive"])


def test_a_service_that_kubo_does_not_know(store: KuboStore) -> None:
    with pytest.raises(InvalidInput, match="service not known"):
        store.pin_remotely(EMPTY, ["archive"])


def test_what_is_no_cid_is_pinned_nowhere(kubo: FakeKubo, store: KuboStore) -> None:
    for call in (lambda: store.pin_remotely("Qm", ["archive"]), lambda: store.holds("Qm")):
        with pytest.raises(InvalidInput):
            call()
    assert kubo.seen == []


# Totality, secrets
# --------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["error", EMPTY, "pinned", "recursive"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Type", "Message", "Hash", "Keys", EMPTY, "Cid", "Status"]), inner
        )
    ),
    max_leaves=8,
)
bodies = st.binary(max_size=40) | st.lists(
    json_values.map(lambda value: json.dumps(value).encode()), max_size=3
).map(b"\n".join)


@settings(max_examples=300)
@given(
    status=st.sampled_from([200, 200, 200, 204, 301, 400, 403, 404, 408, 500, 500, 503]),
    body=bodies,
)
def test_any_answer_gives_a_value_or_an_error_of_ours(status: int, body: bytes) -> None:
    with (
        closing(KuboStore("http://127.0.0.1:1", 1)) as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(store._http, "post", lambda *_, **__: Answer(status, "", body))
        patch.setattr(
            store._http,
            "upload",
            lambda _url, parts, **_: Answer(status, "", body if b"".join(parts) else b""),
        )
        for call in (
            lambda: store.add(Path(__file__)),
            lambda: store.holds(EMPTY),
            store.check,
            lambda: store.pin_remotely(EMPTY, ["archive"]),
        ):
            with suppress(WitnesstreeError):
                call()


def test_a_password_in_the_address_is_used_and_never_shown(kubo: FakeKubo, file: Path) -> None:
    url = kubo.url.replace("http://", "http://user:secret@")
    with closing(KuboStore(url + "/", 5)) as store:
        assert store.add(file)
        assert "secret" not in repr(store) + str(store.notice)
        kubo.sayings["add"] = refused("no space left on device")
        with pytest.raises(Unreachable) as raised:
            store.add(file)
        assert "secret" not in str(raised.value)
    for url in (
        "http://user:secret@127.0.0.1:5001?key=secret",
        "http://user:secret@127.0.0.1:5001/#secret",
    ):
        with pytest.raises(InvalidInput) as refusal:
            KuboStore(url, 5)
        assert "secret" not in str(refusal.value)

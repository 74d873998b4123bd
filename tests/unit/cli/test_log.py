"""`witnesstree log`, as people type it; litewitness answers in
tests/integration/test_litewitness.py."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from commandline import call
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from witnesstree.anchor import cosigners
from witnesstree.anchor.cosigners import Cosigner, ask_cosigner
from witnesstree.anchor.http import Answer, Http
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.cli.language import speak
from witnesstree.cli.log import log_command
from witnesstree.ledger.audit.equivocation import check_equivocation, parse_equivocation
from witnesstree.ledger.base.catalogue import ENGLISH
from witnesstree.ledger.base.errors import (
    BadAnswer,
    Conflict,
    InvalidInput,
    NotFound,
    Unreachable,
    WitnesstreeError,
)
from witnesstree.ledger.log.cosignature import (
    MAX_TIME,
    CosignerKey,
    check_cosignatures,
    cosigned_message,
    format_cosigner_key,
)
from witnesstree.ledger.log.log import EMPTY_ROOT
from witnesstree.ledger.log.note import (
    Checkpoint,
    format_base64,
    format_verifier_key,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
)
from witnesstree.ledger.store.home import open_home

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(sha256(b"a witness").digest())
KEY = CosignerKey("witness.example/w1", PRIVATE_KEY.public_key().public_bytes_raw())
OTHER = CosignerKey("witness.example/w2", bytes(32))
TIME = 1_700_000_000


def log(*arguments: object) -> Result:
    # Another test may have spoken another language in this process.
    speak(ENGLISH)
    return CliRunner().invoke(log_command, list(map(str, arguments)))


def seal(home: Path, *labels: str) -> None:
    with open_ledger(home) as ledger:
        for label in labels:
            ledger.submit(sha256(label.encode()).digest())
            ledger.close()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sealed") / "home"
    make_home(home, "ledger.test/log")
    seal(home, "first", "second")
    return home


@pytest.fixture
def home(sealed: Path, tmp_path: Path) -> Path:
    shutil.copytree(sealed, tmp_path / "home")
    return tmp_path / "home"


def key_of(home: Path) -> str:
    return format_verifier_key(open_home(home).verifier_key())


# publish


def test_publish(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    done = log("publish", folder, "--home", home)
    assert (done.exit_code, done.stdout) == (
        0,
        (
            f"{folder} holds the log of 2 batches, 2 of them new (2 tiles and 2 batch proofs"
            " written).\n"
        ),
    )
    seal(home, "third")
    assert json.loads(log("publish", folder, "--home", home, "--json").stdout) == {
        "folder": str(folder),
        "old_size": 2,
        "size": 3,
        "tiles": 2,
        "records": 1,
    }


# check


@pytest.fixture
def fork(home: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two published logs of one ledger that differ in their third batch, the second one being
    longer."""
    copied = tmp_path / "copied"
    shutil.copytree(home, copied)
    for folder, labels in ((home, ["third"]), (copied, ["another third", "fourth"])):
        seal(folder, *labels)
        log("publish", tmp_path / f"published {folder.name}", "--home", folder)
    return tmp_path / "published home", tmp_path / "published copied"


def test_check_finds_that_a_log_continues(home: Path, tmp_path: Path) -> None:
    folder, old = tmp_path / "published", tmp_path / "old"
    log("publish", folder, "--home", home)
    shutil.copy(folder / "checkpoint", old)
    seal(home, "third")
    log("publish", folder, "--home", home)
    for first, second in ((old, folder), (folder, old), (folder, folder)):
        done = log("check", first, second, "--checkpoint-key", key_of(home))
        assert (done.exit_code, done.stdout.splitlines()[0][:8]) == (0, "VERIFIED")
    assert "OLD is the larger log" in log("check", folder, old).stderr
    unknown = log("check", old, folder, "--json")
    assert (unknown.exit_code, json.loads(unknown.stdout)["verdict"]) == (4, "undecided")
    new = tmp_path / "new"
    shutil.copy(folder / "checkpoint", new)
    alone = log("check", old, new, "--checkpoint-key", key_of(home))
    assert alone.exit_code == 4
    assert "name its folder or address" in alone.stdout


def test_check_names_a_fork_and_keeps_both_checkpoints(
    fork: tuple[Path, Path], home: Path, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence.json"
    done = log("check", *fork, "--checkpoint-key", key_of(home), "--evidence", evidence, "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["verdict"], said["evidence"]) == (3, "failed", str(evidence))
    found = parse_equivocation(evidence.read_bytes())
    assert [found.first, found.second] == [
        (folder / "checkpoint").read_text(encoding="utf-8") for folder in fork
    ]
    assert check_equivocation(found, open_home(home).verifier_key())


def test_evidence_has_a_name_of_its_own(
    fork: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = log("check", *fork)
    assert done.exit_code == 3
    (written,) = tmp_path.glob("equivocation-*.json")
    assert f"Both statements are kept in {written.name}" in done.stderr


def test_check_of_what_is_no_log(tmp_path: Path) -> None:
    for subject, error in (
        (tmp_path / "none", InvalidInput),
        (tmp_path, NotFound),
        ("x" * 5000, InvalidInput),
    ):
        assert isinstance(log("check", subject, subject).exception, error)


@pytest.mark.enable_socket
def test_check_at_an_address(home: Path) -> None:
    with pytest.raises(Unreachable):
        raise (
            log("check", "http://127.0.0.1:9/court", "http://127.0.0.1:9/court").exception
            or AssertionError
        )


# cosign


def line(note: str, key: CosignerKey = KEY, time: int = TIME) -> bytes:
    signature = PRIVATE_KEY.sign(cosigned_message(parse_note(note).text, time))
    return (
        f"— {key.name} {format_base64(key.key_id + time.to_bytes(8, 'big') + signature)}\n".encode()
    )


class Asked(Http):
    """A witness in memory: `answers` are given one after the other, to the requests in `asked`."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    def post(
        self, url: str, content: bytes, *, content_type: str, limit: int, accept: str = "*/*"
    ) -> Answer:
        assert url == "https://witness.example/w1/add-checkpoint"
        self.asked.append(content)
        return self.answers.pop(0)

    def close(self) -> None:
        pass


def size(number: object, kind: str = "text/x.tlog.size") -> Answer:
    return Answer(409, kind, f"{number}\n".encode())


def ask(home: Path, http: Http) -> str:
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        return ask_cosigner(
            http,
            Cosigner("https://witness.example/w1/", KEY),
            transaction.checkpoint(),
            transaction.log_node,
        )


def newest(home: Path) -> str:
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        return transaction.checkpoint()


def test_a_witness_is_told_what_it_has_seen(home: Path) -> None:
    note = newest(home)
    http = Asked(size(1), Answer(200, "", line(note)))
    assert ask(home, http).encode() == line(note)
    first, second = (request.decode() for request in http.asked)
    assert first == f"old 0\n\n{note}"
    head, _, rest = second.partition("\n\n")
    assert rest == note
    assert head.startswith("old 1\n")
    assert len(head.splitlines()) == 2


REFUSALS: list[tuple[list[Answer], type[WitnesstreeError], str]] = [
    ([size(3)], Conflict, "has seen this log with 3 entries, and this checkpoint has 2"),
    ([size(0)], BadAnswer, "contradicts itself"),
    ([size(1), size(1)], BadAnswer, "contradicts itself"),
    ([size(2), size(2)], BadAnswer, "has seen 2 entries of this log, as many as this checkpoint"),
    ([size(1), size(2), size(1)], Conflict, r"another size each time \(1, 2, 1\)"),
    ([size(1), Answer(422, "", b"")], BadAnswer, "does not accept the proof that the log of 1"),
    ([size(2), Answer(409, "text/plain", b"")], BadAnswer, r"without a size \(text/plain\)"),
    ([Answer(409, "text/html", b"<html>")], BadAnswer, r"without a size .* b'<html>'; look for a"),
    ([Answer(409, "", b"5\n")], BadAnswer, r"without a size, so that"),
    ([size("x")], BadAnswer, "says no size"),
    ([Answer(409, "text/x.tlog.size", b"\xff")], BadAnswer, "says no size"),
    ([Answer(404, "", b"")], NotFound, "does not know this log"),
    ([Answer(403, "", b"")], BadAnswer, "under another key"),
    ([Answer(503, "", b"")], Unreachable, "status 503"),
    ([Answer(301, "", b"")], BadAnswer, "status 301"),
    ([Answer(200, "", b"<html>")], BadAnswer, "something else than cosignatures"),
    ([Answer(200, "", b"")], BadAnswer, "without a cosignature by the expected key"),
    (
        [Answer(200, "", "— x AAAAAAA=\n".encode())],
        BadAnswer,
        "without a cosignature by the expected key",
    ),
]


@pytest.mark.parametrize(
    ("answers", "error", "said"), REFUSALS, ids=[said for _, _, said in REFUSALS]
)
def test_a_witness_that_does_not_cosign(
    home: Path, answers: list[Answer], error: type[WitnesstreeError], said: str
) -> None:
    with pytest.raises(error, match=said):
        ask(home, Asked(*answers))


def test_a_witness_of_another_checkpoint_is_not_believed(home: Path) -> None:
    other = sign_checkpoint(
        Checkpoint("ledger.test/log", 0, EMPTY_ROOT), open_home(home).private_key()
    )
    with pytest.raises(BadAnswer, match="without a cosignature"):
        ask(home, Asked(Answer(200, "", line(other))))


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def answer(*answers: Answer) -> None:
        http = Asked(*answers)
        monkeypatch.setattr("witnesstree.anchor.http.Http", lambda timeout: http)

    return answer


def cosign(home: Path, *arguments: object, keys: tuple[CosignerKey, ...] = (KEY,)) -> Result:
    each = [
        option
        for key in keys
        for option in (
            "--witness",
            "https://witness.example/w1",
            "--witness-key",
            format_cosigner_key(key),
        )
    ]
    return log("cosign", *each, "--home", home, *arguments)


def test_enough_witnesses_have_to_cosign(home: Path, answering: Callable[..., None]) -> None:
    note = newest(home)
    good, bad = Answer(200, "", line(note)), Answer(503, "", b"")
    for quorum, code in (((), 4), (("--quorum", 1), 0)):
        answering(size(1), good, bad)
        done = cosign(home, *quorum, keys=(KEY, OTHER))
        assert done.exit_code == code
        assert done.stdout == note + line(note).decode()
        assert (
            "the cosigner witness.example/w2 at https://witness.example answered with status 503:"
            " try again later\n" in done.stderr
        )
        assert f"1 of 2 cosigners cosigned; {1 if quorum else 2} had to." in done.stderr
    # What is kept counts, also where a witness does not answer any more.
    answering(bad)
    said = json.loads(cosign(home, "--json").stdout)
    assert (said["cosignatures"], said["quorum"]) == ({KEY.name: TIME}, 1)
    assert KEY.name in said["errors"]
    assert check_cosignatures(said["checkpoint"], [KEY])


@pytest.mark.parametrize(
    ("time", "says"),
    [
        (0, "left the time out"),
        (2**40, "ahead of the clock here"),
        (TIME * 1000, "ahead of the clock here"),
        (MAX_TIME, "ahead of the clock here"),
    ],
)
def test_a_cosignature_of_a_time_that_cannot_be_is_not_kept(
    home: Path, answering: Callable[..., None], time: int, says: str
) -> None:
    note = newest(home)
    answering(Answer(200, "", line(note, time=time)))
    done = cosign(home)
    assert done.exit_code == 4
    assert says in done.stderr
    assert done.stdout == note
    # One that is right is kept afterwards, also where both come at once.
    answering(Answer(200, "", line(note, time=time) + line(note)))
    done = cosign(home)
    assert done.exit_code == 0
    assert done.stdout == note + line(note).decode()


@pytest.mark.parametrize("kind", ["time 0", "ahead", "of nobody"])
def test_a_good_cosignature_takes_the_place_of_a_kept_bad_one(
    home: Path, answering: Callable[..., None], kind: str
) -> None:
    note = newest(home)
    bad = {
        "time 0": line(note, time=0),
        "ahead": line(note, time=2**40),
        "of nobody": line(note.replace("ledger", "lodger")),
    }[kind]
    # As older versions kept them.
    with open_ledger(home) as ledger, ledger.metadata.write() as transaction:
        transaction.add_cosignature(2, KEY.name, KEY.key_id, bad.decode())
    answering(Answer(503, "", b""))
    assert cosign(home).exit_code == 4
    answering(Answer(200, "", line(note)))
    done = cosign(home)
    assert done.exit_code == 0
    assert done.stdout == note + line(note).decode()
    # And a good one stays.
    answering(Answer(200, "", line(note, time=TIME + 1)))
    assert cosign(home).stdout == done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (
                "--witness",
                "http://a",
                "--witness",
                "http://b",
                "--witness-key",
                format_cosigner_key(KEY),
            ),
            "there are 2 addresses and 1 keys",
        ),
        (("--witness", "http://a", "--witness-key", "x"), "takes a cosigner's key"),
        (
            ("--witness", "http://a", "--witness-key", format_cosigner_key(KEY), "--quorum", 2),
            "--quorum 2 of 1 is not possible",
        ),
        (
            ("--witness", "http://a", "--witness-key", format_cosigner_key(KEY)) * 2,
            "names one key twice",
        ),
    ],
)
def test_witnesses_that_cannot_be_asked(
    home: Path, arguments: tuple[object, ...], said: str
) -> None:
    error = log("cosign", *arguments, "--home", home).exception
    assert isinstance(error, InvalidInput)
    assert said in str(error)


def test_no_witness_is_asked_for_ever(home: Path) -> None:
    http = Asked(*(size(number) for number in (1, 2, 1, 2)))
    with pytest.raises(Conflict):
        ask(home, http)
    assert len(http.asked) == cosigners.MAX_ATTEMPTS


# The key


def test_the_key_is_changed_and_listed(home: Path, tmp_path: Path) -> None:
    first = key_of(home)
    assert log("keys", "--home", home).stdout == f"Key 0 from the beginning: {first}\n"
    done = log("rotate", "--home", home)
    second = format_verifier_key(open_home(home).verifier_key(1))
    assert (done.exit_code, done.stdout) == (
        0,
        f"Key 1 for logs of more than 2 batches: {second}\n",
    )
    assert "give the new key to this log's cosigners" in done.stderr
    said = json.loads(log("rotate", "--destroy-old", "--home", home, "--json").stdout)
    assert (said["number"], said["old"], said["size"]) == (2, second, 2)
    assert not (home / "keys" / "ledger-001.pem").exists()
    assert log("keys", "--home", home).stdout.splitlines()[1:] == [
        f"Key {number} for logs of more than 2 batches: {key}"
        for number, key in ((1, second), (2, said["new"]))
    ]
    listed = json.loads(log("keys", "--home", home, "--json").stdout)
    assert listed["first"] == first
    assert [{name: row[name] for name in said} for row in listed["changes"]][1] == said
    with open_ledger(home) as ledger, ledger.metadata.read() as transaction:
        assert [row["note"] for row in listed["changes"]] == transaction.key_notes()


def test_check_over_a_change_of_the_key(home: Path, tmp_path: Path) -> None:
    keys, folders = [key_of(home)], [tmp_path / "before", tmp_path / "after"]
    log("publish", folders[0], "--home", home)
    log("rotate", "--home", home)
    seal(home, "third")
    log("publish", folders[1], "--home", home)
    keys.append(format_verifier_key(open_home(home).verifier_key(1)))
    for key in keys:
        for old, new in (folders, (folders[0] / "checkpoint", folders[1])):
            done = log("check", old, new, "--checkpoint-key", key, "--json")
            assert done.exit_code == 0, done.stdout
            assert [check["name"] for check in json.loads(done.stdout)["checks"]] == [
                "old",
                "new",
                "keys",
                "consistency",
            ]
    # Another note of the same number, in another copy of the home.
    copied = tmp_path / "copied"
    shutil.copytree(home, copied)
    log("rotate", "--home", home)
    log("rotate", "--home", copied)
    log("publish", folders[0], "--home", home)
    log("publish", folders[1], "--home", copied)
    evidence = tmp_path / "evidence.json"
    done = log("check", *folders, "--checkpoint-key", keys[0], "--evidence", evidence, "--json")
    assert done.exit_code == 3
    assert [
        check["name"] for check in json.loads(done.stdout)["checks"] if check["outcome"] == "failed"
    ] == ["keys"]
    assert check_equivocation(
        parse_equivocation(evidence.read_bytes()), open_home(home).verifier_key(1)
    )
    # A note that is none accuses nobody.
    (folders[1] / "keys" / "002").write_bytes(b"x")
    done = log("check", *folders, "--checkpoint-key", keys[0], "--json")
    assert done.exit_code == 3
    said = json.loads(done.stdout)
    assert "evidence" not in said
    assert [check["reason"] for check in said["checks"] if check["name"] == "keys"] == [
        "What is published as key note 2 is not a key note that both its keys signed."
    ]


def test_check_of_files_over_a_change_of_the_key(home: Path, tmp_path: Path) -> None:
    first, folder, old, new = (
        key_of(home),
        tmp_path / "published",
        tmp_path / "old",
        tmp_path / "new",
    )
    log("publish", folder, "--home", home)
    shutil.copy(folder / "checkpoint", old)
    log("rotate", "--home", home)
    seal(home, "third")
    log("publish", folder, "--home", home)
    shutil.copy(folder / "checkpoint", new)
    second = format_verifier_key(open_home(home).verifier_key(1))
    # The file of a published log stands for the log.
    for key in (first, second):
        done = log("check", old, folder / "checkpoint", "--checkpoint-key", key)
        assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "VERIFIED")
    # Another file there has the log's key notes.
    (folder / "copy").write_bytes(old.read_bytes())
    done = log("check", folder / "copy", folder, "--checkpoint-key", second)
    assert done.exit_code == 0
    # A file alone may be signed by a key that its notes would lead to.
    alone = log("check", old, new, "--checkpoint-key", first, "--json")
    outcomes = {
        check["name"]: (check["outcome"], check["reason"])
        for check in json.loads(alone.stdout)["checks"]
    }
    assert alone.exit_code == 4
    assert outcomes["old"][0] == "passed"
    assert outcomes["new"][0] == "unknown"
    assert "name the folder or address of the log, for its key notes" in outcomes["new"][1]
    # Where the notes beside the other one settle which key was in force, it is known.
    forged = sign_checkpoint(
        parse_checkpoint(parse_note(old.read_text(encoding="utf-8")).text),
        open_home(home).private_key(1),
    )
    old.write_text(forged, encoding="utf-8")
    done = log("check", old, folder, "--checkpoint-key", first)
    assert done.exit_code == 3
    assert "at 2 entries is not signed by the key of" in done.stdout
    assert "that was in force at that size" in done.stdout
    # So it is where the log is another one.
    make_home(tmp_path / "other", "ledger.test/other")
    assert log("check", new, new, "--checkpoint-key", key_of(tmp_path / "other")).exit_code == 3


def test_evidence_is_checked(fork: tuple[Path, Path], home: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence.json"
    log("check", *fork, "--evidence", evidence)
    other = format_verifier_key(make_home(tmp_path / "other", "ledger.test/other").verifier_key())
    for keys, code, verdict in (
        ((key_of(home),), 0, "VERIFIED"),
        ((other,), 3, "FAILED"),
        ((), 4, "UNDECIDED"),
        ((other, key_of(home)), 0, "VERIFIED"),
    ):
        options = [option for key in keys for option in ("--checkpoint-key", key)]
        done = log("check", evidence, *options)
        assert (done.exit_code, done.stdout.splitlines()[0]) == (code, verdict)
        said = json.loads(log("check", evidence, *options, "--json").stdout)
        assert (said["verdict"], [check["name"] for check in said["checks"]]) == (
            verdict.lower(),
            ["evidence"],
        )
    for path, said in (
        (fork[0], "cannot read"),
        (fork[0] / "checkpoint", "holds no evidence"),
        ("x" * 5000, "cannot read"),
    ):
        error = log("check", path).exception
        assert isinstance(error, InvalidInput)
        assert said in str(error)


def test_old_keys_are_destroyed_by_a_command_of_their_own(home: Path) -> None:
    log("rotate", "--home", home)
    listed = log("keys", "--home", home).stdout
    done = log("keys", "--destroy-old", "--home", home)
    assert (done.exit_code, done.stdout) == (0, listed)
    assert "1 private key removed" in done.stderr
    (path,) = (home / "keys").glob("*.pem")
    assert path.name.startswith("ledger-001-")


def test_what_is_no_checkpoint_is_named(home: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "what.txt", tmp_path / "published"
    file.write_text("what", encoding="utf-8")
    log("publish", folder, "--home", home)
    for arguments in ((file, folder), (folder, file)):
        error = log("check", *arguments).exception
        assert isinstance(error, InvalidInput)
        assert f"{file} holds no checkpoint: expected a signed note" in str(error)


# Servers that answer with something for what is not there


class Pages(Http):
    """A web application in memory: the files of a folder, and a page for anything else."""

    def __init__(self, folder: Path, page: bytes) -> None:
        super().__init__(timeout=1)
        self.folder, self.page = folder, page
        self.asked: list[str] = []

    def get(self, url: str, *, limit: int, **_how: object) -> Answer:  # type: ignore[override]
        path = self.folder / url.removeprefix("https://log.example/")
        self.asked.append(url)
        return Answer(200, "", path.read_bytes() if path.is_file() else self.page[:limit])


@pytest.mark.parametrize(
    "page",
    [
        b"<!doctype html><html></html>",
        b"\n <HTML>",
        b"Not Found",
        b'{"error": 404}',
        b"",
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("command", ["audit", "check"])
def test_a_server_that_answers_for_what_is_not_there_accuses_nobody(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: bytes, command: str
) -> None:
    folder = tmp_path / "published"
    log("publish", folder, "--home", home)
    http = Pages(folder, page)
    monkeypatch.setattr("witnesstree.anchor.http.Http", lambda timeout: http)
    ran = (
        call("audit", "https://log.example", "--home", home)
        if command == "audit"
        else call("log", "check", folder / "checkpoint", "https://log.example")
    )
    assert ran.code == 9
    assert "the server answers with a page for files that are not there" in ran.error()
    assert "keys/001" in ran.error()
    assert len(http.asked) == 2
    # For all that there is, likewise.
    http = Pages(tmp_path / "nowhere", page)
    monkeypatch.setattr("witnesstree.anchor.http.Http", lambda timeout: http)
    assert call("audit", "https://log.example", "--home", home).code == 9
    assert len(http.asked) == 1


def test_a_page_in_place_of_a_tile_accuses_nobody(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "published"
    log("publish", folder, "--home", home)
    for path in list(folder.rglob("*")):
        if path.is_file() and "tile" in path.parts:
            path.unlink()
    http = Pages(folder, b"<!doctype html>")
    real = http.get

    def get(url: str, *, limit: int, **how: object) -> Answer:
        found = real(url, limit=limit, **how)
        return Answer(404, "", b"") if "/keys/" in url else found

    monkeypatch.setattr(http, "get", get)
    monkeypatch.setattr("witnesstree.anchor.http.Http", lambda timeout: http)
    ran = call("audit", "https://log.example", "--home", home)
    assert ran.code == 9
    assert "tile/" in ran.error()

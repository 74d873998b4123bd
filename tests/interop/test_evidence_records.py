"""BouncyCastle and the European Commission's DSS, which courts and archives use, judge our evidence
records; and we judge those that others made."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import new, sha256
from pathlib import Path

import pytest
from make_record import (
    GROUP,
    START,
    YEAR,
    Way,
    archive,
    authority,
    compose,
    document,
    group_record,
    make_proof,
    other_readings,
    tokens_of,
    trusted,
    way,
)
from make_record import digests as digests_of
from make_record import token as make_token
from make_revocation import wrap
from real import CACHE, ROOT, require_real, unavailable

from witnesstree.anchor.tsa.local import LocalAuthority
from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.base.report import Verdict
from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.proof.proof import Inclusion, Proof
from witnesstree.ledger.proof.record import EvidenceRecord, parse_record
from witnesstree.ledger.proof.record_judge import verify_record
from witnesstree.ledger.proof.record_make import (
    derive_record,
    make_record,
    renew_hash_tree,
    renew_timestamp,
    renew_timestamps,
)
from witnesstree.ledger.tokens.token import check_response, format_request
from witnesstree.ledger.tree.tree import parent

PROGRAMS = Path(__file__).parent / "evidence_record"
DEBIAN = [Path(f"/usr/share/java/{name}.jar") for name in ("bcprov", "bcutil", "bcpkix")]
SIZES = (2, 3, 1_000, 1_000_003)
NOW = START + 7 * YEAR


@dataclass(frozen=True)
class Judge:
    """A Java program that judges records; `folder` is where they are put for it."""

    name: str
    process: subprocess.Popen[str]
    folder: Path

    def __call__(self, record: bytes, *contents: bytes) -> str:
        paths = []
        for number, content in enumerate((record, *contents)):
            path = self.folder / str(number)
            path.write_bytes(content)
            paths.append(str(path))
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\t".join(paths) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@dataclass(frozen=True)
class Maker:
    """BouncyCastle, which makes and renews records; it asks for tokens of these tests."""

    process: subprocess.Popen[str]
    folder: Path

    def group(self, *contents: bytes) -> str:
        paths = [self.folder / f"{sha256(content).hexdigest()[:9]}.txt" for content in contents]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return ",".join(map(str, paths))

    def __call__(self, *words: str, algorithm: str = "sha256", years: float = 0) -> str:
        imprint = self._say("\t".join(words))
        if imprint.startswith("refused"):
            return imprint
        token = make_token(bytes.fromhex(imprint), algorithm, years)
        answer = self.folder / "answer.tsr"
        answer.write_bytes(wrap(0x30, b"\x30\x03\x02\x01\x00" + token))
        return self._say(str(answer))

    def _say(self, line: str) -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""For programs that run for seconds: code is not made ever faster, nor memory cleared at once."""


@contextmanager
def running(name: str, jars: list[Path], folder: Path) -> Iterator[subprocess.Popen[str]]:
    java, javac = require_real("java"), require_real("javac")
    path = ":".join(map(str, [folder, *jars]))
    compiling = [f"-J{option}" for option in BRIEF]
    subprocess.run(
        [javac, *compiling, "-d", folder, "-cp", path, PROGRAMS / f"{name}.java"],
        check=True,
        timeout=120,
    )
    command = [java, *BRIEF, "-Xmx256m", "-cp", path, name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def debian_jars() -> list[Path]:
    if not all(jar.exists() for jar in DEBIAN):
        unavailable("BouncyCastle is not installed on this machine (Debian's libbcpkix-java)")
    return DEBIAN


@pytest.fixture(scope="module")
def bouncy_castle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    folder = tmp_path_factory.mktemp("bouncycastle")
    with running("BouncyCastle", debian_jars(), folder) as process:
        yield Judge("BouncyCastle", process, folder)


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    folder = tmp_path_factory.mktemp("maker")
    with running("BouncyCastleMaker", debian_jars(), folder) as process:
        yield Maker(process, folder)


def dss_jars() -> list[Path]:
    """EU DSS, fetched where it is not there yet."""
    lib = CACHE / "dss-6.4-asic"
    if not lib.is_dir():
        require_real("mvn")
        fetched = subprocess.run(
            [ROOT / "tests/servers/dss.sh"],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        if fetched.returncode:
            unavailable(f"EU DSS cannot be had: {fetched.stderr.strip()[-200:]}")
    return sorted(lib.glob("*.jar"))


@pytest.fixture(scope="module")
def dss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    folder = tmp_path_factory.mktemp("dss")
    with running("Dss", dss_jars(), folder) as process:
        yield Judge("Dss", process, folder)


@pytest.fixture(
    params=[
        pytest.param("bouncy_castle", marks=pytest.mark.real("java")),
        pytest.param("dss", marks=pytest.mark.real("mvn")),
    ]
)
def judge(request: pytest.FixtureRequest) -> Judge:
    found: Judge = request.getfixturevalue(request.param)
    return found


def verdict(record: bytes, *contents: bytes, is_group: bool = False) -> Verdict:
    return verify_record(
        record, [digests_of(content) for content in contents], trusted(), NOW, is_group=is_group
    ).verdict


def steps(made: Way) -> dict[str, EvidenceRecord]:
    return {
        "initial": made.initial,
        "stamped again": made.stamped_again,
        "hashed again": made.hashed_again,
        "twice": made.twice,
    }


@pytest.mark.parametrize("step", ["initial", "stamped again", "hashed again", "twice"])
@pytest.mark.parametrize("size", SIZES)
def test_they_accept_our_records_of_batches_of_every_size(
    judge: Judge, size: int, step: str
) -> None:
    for position in {1, size // 2, size - 1}:
        made = way(size, position)
        record = steps(made)[step].der
        assert judge(record, made.content) == "accepted"
        assert judge(record, document(size + 1)).startswith("refused")


def test_they_accept_a_file_alone(judge: Judge) -> None:
    """A batch of one leaf, which no ledger makes: the token is for the digest itself, and there is
    no tree."""
    made = way(1, 0)
    for name, record in steps(made).items():
        assert record.chains[0][0].lists == ()
        assert judge(record.der, made.content) == "accepted"
        assert judge(record.der, b"another file").startswith("refused")
        # By then its authority's certificate has ended.
        assert verdict(record.der, made.content) is (
            Verdict.UNDECIDED if name == "initial" else Verdict.VERIFIED
        )


def test_they_accept_a_third_timestamp_in_a_chain(judge: Judge) -> None:
    made = way(3, 1)
    third = renew_timestamp(made.stamped_again, tokens_of(5))
    fourth = renew_timestamp(third, tokens_of(6))
    for record in (third, fourth):
        assert judge(record.der, made.content) == "accepted"
        assert verdict(record.der, made.content) is Verdict.VERIFIED


@pytest.mark.parametrize("count", [1, 2, 3, 100, pytest.param(1_000, marks=pytest.mark.rehearsal)])
def test_they_accept_records_that_were_renewed_together_twice(judge: Judge, count: int) -> None:
    once, twice = together(count)
    for number in sorted({0, 1 % count, count // 2, count - 1}):
        content = b"file of batch %d" % number
        for record in (once[number], twice[number]):
            assert judge(record.der, content) == "accepted"
            assert judge(record.der, b"another file").startswith("refused")
            assert verdict(record.der, content) is Verdict.VERIFIED
    assert {len({each.timestamps[at].token.der for each in twice}) for at in (1, 2)} == {1}, (
        "one token each time"
    )


def test_they_refuse_a_record_whose_place_among_others_is_false(judge: Judge) -> None:
    once, _ = together(3)
    first, second = once[1].chains[0]
    for lists in (
        [second.lists[0], [flip(second.lists[1][0])], *second.lists[2:]],
        [[flip(second.lists[0][0])], *second.lists[1:]],
    ):
        record = compose([first.der, archive(lists, second.token.der)])
        assert judge(record, b"file of batch 1").startswith("refused")
        assert verdict(record, b"file of batch 1") is Verdict.FAILED


def test_they_accept_records_that_were_derived_from_that_of_their_batch(judge: Judge) -> None:
    of_batch = renew_timestamps(
        [parse_record(make_record(make_proof(1_000, 0))), together(2)[0][0]], tokens_of(3.5)
    )[0]
    for position in (1, 500, 999):
        at = make_proof(1_000, position).inclusion
        assert at
        record = derive_record(of_batch, sha256(document(position)).digest(), at.path)
        assert judge(record.der, document(position)) == "accepted"
        assert judge(record.der, document(0)).startswith("refused")
        assert verdict(record.der, document(position)) is Verdict.VERIFIED


@cache
def together(count: int) -> tuple[list[EvidenceRecord], list[EvidenceRecord]]:
    """The records of so many batches, each of which has a token of its own, renewed with one token,
    and then with another one."""
    records = []
    for number in range(count):
        leaf, other = sha256(b"file of batch %d" % number).digest(), sha256(b"opening").digest()
        root = parent(leaf, other)
        records.append(
            parse_record(
                make_record(
                    Proof(leaf, Inclusion(1, 2, root, (other,)), tokens=(Stamp(make_token(root)),))
                )
            )
        )
    once = renew_timestamps(records, tokens_of(3))
    return once, renew_timestamps(once, tokens_of(6))


def test_they_accept_what_vouches_beside_the_token(judge: Judge) -> None:
    proof = make_proof(5, 2, certificates=(authority(3).der, authority(4).der))
    assert judge(make_record(proof), document(2)) == "accepted"


def test_they_accept_tokens_of_the_embedded_authority(judge: Judge, tmp_path: Path) -> None:
    LocalAuthority.create(tmp_path / "authority", START)
    authority = LocalAuthority.open(tmp_path / "authority", lambda: START)
    years = iter([START + YEAR, START + 2 * YEAR])

    def token_for(imprint: bytes, algorithm: str) -> Stamp:
        answer = authority.answer(format_request(imprint, 7, algorithm=algorithm), next(years))
        return Stamp(check_response(answer, imprint, 7, algorithm=algorithm).der)

    leaf, other = sha256(b"a file").digest(), sha256(b"opening").digest()
    root = parent(leaf, other)
    record = parse_record(
        make_record(Proof(leaf, Inclusion(1, 2, root, (other,)), tokens=(authority.stamp(root),)))
    )
    again = renew_timestamp(record, token_for)
    hashed = renew_hash_tree(again, [new("sha384", b"a file").digest()], "sha384", token_for)
    for each in (record, again, hashed):
        assert judge(each.der, b"a file") == "accepted"


def test_they_accept_a_data_group(judge: Judge) -> None:
    record = group_record()
    assert judge(record.der, *GROUP) == "accepted"
    assert verdict(record.der, *GROUP, is_group=True) is Verdict.VERIFIED
    assert judge(record.der, *GROUP[:2], b"another annex").startswith("refused")


def test_where_they_differ(judge: Judge) -> None:
    """BouncyCastle hashes a later list of several by itself, which RFC 4998, 4.3 does not say; and
    wants all tokens of a chain in its newest list."""
    group = group_record().chains[0][0].der
    assert judge(compose([group]), *GROUP).startswith(
        "accepted" if judge.name == "Dss" else "refused"
    )
    made = way(3, 1)
    older = [each.der for each in made.stamped_again.timestamps]
    third = archive(
        [],
        tokens_of(5)(sha256(made.stamped_again.timestamps[1].token.der).digest(), "sha256").token,
    )
    assert judge(compose([*older, third]), made.content).startswith(
        "accepted" if judge.name == "Dss" else "refused"
    )
    assert verdict(compose([*older, third]), made.content) is Verdict.VERIFIED


@pytest.mark.real("java")
def test_we_accept_what_bouncy_castle_makes_and_renews(maker: Maker) -> None:
    """A data group of three and two files alone, in one tree; then each renewed in both ways."""
    subjects = ((*GROUP,), (b"alone",), (b"alone, too",))
    made = str(maker.folder / "made")
    assert maker("make", made, *(maker.group(*each) for each in subjects)) == "3"
    found = []
    for number in range(3):
        record = Path(f"{made}.{number}")
        is_for = [each for each in subjects if is_verified(record, each, START + YEAR)]
        assert len(is_for) == 1
        found += is_for
        stamped, hashed = record.with_suffix(".stamped"), record.with_suffix(".hashed")
        assert maker("stamp", str(stamped), str(record), years=3) == "1"
        assert is_verified(stamped, is_for[0], START + 4 * YEAR)
        group = maker.group(*is_for[0])
        said = maker("hash", str(hashed), str(stamped), group, algorithm="sha512", years=5)
        assert said == "1"
        assert is_verified(hashed, is_for[0], START + 6 * YEAR)
        assert not is_verified(hashed, (b"another file",), START + 6 * YEAR)
    assert sorted(found) == sorted(subjects)


def is_verified(record: Path, contents: tuple[bytes, ...], now: datetime) -> bool:
    """Whether a record is for these files, and for no others in the first lists."""
    files = [digests_of(content) for content in contents]
    report = verify_record(record.read_bytes(), files, trusted(), now, is_group=True)
    return report.verdict is Verdict.VERIFIED


@pytest.mark.parametrize("name", other_readings())
def test_what_the_standard_allows_and_they_do_not_read(judge: Judge, name: str) -> None:
    """So nothing that we write is of this kind."""
    record, content = other_readings()[name]
    assert verdict(record, content) is not Verdict.FAILED
    assert judge(record, content).startswith("refused")


MUTATIONS = (
    "a hash in the tree flipped",
    "a list dropped",
    "a list added",
    "the token of another root",
    "the second timestamp on another token",
    "the second chain for another file",
    "the second chain on other chains",
    "the digest of another file as leaf",
)


def mutated(name: str) -> bytes:
    """A record whose bytes are well-formed and wrong in one way."""
    made = way(7, 4)
    (first, second), (third,) = made.hashed_again.chains
    lists = [list(nodes) for nodes in first.lists]
    chains = {
        "a hash in the tree flipped": [
            [archive([lists[0], [flip(lists[1][0])], *lists[2:]], first.token.der), second.der]
        ],
        "a list dropped": [[archive(lists[:-1], first.token.der), second.der]],
        "a list added": [[archive([*lists, [bytes(32)]], first.token.der), second.der]],
        "the token of another root": [[archive(lists, make_token(bytes(32)))]],
        "the second timestamp on another token": [
            [first.der, archive([], tokens_of(3)(bytes(32), "sha256").token)]
        ],
        "the second chain for another file": [
            [first.der, second.der],
            [elsewhere(made.stamped_again, b"another file")],
        ],
        "the second chain on other chains": [[first.der], [third.der]],
        "the digest of another file as leaf": [
            [archive([[bytes(32)], *lists[1:]], first.token.der)]
        ],
    }
    return compose(*chains[name], algorithms=("sha256", "sha512"))


def elsewhere(record: EvidenceRecord, content: bytes) -> bytes:
    return (
        renew_hash_tree(record, [new("sha512", content).digest()], "sha512", tokens_of(6))
        .chains[1][0]
        .der
    )


def flip(node: bytes) -> bytes:
    return bytes([node[0] ^ 1]) + node[1:]


@pytest.mark.parametrize("name", MUTATIONS)
def test_they_refuse_mutated_records(judge: Judge, name: str) -> None:
    record, content = mutated(name), document(4)
    assert verdict(record, content) is Verdict.FAILED
    assert judge(record, content).startswith("refused")


def test_they_refuse_what_is_no_record(judge: Judge) -> None:
    for record in (b"", b"0", make_token(bytes(32)), way(7, 4).initial.der[:-1]):
        with pytest.raises(InvalidInput):
            parse_record(record)
        assert judge(record, document(4)).startswith("refused")

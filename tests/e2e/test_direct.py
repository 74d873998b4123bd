"""`seal --direct`: each file's own token, by a real authority, and what other programs and other
commands make of it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran, Sealed, call, start
from make_token import Forge
from real import require_real
from servers.postgresql import PostgreSQL
from servers.tsa import OpenSslAuthority, openssl_authority, pem

from witnesstree.anchor.settings import write_setting
from witnesstree.anchor.wiring import open_ledger
from witnesstree.cli import outputs
from witnesstree.cli.outputs import direct_token_at
from witnesstree.ledger.proof.proof import Proof, parse_proof
from witnesstree.ledger.tokens.token import parse_token

PROOF = ".proof.json"


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WITNESSTREE_TRUST", str(tmp_path / "trust"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "evidence").mkdir()
    file = tmp_path / "evidence" / "合同.pdf"
    file.write_bytes(b"the contract")
    return file


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpenSslAuthority]:
    """A real authority, which says by CRL and OCSP that its certificates are good, and is
    trusted."""
    (tmp_path / "tsa").mkdir()
    with openssl_authority(tmp_path / "tsa", revocation=frozenset({"crl", "ocsp"})) as server:
        (tmp_path / "root.pem").write_bytes(pem(server.root.certificate))
        yield server


def added(home: Path, server: OpenSslAuthority, root: Path) -> None:
    assert call("trust", "add", root).code == 0
    configure(home, f'[authorities.court]\nurl = "{server.url}"\nprivate_addresses = true\n')


def configure(home: Path, toml: str) -> None:
    with (home / "settings.toml").open("a") as settings:
        settings.write(toml)


def direct(file: Path) -> Path:
    return Path(f"{file}.tsa")


def proof_of(file: Path) -> Proof:
    return parse_proof(Path(f"{file}{PROOF}").read_bytes())


def seal(home: Path, *arguments: object) -> Ran:
    return call("seal", *arguments, "--direct", "--home", home)


def openssl_verifies(file: Path, root: Path, token: Path | None = None) -> bool:
    command = [require_real("openssl"), "ts", "-verify", "-data", str(file)]
    command += ["-in", str(token or direct(file)), "-CAfile", str(root)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return done.returncode == 0 and b"Verification: OK" in done.stdout + done.stderr


# A real authority


@pytest.mark.enable_socket
@pytest.mark.real("openssl")
def test_openssl_accepts_the_token_of_a_real_authority(
    home: Path, file: Path, server: OpenSslAuthority, tmp_path: Path
) -> None:
    root = tmp_path / "root.pem"
    added(home, server, root)
    sealed = seal(home, file)
    assert sealed.code == 0, sealed.talk
    assert sealed.text.endswith(f" → {file}{PROOF}, {direct(file)}\n")
    assert openssl_verifies(file, root)
    changed = tmp_path / "changed"
    changed.write_bytes(b"the contract.")
    assert not openssl_verifies(changed, root, direct(file))

    proof = proof_of(file)
    (stamp,) = proof.file_tokens
    assert (parse_token(stamp.token).imprint, bool(stamp.ocsps)) == (proof.digest, True)
    assert stamp.token != proof.tokens[0].token
    verified = call("verify", file, "--home", home, "--json").json
    assert verified["verdict"] == "verified"
    assert verified["file_not_after"] is not None
    outcomes = {check["name"]: check["outcome"] for check in verified["checks"]}
    of_token = {name: outcomes[name] for name in outcomes if name.startswith("file_tokens[0].")}
    assert len(of_token) == 6
    assert set(of_token.values()) == {"passed"}
    alone = call("verify", file, "--proof", direct(file), "--require", "token", "--json").json
    assert alone["verdict"] == "verified"

    # One for the root, one for the file; asked again, none.
    assert server.asked.count("/") == 2
    again = seal(home, file)
    assert (again.code, server.asked.count("/")) == (0, 2)
    # Whoever lost it gets it back without asking.
    direct(file).unlink()
    Path(f"{file}{PROOF}").unlink()
    assert seal(home, file).code == 0
    assert (openssl_verifies(file, root), proof_of(file).file_tokens) == (True, (stamp,))
    assert server.asked.count("/") == 2
    assert call("fsck", "--home", home).text.startswith("Checked 1 batch with 1 entry: no problems")


@pytest.mark.enable_socket
@pytest.mark.real("openssl")
def test_one_that_is_down_is_named_and_asked_by_the_same_command_again(
    home: Path, file: Path, server: OpenSslAuthority, tmp_path: Path
) -> None:
    root = tmp_path / "root.pem"
    added(home, server, root)
    server.broken.add("/")
    down = seal(home, file)
    assert down.code == 8
    assert "1 stamp or anchor job could not be done" in down.error()
    assert "Also left over: 1 file has no direct token (" in down.talk
    assert not direct(file).exists()
    assert call("show", f"{file}{PROOF}").code == 0, "it is sealed"
    # The batch's token is no reason to think that the file has one.
    server.broken.clear()
    assert call("seal", file, "--home", home).code == 0
    server.broken.add("/")
    still = seal(home, file, "--json")
    assert (still.code, still.json["files"][0]["direct"]) == (8, None)
    assert "1 file has no direct token (" in still.error()
    assert "run the same command again" in still.error()
    server.broken.clear()
    up = seal(home, file)
    assert up.code == 0, up.talk
    assert openssl_verifies(file, root)
    assert len(proof_of(file).file_tokens) == 1
    assert sorted(each.name for each in file.parent.iterdir()) == sorted(
        [file.name, direct(file).name, f"{file.name}{PROOF}"]
    ), "the proof grew, and none was kept aside"


@pytest.mark.enable_socket
@pytest.mark.real("openssl")
def test_of_several_authorities_as_many_are_needed_as_for_a_batch(
    home: Path, file: Path, server: OpenSslAuthority, tmp_path: Path
) -> None:
    added(home, server, tmp_path / "root.pem")
    configure(home, '[authorities.away]\nurl = "http://127.0.0.1:9/tsr"\n')
    sealed = seal(home, file)
    assert sealed.code == 0, sealed.talk
    assert sealed.talk.count("Done without away: ") == 2
    assert openssl_verifies(file, tmp_path / "root.pem")
    write_setting(home, "required_tokens", 2)
    lacking = seal(home, file)
    assert lacking.code == 8
    assert "1 file has no direct token (" in lacking.talk


# The embedded authority


def test_a_file_that_was_sealed_before_gets_its_token_and_keeps_its_proof(
    sealed: Sealed,
) -> None:
    before = parse_proof(sealed.proof.read_bytes())
    ran = seal(sealed.home, sealed.file)
    assert ran.code == 0
    assert "prove nothing to a third party" in ran.talk
    assert ran.text.startswith("Already sealed ")
    proof = parse_proof(sealed.proof.read_bytes())
    assert (proof.tokens, proof.hints, len(proof.file_tokens)) == (before.tokens, before.hints, 1)
    assert len(list(sealed.file.parent.glob(f"*{PROOF}"))) == 1
    root = sealed.home / "authority" / "root.pem"
    assert openssl_verifies(sealed.file, root)
    serial = (sealed.home / "authority" / "serial").read_bytes()
    assert seal(sealed.home, sealed.file).code == 0
    assert (sealed.home / "authority" / "serial").read_bytes() == serial
    assert list(sealed.file.parent.glob("*.tsa")) == [direct(sealed.file)]
    fetched = parse_proof(call("proof", sealed.file, "--home", sealed.home).answer)
    assert fetched.file_tokens == proof.file_tokens


def test_a_proof_from_elsewhere_keeps_what_it_has(sealed: Sealed, tmp_path: Path) -> None:
    """Another ledger's proof of the same file, at whose place ours would stand."""
    assert seal(sealed.home, sealed.file).code == 0
    first = parse_proof(sealed.proof.read_bytes())
    assert call("init", "--home", tmp_path / "other").code == 0
    assert seal(tmp_path / "other", sealed.file, "--again").code == 0
    older = parse_proof(sealed.file.with_name("contract.txt.1.proof.json").read_bytes())
    assert older == first
    second = parse_proof(sealed.proof.read_bytes())
    assert len(second.file_tokens) == 1
    assert second.file_tokens != first.file_tokens
    kept, new = (sealed.file.with_name(f"contract.txt{each}.tsa") for each in (".1", ""))
    assert call("verify", sealed.file, "--proof", kept, "--home", sealed.home).code == 0
    assert call("verify", sealed.file, "--proof", new, "--home", tmp_path / "other").code == 0
    # Neither is taken for a file without a proof.
    ran = call("verify", sealed.file.parent, "--home", tmp_path / "other", "--json")
    assert [each["path"] for each in ran.json["files"] if each["path"].endswith(".tsa")] == []
    # The ledger's own is passed over, the other's is evidence.
    again = call("seal", kept, new, "--home", tmp_path / "other", "--json")
    assert [each["path"] for each in again.json["files"]] == [str(kept)]
    assert "Passed over 1 direct token of this ledger" in again.talk


def test_a_folder_with_direct_tokens_is_sealed_and_verified_without_them(
    sealed: Sealed, tmp_path: Path
) -> None:
    folder = tmp_path / "case"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_text(name)
    (folder / "no-token.tsa").write_text("anything")
    assert seal(sealed.home, "-r", folder, "--name", "case").code == 0
    names = {"a", "b", "no-token.tsa", "case.manifest.json"}
    assert {each.name for each in folder.iterdir()} == {
        f"{name}{ending}" for name in names for ending in ("", PROOF, ".tsa")
    }
    verified = call("verify", folder, "--home", sealed.home, "--json")
    assert verified.code == 0, verified.text
    assert {Path(each["path"]).name for each in verified.json["files"]} == names
    again = seal(sealed.home, "-r", folder, "--name", "case")
    assert again.code == 0
    assert "Passed over 4 direct tokens of this ledger." in again.talk
    assert again.text.endswith("Sealed no new file; 4 were sealed before.\n")
    ours = call("seal", folder / "a.tsa", "--home", sealed.home)
    assert (ours.code, "no file to seal" in ours.error()) == (5, True)


def test_proofs_elsewhere_and_receipts_alone(sealed: Sealed, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"evidence")
    taken = seal(sealed.home, file, "--proofs", tmp_path / "proofs", "--no-wait", "--json")
    assert taken.code == 0, taken.talk
    assert taken.json["files"][0]["direct"] == str(tmp_path / "proofs" / "file.tsa")
    assert [each.name for each in (tmp_path / "proofs").iterdir()] == ["file.tsa"]
    assert call("seal", file, "--proofs", tmp_path / "proofs", "--home", sealed.home).code == 0
    # Without being asked for.
    assert len(parse_proof((tmp_path / "proofs" / f"file{PROOF}").read_bytes()).file_tokens) == 1


def test_a_changed_file_gets_a_token_of_its_own(sealed: Sealed) -> None:
    assert seal(sealed.home, sealed.file).code == 0
    older = direct(sealed.file).read_bytes()
    sealed.file.write_bytes(b"new")
    refused = seal(sealed.home, sealed.file)
    assert (refused.code, direct(sealed.file).read_bytes()) == (13, older)
    assert seal(sealed.home, sealed.file, "--again").code == 0
    aside = sealed.file.with_name("contract.txt.1.tsa")
    assert aside.read_bytes() == older
    assert openssl_verifies(sealed.file, sealed.home / "authority" / "root.pem")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--digests", "list"), "leave out paths, --name, --meta, --direct and --ipfs"),
        ((), "--name, --direct and --ipfs need files: name them"),
    ],
)
def test_wishes_that_nothing_would_come_of(
    home: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = seal(home, *arguments)
    assert ran.code == 5
    assert words in ran.error()


def test_two_at_once_leave_one_token(sealed: Sealed) -> None:
    arguments = ("seal", sealed.file, "--direct", "--home", sealed.home)
    pair = [start(*arguments) for _ in range(2)]
    talks = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], talks
    assert list(sealed.file.parent.glob("*.tsa")) == [direct(sealed.file)]
    (stamp,) = parse_proof(sealed.proof.read_bytes()).file_tokens
    assert direct_token_at(direct(sealed.file)) == stamp.token
    assert len(list(sealed.file.parent.glob(f"*{PROOF}"))) == 1


def test_the_same_token_written_meanwhile_is_not_kept_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, place = Forge().make(), tmp_path / "file.tsa"
    placed = outputs.put

    def late(path: Path, content: bytes, *others: Any) -> list[Path]:
        path.write_bytes(token)
        return placed(path, content, *others)

    monkeypatch.setattr(outputs, "put", late)
    outputs.write_direct_token(place, [token])
    assert list(tmp_path.iterdir()) == [place]
    assert direct_token_at(place) == token


# What the other commands make of it


def test_it_is_shown_and_exported(sealed: Sealed, tmp_path: Path) -> None:
    bare = call("export", sealed.proof, "--format", "tsa")
    assert bare.code == 5
    assert "no direct token" in bare.error()
    assert seal(sealed.home, sealed.file).code == 0
    assert call("show", sealed.proof).text.count("Direct token, over the file itself: ") == 1
    chinese = call("show", sealed.proof, "--json", env={"LC_ALL": "zh_CN.UTF-8"})
    assert len(chinese.json["file_tokens"]) == 1
    assert chinese.json["file_tokens"][0]["imprint"] == chinese.json["digest"]
    ran = call("show", sealed.proof, env={"LC_ALL": "zh_CN.UTF-8"})
    assert "文件时间戳，针对文件本身：" in ran.text
    assert call("export", sealed.proof, "--format", "tsa").answer == (
        direct(sealed.file).read_bytes()
    )
    root = tmp_path / "contract.txt.root.tst"
    assert call("export", sealed.proof, "--format", "tst", "-o", root).code == 0
    over_root = call("verify", sealed.file, "--proof", root, "--home", sealed.home)
    assert over_root.text.startswith("FAILED: ")
    assert "over the root of the batch, and not over the file itself" in over_root.talk


def test_bulk_proofs_leave_it_out_and_single_ones_have_it(sealed: Sealed, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one", "two", "same")]
    for file in files:
        file.write_text("one" if file.name == "same" else file.name)
    # Whoever seals the opening record of a batch has its leaf 0 stamped.
    (tmp_path / "opening").write_text(parse_proof(sealed.proof.read_bytes()).opening.record)  # type: ignore[union-attr]
    assert seal(sealed.home, files[0], tmp_path / "opening", sealed.file).code == 0
    assert call("seal", *files[1:], "--again", "--home", sealed.home).code == 0
    for batch, count in ((0, 1), (1, 1), (2, 2)):
        bulk = tmp_path / f"{batch}.proofs"
        home = ("--batch", batch, "--home", sealed.home)
        assert call("proof", "--all", *home, "-o", bulk).code == 0
        folder = tmp_path / f"split-{batch}"
        assert call("proof", "--all", *home, "--split", folder).code == 0
        names = [
            sha256(each.read_bytes()).hexdigest()
            for each in (*files, sealed.file, tmp_path / "opening")
        ]
        found = {each.name: parse_proof(each.read_bytes()) for each in folder.iterdir()}
        assert len(found) == count
        for name in names:
            if proof := found.get(f"{name}{PROOF}"):
                has_one = name != sha256(b"two").hexdigest()
                assert bool(proof.file_tokens) is has_one
                fetched = call("proof", name, "--batch", batch, "--home", sealed.home).answer
                assert parse_proof(fetched) == proof
    one = call("proof", "--from", tmp_path / "1.proofs", files[0])
    assert parse_proof(one.answer).file_tokens == ()
    bulk = tmp_path / "0.proofs"
    assert call("verify", sealed.file, "--proof", bulk, "--home", sealed.home).code == 0


def test_a_backup_carries_it(sealed: Sealed, tmp_path: Path) -> None:
    assert seal(sealed.home, sealed.file).code == 0
    assert call("backup", tmp_path / "backup", "--plain-keys", "--home", sealed.home).code == 0
    home = tmp_path / "restored"
    assert call("restore", tmp_path / "backup", "--home", home).code == 0
    with open_ledger(home) as ledger:
        digest = sha256(sealed.file.read_bytes()).digest()
        kept = tuple(stamp for _, stamp in ledger.direct_tokens(digest))
    assert kept == parse_proof(sealed.proof.read_bytes()).file_tokens != ()
    assert call("fsck", "--home", home).code == 0
    # It must not go on yet, and asks nobody.
    serial = (home / "authority" / "serial").read_bytes()
    new = tmp_path / "new"
    new.write_bytes(b"new")
    assert seal(home, new).code == 7
    assert (home / "authority" / "serial").read_bytes() == serial


@pytest.mark.enable_socket
@pytest.mark.real("postgres")
def test_with_the_metadata_in_postgresql(postgres: PostgreSQL, file: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    url = postgres.url(postgres.new_schema())
    assert call("init", "--home", home, "--database", url).code == 0
    assert seal(home, file).code == 0
    first = proof_of(file).file_tokens
    assert seal(home, file).code == 0
    assert (len(first), proof_of(file).file_tokens) == (1, first)
    assert openssl_verifies(file, home / "authority" / "root.pem")
    assert call("fsck", "--home", home).text.startswith("Checked 1 batch with 1 entry: no problems")


def test_json_says_where_it_is(sealed: Sealed) -> None:
    shown = json.loads(seal(sealed.home, sealed.file, "--json").answer)
    assert shown["files"][0]["direct"] == str(direct(sealed.file))
    without = call("seal", sealed.file, "--home", sealed.home, "--json").json["files"][0]
    assert "direct" not in without
    shutil.rmtree(sealed.home)

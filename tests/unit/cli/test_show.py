"""`witnesstree show`: who gave a token, and where an anchor stands."""

from dataclasses import replace
from pathlib import Path

import pytest
from asn1crypto import tsp, x509
from commandline import Ran, call
from make_proof import honest
from make_record import START, YEAR, authority, make_proof, tokens_of
from make_token import Forge, named_v2, stamped, stamper

from witnesstree.ledger.base.witness import Stamp
from witnesstree.ledger.chain.known import LOCAL_CHAIN_ID
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.proof.record import parse_record
from witnesstree.ledger.proof.record_make import make_record, renew_timestamp


def show(
    tmp_path: Path, *options: str, tokens: tuple[Stamp, ...] = (), chain_id: int = LOCAL_CHAIN_ID
) -> Ran:
    proof = honest().proof()
    path = tmp_path / "f.proof.json"
    path.write_bytes(
        format_proof(
            replace(
                proof,
                tokens=tokens,
                anchors=tuple(replace(each, chain_id=chain_id) for each in proof.anchors),
            )
        )
    )
    ran = call("show", path, *options)
    assert ran.code == 0, ran.talk
    return ran


def named(name: str) -> bytes:
    tsa = x509.GeneralName(name="directory_name", value=x509.Name.build({"common_name": name}))
    return bytes(tsp.TSTInfo(stamped(tsa=tsa)).dump())


def test_tokens_of_several_authorities_are_told_apart(tmp_path: Path) -> None:
    rsa, p256 = stamper("rsa"), stamper("p256")
    inside = Stamp(Forge(signer=rsa).make())
    beside = Stamp(
        Forge(signer=rsa, certificates=[], names=[named_v2(p256)]).make(), certificates=(p256.der,)
    )
    nowhere = Stamp(Forge(signer=rsa, certificates=[]).make())
    itself = Stamp(Forge(signer=rsa, content=named("The authority's own name")).make())
    tokens = (inside, beside, nowhere, itself)
    lines = [
        line
        for line in show(tmp_path, tokens=tokens).text.splitlines()
        if line.startswith("Timestamp: ")
    ]
    assert [line.partition(" says")[0] for line in lines] == [
        "Timestamp: “An authority (rsa)”",
        "Timestamp: “An authority (p256)”",
        "Timestamp: an authority",
        "Timestamp: “The authority's own name”",
    ]
    shown = show(tmp_path, "--json", tokens=tokens).json["tokens"]
    assert [(each["authority"], each["signer"]) for each in shown] == [
        (None, "An authority (rsa)"),
        (None, "An authority (p256)"),
        (None, None),
        ("The authority's own name", "An authority (rsa)"),
    ]


def test_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    assert (
        "A timestamp token that cannot be read: "
        in show(tmp_path, tokens=(Stamp(b"rubbish"),)).text
    )


def without_certificates(imprint: bytes, algorithm: str) -> Stamp:
    message = {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": imprint}
    content = tsp.TSTInfo(stamped(message_imprint=message, gen_time=START + 3 * YEAR)).dump()
    return Stamp(Forge(signer=authority(3), content=content, certificates=[]).make())


def test_renewed_records_are_named(tmp_path: Path) -> None:
    once = parse_record(make_record(make_proof(3, 1)))
    renewed = renew_timestamp(once, tokens_of(3))
    unknown = renew_timestamp(once, without_certificates)
    path = tmp_path / "f.proof.json"
    path.write_bytes(
        format_proof(
            replace(honest().proof(), records=(renewed.der, once.der, unknown.der, b"rubbish"))
        )
    )
    lines = [
        line
        for line in call("show", path).text.splitlines()
        if line.startswith("An evidence record")
    ]
    begin = "An evidence record (RFC 4998) with"
    ends = [(START + (number + 5) * YEAR).strftime("%Y-%m-%dT%H:%M:%SZ") for number in (3, 0)]
    assert lines[:3] == [
        (
            f"{begin} 2 timestamps, the newest of Authority 3, made at 2022-12-31T00:00:00Z: it can"
            f" be verified until {ends[0]}."
        ),
        (
            f"{begin} 1 timestamp, the newest of Authority 0, made at 2020-01-01T00:00:00Z: it can"
            f" be verified until {ends[1]}."
        ),
        (
            f"{begin} 2 timestamps, the newest, made at 2022-12-31T00:00:00Z: it holds no"
            " certificate that says until when it can be verified."
        ),
    ]
    assert lines[3].startswith("An evidence record that cannot be read: ")
    shown = call("show", path, "--json").json["records"]
    assert shown[0] == {
        "timestamps": 2,
        "algorithm": "sha256",
        "newest": "2022-12-31T00:00:00Z",
        "authority": None,
        "signer": "Authority 3",
        "expires": ends[0],
    }
    assert (shown[2]["signer"], shown[2]["expires"], list(shown[3])) == (None, None, ["error"])


@pytest.mark.parametrize(
    ("chain_id", "words"),
    [
        (31337, "on chain 31337 holds"),
        (1, "on Ethereum (chain id 1) holds"),
        (11155111, "on Sepolia (a test network) (chain id 11155111) holds"),
    ],
)
def test_a_chain_is_named_once(tmp_path: Path, chain_id: int, words: str) -> None:
    assert words in show(tmp_path, chain_id=chain_id).text

"""What a file is that somebody brings, by its bytes alone."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_proof import honest
from make_token import Forge

from witnesstree.ledger.base.errors import InvalidInput
from witnesstree.ledger.proof.bundle import MAGIC
from witnesstree.ledger.proof.kinds import Kind, recognise
from witnesstree.ledger.proof.proof import format_proof
from witnesstree.ledger.proof.record_make import make_record

TOKEN = Forge().make()
RESPONSE = b"\x30\x82" + (len(TOKEN) + 5).to_bytes(2) + b"\x30\x03\x02\x01\x00" + TOKEN
RECORD = make_record(honest().proof())
PROOF = format_proof(honest().proof())


def pem(label: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


CERTIFICATE = pem("CERTIFICATE", b"\x30\x03\x02\x01\x05")


@pytest.mark.parametrize(
    ("content", "kind", "inside"),
    [
        (PROOF, Kind.PROOF, PROOF),
        (b"\n " + PROOF, Kind.PROOF, b"\n " + PROOF),
        (PROOF[:200], Kind.PROOF, PROOF[:200]),
        (MAGIC + b"whatever", Kind.BULK, MAGIC + b"whatever"),
        (b"PK\x03\x04rest", Kind.CONTAINER, b"PK\x03\x04rest"),
        (b"c2sp.org/tlog-proof@v1\n", Kind.TLOG_PROOF, b"c2sp.org/tlog-proof@v1\n"),
        (RECORD, Kind.RECORD, RECORD),
        (base64.b64encode(RECORD), Kind.RECORD, RECORD),
        (pem("EVIDENCE RECORD", RECORD), Kind.RECORD, RECORD),
        (TOKEN, Kind.TOKEN, TOKEN),
        (base64.encodebytes(TOKEN), Kind.TOKEN, TOKEN),
        (pem("PKCS7", TOKEN), Kind.TOKEN, TOKEN),
        (CERTIFICATE + pem("CMS", TOKEN), Kind.TOKEN, TOKEN),
        (RESPONSE, Kind.TOKEN, TOKEN),
        (b"\x30\x80" + RESPONSE[4:] + b"\0\0", Kind.TOKEN, TOKEN),
    ],
)
def test_what_is_read_is_taken_out_of_its_armour(content: bytes, kind: Kind, inside: bytes) -> None:
    found = recognise(content)
    assert (found.kind, found.content) == (kind, inside)


SIGSTORE = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "content": {}}
FOREIGN = {
    "proof-of-opentimestamps": b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x01",
    "proof-of-c2pa": b"\x00\x00\x10\x00jumb\x00\x00\x00",
    "proof-is-pdf": b"%PDF-1.7\n",
    "proof-of-sigstore": json.dumps(SIGSTORE).encode(),
    "proof-of-eas": b'{"sig":{"domain":{"name":"EAS Attestation","version":"0.26"}}}',
    "proof-of-chainpoint": b'{"@context":"https://w3id.org/chainpoint/v2","type":"ChainpointSHA256v2"}',
    "proof-is-xml-record": b'<EvidenceRecord Version="1.0" xmlns="urn:ietf:params:xml:ns:ers"/>',
    "proof-is-xades": b'\xef\xbb\xbf<x xmlns:xades="http://uri.etsi.org/01903/v1.3.2#"/>',
    "proof-is-manifest": b'{"created":"","format":"witnesstree-manifest/2"}',
    "proof-is-refusal": bytes.fromhex("3005 3003 020102"),
    "proof-der-unreadable": TOKEN[:-1],
}


@pytest.mark.parametrize("code", FOREIGN)
def test_what_others_read_is_named(code: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        recognise(FOREIGN[code])
    assert raised.value.message.code == code


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"text",
        b"<html>",
        b"M",
        b"MIIx",
        b"Mary had a little lamb",
        b"-----BEGIN CMS-----\nMMMMM\n-----END CMS-----\n",
        b"\x30\x00",
        CERTIFICATE,
        b"\x30\x03\x02\x01\x05",
        b"\x30\x05\x30\x03\x02\x02\x00",
        b"\x30\x06\x30\x04\x02\x02\x00\x01",
        bytes.fromhex("300a 3003 020100 3003 020100"),
        bytes.fromhex("3007 3003 020100 0500"),
        # A list of certificates (a CRL) begins like an answer.
        bytes.fromhex("300c 3003 020101 3005 020100 0500"),
    ],
)
def test_all_else_is_none(content: bytes) -> None:
    with pytest.raises(InvalidInput) as raised:
        recognise(content)
    assert raised.value.message.code in {"proof-of-no-known-kind", "proof-der-unreadable"}


def test_an_answer_that_refuses_is_none_whatever_comes_with_it() -> None:
    with pytest.raises(InvalidInput) as raised:
        recognise(RESPONSE[:8] + b"\x02" + RESPONSE[9:])
    assert raised.value.message.code == "proof-is-refusal"


@pytest.mark.parametrize("text", [b" " * 10**6 + b"!", b"A" * 10**6 + b"!", b" \n" * 10**6])
def test_long_text_is_told_at_once(text: bytes) -> None:
    with pytest.raises(InvalidInput):
        recognise(b"M" + text)


@given(st.binary(max_size=400) | st.builds(lambda text: b"\x30" + text, st.binary(max_size=40)))
def test_no_bytes_do_harm(content: bytes) -> None:
    with suppress(InvalidInput):
        recognise(content)


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 255))
def test_a_changed_token_is_another_token_or_none(at: int, change: int) -> None:
    content = bytearray(TOKEN)
    content[at] ^= change
    with suppress(InvalidInput):
        assert recognise(bytes(content)).kind in {Kind.TOKEN, Kind.RECORD}

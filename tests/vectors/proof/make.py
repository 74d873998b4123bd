"""Makes the cases of proof.json from the two honest proofs that stand in it: `python
tests/vectors/proof/make.py`.

A test compares what this makes with what is stored. With `--anew` new honest proofs are made first,
by an embedded authority and chain that are then gone; their keys are random, so this is the one
part that does not come out the same twice.
"""

import base64
import hashlib
import json
import sys
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785

FILE = Path(__file__).parent / "proof.json"
TOKENS = FILE.parents[1] / "token" / "tokens.json"

REASONS = {
    "empty": "form",
    "white space only": "form",
    "truncated": "form",
    "its last brace missing": "form",
    "not JSON": "form",
    "a list": "form",
    "a byte order mark": "form",
    "not UTF-8": "encoding",
    "a lone surrogate": "encoding",
    "one hex digit of the digest, checksum not renewed": "checksum",
    "a hint added, checksum not renewed": "checksum",
    "a member twice": "form",
    "nested 5,000 deep": "limit",
    "a newer format": "version",
    "an unknown member": "form",
    "no hints": "form",
    "null where a member could be absent": "form",
    "upper-case hex": "encoding",
    "a digest of 31 bytes": "length",
    "base64 with a line end": "encoding",
    "position as a float": "encoding",
    "position as a text": "form",
    "position beyond the batch": "position",
    "number beyond 2^53 - 1": "limit",
    "65 hashes in a path": "limit",
    "17 tokens": "limit",
    "witnesses without inclusion": "form",
    "one bit of the path": "path",
    "path without its last hash": "path-length",
    "path with a hash too many": "path-length",
    "position with another path length": "path-length",
    "fetched before the batch was sealed": "missing",
    "no token": "missing",
    "no anchor": "missing",
    "no opening record": "missing",
    "nothing of the log": "missing",
    "anchor without a state proof": "missing",
    "opening record without its block's header": "missing",
    "another size with paths as long": "statement",
    "another contract": "trie",
    "anchor of another batch": "trie",
    "storage proof of another root": "trie",
    "account proof without its last node": "trie",
    "storage proof without its last node": "trie",
    "checkpoint that only a witness signed": "unsigned",
    "token that is not DER": "form",
    "another index": "path",
    "an older checkpoint of the same log": "position",
    "one bit of the log's path": "path",
    "statement of another batch": "statement",
    "header of another block for the opening record": "block",
    "key notes that do not hold, and no checkpoint key": "form",
}
"""Which rule a case breaks, where the name of its first check does not say it: the codes of
../REASONS.md."""


def make(stored: dict[str, Any]) -> dict[str, Any]:
    """The file's content, from what is honest in it."""
    kept = (
        *("about", "digest", "now", "require", "trust"),
        *("happy", "other", "dated", "answered", "varied", "edges"),
    )
    content = {name: stored[name] for name in kept}
    return {
        **content,
        "cases": [
            *_forms(content["happy"]),
            *_changes(content),
            *_questions(content),
            *_dates(content),
            *_records(content),
            *_answers(content),
            *_chains(content),
            *_numbers(content),
            *_built(content),
            *_keys(content),
            *_assurances(content),
            *_file_parts(content),
            *_direct_tokens(content),
            *_evidence_records(content),
            *_varieties(content),
            *_edges(content),
        ],
    }


def _case(
    name: str,
    expect: str,
    checks: str,
    proof: str | bytes,
    *,
    reason: str | None = None,
    **question: Any,
) -> dict[str, Any]:
    there = (
        {"proof": proof} if isinstance(proof, str) else {"bytes": base64.b64encode(proof).decode()}
    )
    return {
        "name": name,
        "expect": expect,
        "reason": reason or _reason(name, checks),
        "checks": checks.split(),
        **question,
        **there,
    }


def _reason(name: str, checks: str) -> str:
    """The code of the rule that is broken, or of what is missing: by the check that finds it, where
    REASONS does not say it more exactly."""
    if not checks:
        return "ok"
    first = checks.split(maxsplit=1)[0]
    return REASONS.get(name) or first.partition(".")[2] or first


def sealed_again(document: dict[str, Any]) -> str:
    """The document with a checksum that fits, as a forger would write it."""
    members = {name: value for name, value in document.items() if name != "checksum"}
    checksum = sha256(rfc8785.dumps(members)).hexdigest()
    return json.dumps({**members, "checksum": checksum}, ensure_ascii=False, separators=(",", ":"))


def _forms(happy: str) -> list[dict[str, Any]]:
    """What is no proof, and other spellings of the same one."""
    document = json.loads(happy)
    backwards = dict(reversed(document.items()))
    digest = document["digest"]
    refused: dict[str, str | bytes] = {
        "empty": "",
        "white space only": " \n",
        "truncated": happy[: len(happy) // 2],
        "its last brace missing": happy.rstrip()[:-1],
        "not JSON": "witnesstree",
        "a list": "[]",
        "a byte order mark": "\ufeff" + happy,
        "not UTF-8": happy.encode().replace(b"court", b"co\xffrt", 1),
        "a lone surrogate": happy.replace('"hints": {}', '"hints": {"name": "\\ud800"}'),
        "one hex digit of the digest, checksum not renewed": happy.replace(
            digest, ("0" if digest[0] != "0" else "1") + digest[1:], 1
        ),
        "a hint added, checksum not renewed": happy.replace(
            '"hints": {}', '"hints": {"name": "photo.jpg"}'
        ),
        "a member twice": happy.replace('"hints": {}', '"hints": {},\n "hints": {}'),
        "nested 5,000 deep": happy.replace('"hints": {}', '"hints": ' + "[" * 5_000 + "]" * 5_000),
        "a newer format": sealed_again({**document, "format": "witnesstree-proof/2"}),
        "an unknown member": sealed_again({**document, "comment": ""}),
        "no hints": sealed_again(
            {name: value for name, value in document.items() if name != "hints"}
        ),
        "null where a member could be absent": sealed_again({**document, "log": None}),
        "upper-case hex": sealed_again({**document, "digest": digest.upper()}),
        "a digest of 31 bytes": sealed_again({**document, "digest": digest[2:]}),
        "base64 with a line end": sealed_again(
            _put(document, ("tokens", 0, "token"), document["tokens"][0]["token"] + "\n")
        ),
        "position as a float": happy.replace('"position": 4', '"position": 4.0'),
        "position as a text": sealed_again(_put(document, ("inclusion", "position"), "4")),
        "position beyond the batch": sealed_again(_put(document, ("inclusion", "position"), 7)),
        "number beyond 2^53 - 1": happy.replace('"index": 3', f'"index": {2**53}'),
        "65 hashes in a path": sealed_again(_put(document, ("inclusion", "path"), [digest] * 65)),
        "17 tokens": sealed_again({**document, "tokens": document["tokens"] * 17}),
        "witnesses without inclusion": sealed_again(
            {name: value for name, value in document.items() if name != "inclusion"}
        ),
    }
    return [
        _case("happy path", "verified", "", happy),
        _case("no white space", "verified", "", json.dumps(document, separators=(",", ":"))),
        _case("members in another order", "verified", "", json.dumps(backwards)),
        _case("escaped characters", "verified", "", happy.replace("hints", "\\u0068ints")),
        *(_case(name, "failed", "proof", proof) for name, proof in refused.items()),
    ]


def _changes(content: dict[str, Any]) -> list[dict[str, Any]]:
    """One change each, with a checksum that fits."""
    document, other = json.loads(content["happy"]), json.loads(content["other"])
    anchor, log, path = ("anchors", 0), ("log",), document["inclusion"]["path"]
    token = base64.b64decode(document["tokens"][0]["token"])
    broken_token = base64.b64encode(token[:-1] + bytes([token[-1] ^ 1])).decode()
    record = document["opening"]["record"]
    cosigned = (
        document["log"]["checkpoint"]
        + "\N{EM DASH} witness.example "
        + base64.b64encode(bytes(68)).decode()
        + "\n"
    )
    unsigned = (
        document["log"]["checkpoint"].split("\n\n")[0]
        + "\n\n\N{EM DASH} witness.example "
        + base64.b64encode(bytes(68)).decode()
        + "\n"
    )

    def put(
        name: str, expect: str, checks: str, *changes: tuple[tuple[str | int, ...], Any]
    ) -> dict[str, Any]:
        changed = document
        for place, value in changes:
            changed = _put(changed, place, value)
        return _case(name, expect, checks, sealed_again(changed))

    def spliced(name: str, checks: str, *places: tuple[str | int, ...]) -> dict[str, Any]:
        return put(name, "failed", checks, *((place, _at(other, place)) for place in places))

    return [
        put(
            "other hints: not proven",
            "verified",
            "",
            (("hints",), {"name": "another.jpg", "size": 1, "cid": "", "links": [""]}),
        ),
        put(
            "another transaction: not proven",
            "verified",
            "",
            ((*anchor, "transaction"), "0x" + "00" * 32),
        ),
        put(
            "another position with a path as long: not proven",
            "verified",
            "",
            (("inclusion", "position"), 5),
        ),
        put("a cosignature added", "verified", "", ((*log, "checkpoint"), cosigned)),
        put("the same token twice", "verified", "", (("tokens",), document["tokens"] * 2)),
        put("another digest", "failed", "digest inclusion", (("digest",), other["digest"])),
        put(
            "one bit of the path", "failed", "inclusion", (("inclusion", "path", 0), _flip(path[0]))
        ),
        put(
            "path without its last hash", "failed", "inclusion", (("inclusion", "path"), path[:-1])
        ),
        put(
            "path with a hash too many",
            "failed",
            "inclusion",
            (("inclusion", "path"), [*path, path[0]]),
        ),
        put(
            "position with another path length",
            "failed",
            "inclusion",
            (("inclusion", "position"), 6),
        ),
        put(
            "another size with paths as long", "failed", "log.statement", (("inclusion", "size"), 8)
        ),
        put("token that is not DER", "failed", "tokens[0].form", (("tokens", 0, "token"), "MAA=")),
        put(
            "one bit of the token's signature",
            "failed",
            "tokens[0].signature",
            (("tokens", 0, "token"), broken_token),
        ),
        spliced("token of another batch", "tokens[0].imprint", ("tokens",)),
        spliced("anchor of another batch", "anchors[0].state", ("anchors",)),
        spliced("state proof of another batch", "anchors[0].block", (*anchor, "state")),
        spliced("block of another anchor", "anchors[0].block", (*anchor, "block")),
        spliced("storage proof of another root", "anchors[0].state", (*anchor, "state", "storage")),
        put(
            "another contract",
            "failed",
            "anchors[0].state",
            ((*anchor, "contract"), "0x" + "11" * 20),
        ),
        put(
            "account proof without its last node",
            "failed",
            "anchors[0].state",
            _less(document, (*anchor, "state", "account")),
        ),
        put(
            "storage proof without its last node",
            "failed",
            "anchors[0].state",
            _less(document, (*anchor, "state", "storage")),
        ),
        put(
            "anchor on another chain",
            "undecided",
            "anchors[0].canonical",
            ((*anchor, "chain_id"), 1),
        ),
        put(
            "anchor without a state proof",
            "undecided",
            "anchors[0].state",
            _without(document, anchor, "state"),
        ),
        spliced("opening record of another batch", "opening", ("opening",)),
        spliced(
            "header of another block for the opening record", "opening.block", ("opening", "header")
        ),
        put(
            "opening record in another spelling",
            "failed",
            "opening",
            (("opening", "record"), record.replace(",", ", ")),
        ),
        put(
            "opening record without its block's header",
            "undecided",
            "opening.block",
            _without(document, ("opening",), "header"),
        ),
        spliced("everything of the log from another batch", "log.statement", ("log",)),
        spliced("statement of another batch", "log.statement log.path", (*log, "statement")),
        spliced("an older checkpoint of the same log", "log.path", (*log, "checkpoint")),
        put("another index", "failed", "log.path", ((*log, "index"), 2)),
        put(
            "one bit of the log's path",
            "failed",
            "log.path",
            ((*log, "path", 0), _flip(document["log"]["path"][0])),
        ),
        put(
            "checkpoint that only a witness signed",
            "failed",
            "log.checkpoint",
            ((*log, "checkpoint"), unsigned),
        ),
    ]


def _questions(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The same proof, or less of it, and another question."""
    happy, trust = content["happy"], content["trust"]
    document = json.loads(happy)
    block = {"chain_id": document["anchors"][0]["chain_id"], **document["anchors"][0]["block"]}
    fetched_early = {name: document[name] for name in ("format", "digest", "hints")} | {
        "tokens": [],
        "anchors": [],
    }

    def less(name: str) -> str:
        absent: dict[str, Any] = {name: []} if isinstance(document[name], list) else {}
        return sealed_again({key: value for key, value in document.items() if key != name} | absent)

    def trusting(**changes: Any) -> dict[str, Any]:
        return {**trust, **changes}

    contradiction = {**block, "hash": "0x" + "00" * 32}
    cases: list[tuple[str, str, str, str, dict[str, Any]]] = [
        ("the digest of another file", "failed", "digest", happy, {"digest": "00" * 32}),
        (
            "fetched before the batch was sealed",
            "undecided",
            "inclusion",
            sealed_again(fetched_early),
            {},
        ),
        ("no token", "undecided", "tokens", less("tokens"), {}),
        ("no token, none required", "verified", "", less("tokens"), {"require": "anchor"}),
        ("no anchor", "undecided", "anchors", less("anchors"), {}),
        ("no anchor, none required", "verified", "", less("anchors"), {"require": "token"}),
        ("no opening record", "undecided", "opening", less("opening"), {"require": "token"}),
        ("nothing of the log", "undecided", "log", less("log"), {"require": "anchor"}),
        (
            "no trust",
            "undecided",
            "tokens[0].chain anchors[0].canonical",
            happy,
            {"trust": {"roots": [], "blocks": [], "checkpoint_keys": []}},
        ),
        ("no trusted root", "undecided", "tokens[0].chain", happy, {"trust": trusting(roots=[])}),
        (
            "no trusted root, no token required",
            "verified",
            "",
            happy,
            {"trust": trusting(roots=[]), "require": "anchor"},
        ),
        (
            "no trusted block",
            "undecided",
            "anchors[0].canonical",
            happy,
            {"trust": trusting(blocks=[])},
        ),
        (
            "a pinned block of no chain in particular",
            "verified",
            "",
            happy,
            {"trust": trusting(blocks=[{"hash": block["hash"]}])},
        ),
        (
            "another block is known there",
            "failed",
            "anchors[0].canonical",
            happy,
            {"trust": trusting(blocks=[contradiction])},
        ),
        ("no checkpoint key", "verified", "", happy, {"trust": trusting(checkpoint_keys=[])}),
        (
            "the clock is an hour slow",
            "undecided",
            "window",
            happy,
            {"now": "2026-11-23T11:04:00Z"},
        ),
    ]
    return [
        _case(name, expect, checks, proof, **question)
        for name, expect, checks, proof, question in cases
    ]


def _dates(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Which date counts: tokens of another authority, on the happy proof's root."""
    document, trust, dated = json.loads(content["happy"]), content["trust"], content["dated"]
    block = document["anchors"][0]["block"]
    trusting = {**trust, "roots": [*trust["roots"], dated["root"]]}
    strict = {**trusting, "blocks": [{"hash": block["hash"]}]}
    first, begun, own = "2026-11-23T12:04:00Z", "2026-11-23T11:03:00Z", "2026-11-23T12:04:01Z"
    early, late = "2026-11-23T11:58:00Z", "2026-11-25T12:04:00Z"

    def with_tokens(*names: str) -> str:
        tokens = [{"token": dated["tokens"][name]} for name in names]
        return sealed_again({**document, "tokens": tokens})

    def dates(token: str | None, anchor: str | None, not_after: str | None) -> dict[str, Any]:
        return {
            "dates": {
                "not_before": min(begun, not_after) if not_after else begun,
                "not_after": not_after,
                "not_after_token": token,
                "not_after_anchor": anchor,
            }
        }

    def case(name: str, expect: str, checks: str, *names: str, **question: Any) -> dict[str, Any]:
        proof = with_tokens(*names) if names else content["happy"]
        return _case(name, expect, checks, proof, **{"trust": trusting, **question})

    after = {"now": "2026-11-26T12:04:00Z"}
    return [
        case("both required: the later of the two dates", "verified", "", **dates(own, first, own)),
        case(
            "both required: an earlier token does not set the date",
            "verified",
            "",
            "early",
            **dates(early, first, first),
        ),
        case(
            "a token required: its date",
            "verified",
            "",
            "early",
            require="token",
            **dates(early, first, early),
        ),
        case(
            "an anchor required: its date",
            "verified",
            "",
            "early",
            require="anchor",
            **dates(early, first, first),
        ),
        case(
            "two days between token and anchor: named, and the later counts",
            "verified",
            "",
            "late",
            **after,
            **dates(late, first, late),
        ),
        case(
            "a token two days late where an anchor is required",
            "verified",
            "",
            "late",
            require="anchor",
            **dates(late, first, first),
        ),
        case("a token from before the batch was begun", "failed", "window", "backdated"),
        case(
            "a token from before the batch was begun, and an anchor required",
            "failed",
            "window",
            "backdated",
            require="anchor",
        ),
        case(
            "a token from before the batch was begun, whose block nobody knows",
            "failed",
            "window",
            "backdated",
            trust=strict,
        ),
        case(
            "a token eleven minutes before the ledger's own opening time",
            "failed",
            "window",
            "before opened",
        ),
    ]


def _records(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The happy proof, anchored in a block that never was: its contract holds another record."""
    document, trust = json.loads(content["happy"]), content["trust"]

    def case(name: str, expect: str, chain: int, later: int, seconds: int) -> dict[str, Any]:
        anchor, known = _anchored(document, document["inclusion"]["root"], chain, later, seconds)
        return _case(
            name,
            expect,
            "" if expect == "verified" else "anchors[0].contract",
            sealed_again({**document, "anchors": [anchor]}),
            trust={**trust, "blocks": [*trust["blocks"], known]},
        )

    return [
        case("the record of its own block", "verified", 1, 0, 0),
        case("the record of a later block", "failed", 1, 1, 0),
        case("the record of a later time", "failed", 1, 0, 1),
        case("a record with the number of the chain below", "verified", 42161, 10**6, 0),
        case("a record on a chain that is not known", "verified", 31337, 10**6, 0),
    ]


def _anchored(
    document: dict[str, Any],
    root: str,
    chain: int,
    later: int = 0,
    seconds: int = 0,
    *,
    padding: int | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """An anchor of `root` in a block that never was, with the number and time of the document's,
    and what is to be known of that block. The contract's record is `later` blocks and `seconds`
    after it. The header has a further field of `padding` bytes, if any."""
    import rlp
    from eth_hash.auto import keccak
    from trie.hexary import HexaryTrie

    anchor = document["anchors"][0]
    contract = bytes.fromhex(anchor["contract"][2:])
    slot = keccak(bytes.fromhex(root) + bytes(32))
    fields: list[Any] = rlp.decode(bytes.fromhex(anchor["state"]["header"][2:]))
    number, time = (int.from_bytes(fields[i]) for i in (8, 11))
    code = "4ed48e2d363496f17f2a2e7289bd82b442a968de2470517f240ed2270a321d28"
    word = (number + later).to_bytes(6) + (time + seconds).to_bytes(6)
    storage, accounts = HexaryTrie({}), HexaryTrie({})
    storage[keccak(slot)] = rlp.encode(word.lstrip(b"\0"))
    accounts[keccak(contract)] = rlp.encode([b"\1", b"", storage.root_hash, bytes.fromhex(code)])
    further = [] if padding is None else [bytes(padding)]
    header = rlp.encode([*fields[:3], accounts.root_hash, *fields[4:], *further])
    proofs = [
        ["0x" + rlp.encode(node).hex() for node in trie.get_proof(keccak(key))]
        for trie, key in ((accounts, contract), (storage, slot))
    ]
    block = {"number": number, "hash": "0x" + keccak(header).hex()}
    state = {"header": "0x" + header.hex(), "account": proofs[0], "storage": proofs[1]}
    changed = {**anchor, "chain_id": chain, "block": block, "state": state}
    return changed, {"chain_id": chain, **block}


def _numbers(content: dict[str, Any]) -> list[dict[str, Any]]:
    """How numbers are written (docs/proof-format.md, section 1), with checksums that fit."""
    document = json.loads(content["happy"])
    sized = sealed_again({**document, "hints": {"size": 0}})

    def number(text: str, reason: str = "encoding") -> dict[str, Any]:
        written = sized.replace('"size":0', f'"size":{text}')
        assert written != sized
        shown = text if len(text) < 30 else f"{text[0]} and {len(text) - 1} digits"
        return _case(f"a number written {shown}", "failed", "proof", written, reason=reason)

    def value(text: str, expect: str, reason: str) -> dict[str, Any]:
        extensions = [{"id": "org.example/number", "value": 0}]
        proof = sealed_again({**document, "extensions": extensions})
        if expect == "verified":
            proof = sealed_again(
                {**document, "extensions": [{**extensions[0], "value": json.loads(text)}]}
            )
        proof = proof.replace('"value":0', f'"value":{text}')
        shown = text if len(text) < 30 else f"{text[0]} and {len(text) - 1} digits"
        checks = "proof" if expect == "failed" else ""
        return _case(f"an extension with the number {shown}", expect, checks, proof, reason=reason)

    broken = ("-0", "0.0", "0e0", "0E0", "-0.0", "0e-1", ".0", "0.", "00", "+0", "0x0", "\uff10")
    return [
        *(number(text) for text in broken),
        number("NaN", "form"),
        number("-1", "limit"),
        number("1" + "0" * 400, "limit"),
        value(str(2**53 - 1), "verified", "ok"),
        value(str(1 - 2**53), "verified", "ok"),
        value(str(2**53), "failed", "limit"),
        value(str(-(2**53)), "failed", "limit"),
        value("1" + "0" * 400, "failed", "limit"),
        value("-0", "failed", "encoding"),
        value("1e2", "failed", "encoding"),
        _case(
            "a member twice, the second time escaped",
            "failed",
            "proof",
            content["happy"].replace('"hints": {}', '"hints": {},\n "\\u0068ints": {}'),
            reason="form",
        ),
        _case(
            "white space that JSON does not have",
            "failed",
            "proof",
            content["happy"].replace('"hints": {}', '"hints":\u00a0{}'),
            reason="form",
        ),
        _case(
            "a tab in a text, not escaped",
            "failed",
            "proof",
            sealed_again({**document, "hints": {"name": "a\tb"}}).replace("\\t", "\t"),
            reason="form",
        ),
        _case(
            "control characters in a text, escaped",
            "verified",
            "",
            sealed_again({**document, "hints": {"name": "a\0\t\x7f\x85\uffff"}}),
        ),
        _case(
            "empty lists, which are as good as none",
            "verified",
            "",
            sealed_again(
                {
                    **document,
                    "digests": {},
                    "file_tokens": [],
                    "extensions": [],
                    "records": [],
                    "tokens": [
                        {**document["tokens"][0], "certificates": [], "crls": [], "ocsps": []}
                    ],
                    "log": {**document["log"], "keys": []},
                }
            ),
        ),
    ]


ORIGIN = "ledger.example/built"
OPENED, CLOSED = "2026-11-23T12:00:00Z", "2026-11-23T12:03:00Z"


class Key:
    """A ledger's key, the same every time: `number` tells them apart."""

    def __init__(self, number: int, name: str = ORIGIN) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.name = name
        self._private = Ed25519PrivateKey.from_private_bytes(sha256(b"key %d" % number).digest())
        typed = b"\1" + self._private.public_key().public_bytes_raw()
        self._id = sha256(name.encode() + b"\n" + typed).digest()[:4]
        self.vkey = f"{name}+{self._id.hex()}+{base64.b64encode(typed).decode()}"

    def line(self, text: str) -> str:
        """The signature line for a note with this text."""
        signed = base64.b64encode(self._id + self._private.sign(text.encode())).decode()
        return f"\N{EM DASH} {self.name} {signed}\n"


def _build(
    content: dict[str, Any],
    *,
    signers: tuple[Key, ...],
    origin: str = ORIGIN,
    opened: str = OPENED,
    closed: str = CLOSED,
    count: str = "2",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A proof that nobody's ledger made, of a batch of two leaves that is the only one in its log,
    with an anchor alone; and the block that is to be known. The checkpoint's origin is the name of
    the key that signs it first."""
    digest = bytes.fromhex(content["digest"])
    record = rfc8785.dumps(
        {
            "format": "witnesstree-opening/1",
            "origin": origin,
            "batch": 0,
            "checkpoint": "00" * 32,
            "opened": opened,
        }
    )
    first = sha256(record).digest()
    root = sha256(min(first, digest) + max(first, digest)).digest()
    written = base64.b64encode(root).decode()
    lines = ("witnesstree-batch/1", origin, "0", count, written, opened, closed)
    statement = "".join(f"{line}\n" for line in lines)
    head = sha256(b"\0" + statement.encode()).digest()
    text = f"{signers[0].name}\n1\n{base64.b64encode(head).decode()}\n"
    anchor, block = _anchored(json.loads(content["happy"]), root.hex(), 1)
    return {
        "format": "witnesstree-proof/1",
        "digest": digest.hex(),
        "inclusion": {"position": 1, "size": 2, "root": root.hex(), "path": [first.hex()]},
        "opening": {"record": record.decode(), "path": [digest.hex()]},
        "tokens": [],
        "anchors": [anchor],
        "log": {
            "statement": statement,
            "index": 0,
            "path": [],
            "checkpoint": f"{text}\n{''.join(key.line(text) for key in signers)}",
        },
        "hints": {},
    }, block


def _built(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Times, names and counts in an opening record and a statement, with a log around them."""
    key = Key(0)

    def case(
        name: str,
        expect: str,
        checks: str,
        reason: str | None = None,
        *,
        place: tuple[str, ...] = (),
        value: Any = None,
        keys: tuple[Key, ...] = (key,),
        signer: Key = key,
        **parts: Any,
    ) -> dict[str, Any]:
        document, block = _build(content, signers=(signer,), **parts)
        if place:
            document = _put(document, place, value)
        trust = {"roots": [], "blocks": [block], "checkpoint_keys": [each.vkey for each in keys]}
        return _case(
            f"built: {name}",
            expect,
            checks,
            sealed_again(document),
            reason=reason,
            require="anchor",
            trust=trust,
        )

    def origin_with(name: str, character: str) -> dict[str, Any]:
        named = Key(0, f"ledger{character}example")
        return case(
            f"an origin with {name}",
            "verified",
            "",
            origin=named.name,
            signer=named,
            keys=(named,),
        )

    said, all_said = "log.statement log.path", "opening log.statement log.path"
    names = {
        "U+0085": ("\x85", False),
        "U+00A0": ("\xa0", False),
        "U+3000": ("\u3000", False),
        "U+001F": ("\x1f", False),
        "U+007F": ("\x7f", True),
        "U+200B": ("\u200b", True),
        "U+FEFF inside": ("\ufeff", True),
    }
    return [
        case("happy path", "verified", ""),
        case("opened in the year 0001", "verified", "", opened="0001-01-01T00:00:00Z"),
        case("opened in the year 0000", "failed", all_said, "time", opened="0000-01-01T00:00:00Z"),
        case("opened in the year 9999", "failed", "window", opened="9999-12-31T23:59:59Z"),
        case("closed in the year 9999", "verified", "", closed="9999-12-31T23:59:59Z"),
        case("closed in month 13", "failed", said, "time", closed="2026-13-01T00:00:00Z"),
        case("closed at a leap second", "failed", said, "time", closed="2026-12-31T23:59:60Z"),
        case("closed before it was opened", "verified", "", closed="2026-11-23T11:59:00Z"),
        *(
            origin_with(name, each)
            if good
            else case(
                f"an origin with {name}",
                "failed",
                said,
                "form" if each < " " else "name",
                origin=f"ledger{each}example",
            )
            for name, (each, good) in names.items()
        ),
        case(
            "a count of more leaves than a batch may have",
            "failed",
            said.split(maxsplit=1)[0],
            count=str(2**53 - 1),
        ),
        case("a count that no statement can have", "failed", said, "limit", count=str(2**53)),
        case(
            "a statement of one line",
            "failed",
            said,
            "form",
            place=("log", "statement"),
            value="statement\n",
        ),
        case(
            "a checkpoint of one line",
            "failed",
            "log.path log.checkpoint",
            "form",
            place=("log", "checkpoint"),
            value="checkpoint\n",
        ),
        case(
            "a checkpoint of one line, and no key expected",
            "failed",
            "log.path",
            "form",
            place=("log", "checkpoint"),
            value="checkpoint\n",
            keys=(),
        ),
    ]


def _keys(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The notes of changes of the ledger's key (docs/log.md)."""
    old, new, other = Key(0), Key(1), Key(2)
    empty = base64.b64encode(sha256().digest()).decode()

    def note(
        number: int,
        before: Key,
        after: Key,
        size: int = 0,
        root: str = empty,
        *,
        signers: tuple[Key, ...] = (),
    ) -> str:
        lines = ("witnesstree-key/1", before.name, number, before.vkey, after.vkey, size, root)
        text = "".join(f"{line}\n" for line in lines)
        return f"{text}\n{''.join(key.line(text) for key in signers or (before, after))}"

    def case(
        name: str, good: bool, signer: Key, expected: tuple[Key, ...], *notes: str, own: Any = ()
    ) -> dict[str, Any]:
        document, block = _build(content, signers=(signer,))
        document["log"]["keys"] = list(notes)
        trust = {
            "roots": [],
            "blocks": [block],
            "checkpoint_keys": [key.vkey for key in expected],
            "key_notes": list(own),
        }
        return _case(
            f"keys: {name}",
            "verified" if good else "failed",
            "" if good else "log.checkpoint",
            sealed_again(document),
            reason=None if good else "keys",
            require="anchor",
            trust=trust,
        )

    document, _ = _build(content, signers=(old,))
    head = document["log"]["checkpoint"].split("\n")[2]
    change = note(1, old, new)
    later = note(2, new, other, 1, head)
    strange = Key(3, "ledger.example/strange"), Key(4, "ledger.example/strange")
    return [
        case("the new key, known by the old one", True, new, (old,), change),
        case("the new key, which is expected", True, new, (new,), change),
        case("the new key, known by a note of the verifier's", True, new, (old,), own=[change]),
        case("the new key, and no note", False, new, (old,)),
        case("the old key above the size at which it handed over", False, old, (old,), change),
        case("the old key, at that very size", True, old, (old,), note(1, old, new, 1, head)),
        case("the new key, at that very size", False, new, (old,), note(1, old, new, 1, head)),
        case("another root at that very size", False, old, (old,), note(1, old, new, 1)),
        case("two changes", True, new, (other,), change, later),
        case("two changes in another order", False, new, (other,), later, change),
        case("the second change alone", True, new, (other,), later),
        case("a number left out", False, new, (old,), change, note(3, new, other, 1, head)),
        case("a number that begins at 0", False, new, (old,), note(0, old, new)),
        case("a size that falls", False, new, (old,), note(1, old, new, 2), note(2, new, other)),
        case("a key that comes back", False, old, (old,), change, note(2, new, old)),
        case("a root of size 0 that is another", False, new, (old,), note(1, old, new, 0, head)),
        case("the new key's line first", False, new, (old,), note(1, old, new, signers=(new, old))),
        case("the old key's line alone", False, new, (old,), note(1, old, new, signers=(old,))),
        case("a third line", False, new, (old,), note(1, old, new, signers=(old, new, other))),
        case("an eighth line", False, new, (old,), change.replace("\n\n", "\nmore\n\n")),
        case("a note of another origin", True, old, (old,), note(1, *strange)),
        case(
            "a note of another origin, which has the number of the verifier's",
            False,
            new,
            (old,),
            note(1, *strange),
            own=[change],
        ),
        case(
            "a note of the verifier's of another origin",
            True,
            old,
            (old,),
            own=[note(1, *strange)],
        ),
        case(
            "another note with the number of the verifier's",
            False,
            new,
            (old,),
            change,
            own=[note(1, old, other)],
        ),
        case("no key expected, and notes that hold", True, new, (), change),
    ]


def _assurances(content: dict[str, Any]) -> list[dict[str, Any]]:
    """What a VERIFIED proof is worth: tokens of two authorities and anchors on several chains."""
    document, trust, dated = json.loads(content["happy"]), content["trust"], content["dated"]
    local, certificate = document["tokens"][0], dated["root"]["certificate"]
    token = {"token": dated["tokens"]["early"]}

    def case(
        name: str,
        worth: str | None,
        root: str,
        *chains: int | None,
        tokens: Any = (token,),
        pinned: bool = False,
        known: bool = True,
        **question: Any,
    ) -> dict[str, Any]:
        found = [
            (document["anchors"][0], trust["blocks"][0])
            if chain is None
            else _anchored(document, document["inclusion"]["root"], chain)
            for chain in chains
        ]
        blocks = [{"hash": each["hash"]} if pinned else each for _, each in found]
        named = {
            "roots": [
                *trust["roots"],
                *({"certificate": certificate, "assurance": each} for each in root.split()),
            ],
            "blocks": [*trust["blocks"], *(blocks if known else ())],
            "checkpoint_keys": trust["checkpoint_keys"],
        }
        changed = {**document, "tokens": list(tokens), "anchors": [anchor for anchor, _ in found]}
        expect = "undecided" if worth is None else "verified"
        checks = "" if known else "anchors[0].canonical"
        return _case(
            f"assurance: {name}",
            expect,
            checks,
            sealed_again(changed),
            trust=named,
            assurance=worth,
            **question,
        )

    return [
        case("a public authority and Ethereum", "public", "public", 1),
        case("a public authority and Arbitrum One", "public", "public", 42161),
        case("a private authority and Ethereum", "private", "private", 1),
        case("a public authority and Sepolia", "private", "public", 11155111),
        case("a public authority and a chain that is not known", "private", "public", 31337),
        case("a public authority and an embedded chain", "local", "public", None),
        case(
            "a public authority and an embedded chain, and a token required",
            "public",
            "public",
            None,
            require="token",
        ),
        case(
            "a public authority and an embedded chain, and an anchor required",
            "local",
            "public",
            None,
            require="anchor",
        ),
        case("an embedded authority and Ethereum", "local", "public", 1, tokens=(local,)),
        case("the better of two tokens", "public", "public", 1, tokens=(local, token)),
        case("the better of two anchors", "public", "public", None, 1),
        case(
            "Ethereum, and a block of no chain in particular", "private", "public", 1, pinned=True
        ),
        case("a root certificate given twice: the lower", "private", "public private", 1),
        case("none, where it is not VERIFIED", None, "public", 1, known=False),
    ]


def _file_parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Timestamps over the file, its other digests, and extensions."""
    document, varied, trust = json.loads(content["happy"]), content["varied"], content["trust"]
    trusting = {**trust, "roots": [*trust["roots"], varied["roots"]["good"]]}
    sha512, wrong = varied["sha512"], "00" * 64
    first = "2026-11-23T11:00:00Z"

    def case(
        name: str,
        expect: str,
        checks: str,
        members: dict[str, Any],
        reason: str | None = None,
        **question: Any,
    ) -> dict[str, Any]:
        proof = sealed_again({**document, **members})
        return _case(
            f"the file: {name}",
            expect,
            checks,
            proof,
            reason=reason,
            **{"trust": trusting, **question},
        )

    def over(*names: str) -> dict[str, Any]:
        return {"file_tokens": [{"token": varied["tokens"][name]} for name in names]}

    def extension(**members: Any) -> dict[str, Any]:
        return {"extensions": [{"id": "org.example/new", "value": {"a": [None, True]}, **members}]}

    known = {"digests": {"sha512": sha512}}
    dated, undated = {"dates": {"file_not_after": first}}, {"dates": {"file_not_after": None}}
    imprint = "file_tokens[0].imprint"
    bare = {name: document[name] for name in ("format", "digest", "hints")}
    return [
        case("another digest of it", "verified", "", {"digests": {"sha512": sha512}}, **known),
        case("another digest, not compared", "verified", "", {"digests": {"sha512": wrong}}),
        case(
            "another digest, which differs",
            "failed",
            "digests.sha512",
            {"digests": {"sha512": wrong}},
            "digest",
            **known,
        ),
        case(
            "another digest, of an algorithm that nobody knows",
            "verified",
            "",
            {"digests": {"md5_of_mine": "00"}},
        ),
        case("digests with sha256", "failed", "proof", {"digests": {"sha256": "00" * 32}}, "form"),
        case(
            "a digest of 65 bytes", "failed", "proof", {"digests": {"sha512": "00" * 65}}, "limit"
        ),
        case(
            "a digest with capitals in its name",
            "failed",
            "proof",
            {"digests": {"SHA512": sha512}},
            "form",
        ),
        case(
            "nine digests",
            "failed",
            "proof",
            {"digests": {f"a{i}": "00" for i in range(9)}},
            "limit",
        ),
        case("a timestamp over it", "verified", "", over("over the file"), **dated),
        case(
            "a timestamp over its SHA-512",
            "verified",
            "",
            over("over its SHA-512"),
            **known,
            **dated,
        ),
        case(
            "a timestamp over its SHA-512, which is not known",
            "verified",
            "",
            over("over its SHA-512"),
            **undated,
        ),
        case(
            "a timestamp over another file", "failed", imprint, over("over another file"), **undated
        ),
        case(
            "a timestamp over it, by an authority that nobody knows",
            "verified",
            "",
            over("over the file"),
            trust=trust,
            **undated,
        ),
        case(
            "a timestamp over it from tomorrow",
            "verified",
            "",
            over("over the file, tomorrow"),
            now="2026-11-23T12:30:00Z",
            **undated,
        ),
        case(
            "no token but one over it",
            "undecided",
            "tokens",
            {"tokens": [], **over("over the file")},
            "missing",
            **dated,
        ),
        _case(
            "the file: a timestamp over it before its batch is sealed",
            "undecided",
            "inclusion",
            sealed_again({**bare, "tokens": [], "anchors": [], **over("over the file")}),
            reason="missing",
            trust=trusting,
            **dated,
        ),
        case(
            "a timestamp that is not DER",
            "failed",
            "file_tokens[0].form",
            {"file_tokens": [{"token": "MAA="}]},
        ),
        case("an extension", "verified", "", extension()),
        case(
            "an extension that is critical",
            "undecided",
            "extensions[0]",
            extension(critical=True),
            "extension",
        ),
        case(
            "an extension that says that it is not critical",
            "verified",
            "",
            extension(critical=False),
        ),
        case("an extension whose value is null", "verified", "", extension(value=None)),
        case(
            "an extension twice",
            "failed",
            "proof",
            {"extensions": extension()["extensions"] * 2},
            "form",
        ),
        case(
            "an extension without an id", "failed", "proof", {"extensions": [{"value": 1}]}, "form"
        ),
        case(
            "an extension whose critical is a number",
            "failed",
            "proof",
            extension(critical=1),
            "form",
        ),
    ]


def _direct_tokens(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Tokens of public authorities (../token/tokens.json) over the file itself, before its batch is
    sealed."""
    public = json.loads(TOKENS.read_text(encoding="utf-8"))
    empty = {"tokens": [], "anchors": [], "hints": {}}

    def case(
        name: str,
        token: str,
        root: str,
        dated: str | None,
        *,
        expect: str = "undecided",
        checks: str = "inclusion",
        other: bool = False,
        **question: Any,
    ) -> dict[str, Any]:
        stamped = public["tokens"][token]["stamped"].encode()
        digest = sha256(stamped + b"!" * other).hexdigest()
        document = json.loads(content["happy"])
        members = {"format": document["format"], "digest": digest, **empty}
        tokens = [{"token": public["tokens"][token]["token"]}]
        roots = [{"certificate": public["roots"][root]["certificate"], "assurance": "public"}]
        return _case(
            f"a direct token of {name}",
            expect,
            checks,
            sealed_again({**members, "file_tokens": tokens}),
            reason=None if expect == "failed" else "missing",
            digest=digest,
            trust={**content["trust"], "roots": roots},
            dates={"file_not_after": dated},
            **question,
        )

    globalsign, free = (
        ("GlobalSign, 2021", "GlobalSign Root CA - R6"),
        "FreeTSA, 2024, SHA-512 imprint",
    )
    sha512 = hashlib.sha512(public["tokens"][free]["stamped"].encode()).hexdigest()
    imprint = "file_tokens[0].imprint"
    return [
        case("GlobalSign", *globalsign, "2021-09-17T14:09:11Z"),
        case(
            "GlobalSign, of which another root is trusted", globalsign[0], "Free TSA Root CA", None
        ),
        case(
            "GlobalSign, over another file",
            *globalsign,
            None,
            expect="failed",
            checks=imprint,
            other=True,
        ),
        case(
            "FreeTSA, over SHA-512",
            free,
            "Free TSA Root CA",
            "2024-04-09T05:29:39Z",
            digests={"sha512": sha512},
        ),
    ]


def _evidence_records(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Evidence records of one timestamp (RFC 4998) in the happy proof."""
    document, trust, dated = json.loads(content["happy"]), content["trust"], content["dated"]
    trusting = {**trust, "roots": [*trust["roots"], dated["root"]]}
    at = document["inclusion"]
    token = base64.b64decode(dated["tokens"]["early"])
    own = base64.b64decode(json.loads(content["other"])["tokens"][0]["token"])

    def record(digest: str, path: list[str], token: bytes) -> str:
        sha_256 = _der(0x30, bytes.fromhex("0609608648016503040201"))
        lists = b"".join(_der(0x30, _der(0x04, bytes.fromhex(node))) for node in (digest, *path))
        chain = _der(0x30, _der(0x30, _der(0xA2, lists) + token))
        whole = _der(0x30, b"\2\1\1" + _der(0x30, sha_256) + _der(0x30, chain))
        return base64.b64encode(whole).decode()

    def case(
        name: str,
        expect: str,
        checks: str,
        members: dict[str, Any],
        reason: str | None = None,
        **question: Any,
    ) -> dict[str, Any]:
        return _case(
            f"records: {name}",
            expect,
            checks,
            sealed_again({**document, **members}),
            reason=reason,
            **{"trust": trusting, **question},
        )

    good = record(document["digest"], at["path"], token)
    place = "records[0].chains[0].timestamps[0]"
    early, first = "2026-11-23T11:58:00Z", "2026-11-23T12:04:00Z"
    dates = {"not_after": first, "not_after_token": early, "not_after_anchor": first}
    return [
        case("in place of a token", "verified", "", {"tokens": [], "records": [good]}, dates=dates),
        case("beside a token", "verified", "", {"records": [good]}),
        case("the same twice", "verified", "", {"records": [good] * 2}),
        case(
            "by an authority that nobody knows, beside a token",
            "verified",
            "",
            {"records": [good]},
            trust=trust,
        ),
        case(
            "by an authority that nobody knows",
            "undecided",
            f"{place}.chain",
            {"tokens": [], "records": [good]},
            "chain",
            trust=trust,
        ),
        case(
            "of another batch",
            "failed",
            "records[0].root",
            {"records": [record(document["digest"], at["path"], own)]},
        ),
        case(
            "of another digest",
            "failed",
            f"{place}.data {place}.imprint",
            {"records": [record(content["trust"]["blocks"][0]["hash"][2:], at["path"], token)]},
            "data",
        ),
        case(
            "without its last list",
            "failed",
            f"{place}.imprint",
            {"records": [record(document["digest"], at["path"][:-1], token)]},
            "imprint",
        ),
        case("that is not DER", "failed", "records[0].record", {"records": ["MAA="]}, "form"),
    ]


def _varieties(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Tokens on the happy proof's root: what form reads of them, and what counts of roots and
    answers."""
    document, varied, trust = json.loads(content["happy"]), content["varied"], content["trust"]

    def case(
        name: str,
        expect: str,
        checks: str = "",
        *roots: str,
        reason: str | None = None,
        beside: Any = None,
        token: str = "",
        **question: Any,
    ) -> dict[str, Any]:
        stamp = {"token": varied["tokens"][token or name], **(beside or {})}
        trusting = {**trust, "roots": [varied["roots"][each] for each in roots or ("good",)]}
        return _case(
            f"token: {name}",
            expect,
            " ".join(f"tokens[0].{check}" for check in checks.split()),
            sealed_again({**document, "tokens": [stamp]}),
            reason=reason,
            trust=trusting,
            **question,
        )

    def answered(name: str, expect: str, kind: str) -> dict[str, Any]:
        beside = {kind: [varied["answers"][name]]}
        checks = "revocation" if expect == "failed" else ""
        return case(name, expect, checks, beside=beside, token="under an issuer")

    own = "2026-11-23T12:04:01Z"
    return [
        case(
            "a genTime with a fraction",
            "verified",
            dates={"not_after": own, "not_after_token": own},
        ),
        case("an accuracy of more than a day", "failed", "form"),
        case("a field that TSTInfo does not have", "verified"),
        case("parameters that SHA-256 does not have", "verified"),
        case("an imprint of 31 bytes", "failed", "form"),
        case("17 certificates", "failed", "form", reason="limit"),
        case("further entries in SigningCertificateV2", "verified"),
        case("the signer second in SigningCertificateV2", "undecided", "signer signature chain"),
        case("no entry in SigningCertificateV2", "failed", "form"),
        case("no SigningCertificate", "failed", "signer"),
        case("RSASSA-PSS with no salt", "verified"),
        case("RSASSA-PSS with another hash in its mask", "verified"),
        case("RSASSA-PSS without parameters", "undecided", "signature"),
        case("a root certificate that had ended", "failed", "chain", "ended"),
        case("a root certificate that may not sign certificates", "failed", "chain", "for lists"),
        case("a root certificate that allows no authority below it", "failed", "chain", "short"),
        case("a root certificate that is the signer's own", "verified", "", "own"),
        case(
            "a signer whose certificate had ended, under a root that nobody trusts",
            "failed",
            "chain",
            "own",
        ),
        answered("revoked, says a responder", "failed", "ocsps"),
        answered("revoked, says a responder whose key is not for signatures", "verified", "ocsps"),
        answered("revoked, says a responder who is none", "verified", "ocsps"),
        answered("revoked, in an entry that is critical in another way", "verified", "crls"),
        answered("taken back", "verified", "crls"),
    ]


def _edges(content: dict[str, Any]) -> list[dict[str, Any]]:
    """What readers of the document took in different ways."""
    document, edges, trust = json.loads(content["happy"]), content["edges"], content["trust"]
    known = trust["blocks"]

    def case(
        name: str,
        expect: str,
        checks: str,
        changed: dict[str, Any],
        reason: str | None = None,
        **question: Any,
    ) -> dict[str, Any]:
        return _case(
            f"edge: {name}", expect, checks, sealed_again(changed), reason=reason, **question
        )

    def token(name: str, expect: str, checks: str = "", **question: Any) -> dict[str, Any]:
        names = " ".join(f"tokens[0].{check}" for check in checks.split())
        changed = {**document, "tokens": [{"token": edges["tokens"][name]}]}
        trusting = {**trust, "roots": [edges["root"]]}
        return case(name, expect, names, changed, trust=trusting, **question)

    def empty(name: str, *place: str | int) -> dict[str, Any]:
        return case(name, "failed", "proof", _put(document, place, {}), "form")

    def beside(**vouchers: Any) -> dict[str, Any]:
        return {**document, "tokens": [{**document["tokens"][0], **vouchers}]}

    block = json.loads(document["opening"]["record"])["block"]
    bare = {name: document["opening"][name] for name in ("record", "path")}
    elsewhere = {**block, "hash": "0x" + "00" * 32}
    anchor, long = _anchored(document, document["inclusion"]["root"], 1, padding=2048)
    moved = [{**each, "number": each["number"] + 100} for each in known]
    sha_256 = _der(0x30, bytes.fromhex("0609608648016503040201"))
    whole = _der(0x30, b"\2\1\1" + _der(0x30, sha_256 * 17) + _der(0x30, b""))
    record = base64.b64encode(whole).decode()
    return [
        token("no signed attributes", "failed", "signer signature"),
        token("signed attributes that are not sorted, signed as they stand", "verified"),
        token(
            "signed attributes that are not sorted, signed as if they were", "failed", "signature"
        ),
        token("an attribute of another type with two values", "verified"),
        token("a key identifier", "verified"),
        token("the key identifier of another certificate", "failed", "signer"),
        token("the issuer's name in capitals", "verified"),
        token("an issuer's name that is none", "failed", "signer"),
        token("a mail address beside the issuer's name", "verified"),
        token(
            "two names of certificates that are both there", "undecided", "signer signature chain"
        ),
        token("a signature by ECDSA, it says, and an RSA key", "undecided", "signature"),
        token("contents by SHA-224 in 2031", "failed", "signature", now="2031-02-01T00:00:00Z"),
        token("two algorithms in its signer's certificate", "undecided", "chain"),
        empty("an empty opening record", "opening"),
        empty("an empty log", "log"),
        empty("an empty state proof", "anchors", 0, "state"),
        case(
            "a token of one byte too many",
            "failed",
            "proof",
            {**document, "tokens": [{"token": base64.b64encode(bytes(65537)).decode()}]},
            "limit",
        ),
        case(
            "an OCSP answer of one byte too many",
            "failed",
            "proof",
            beside(ocsps=[base64.b64encode(bytes(32769)).decode()]),
            "limit",
        ),
        case(
            "an OCSP answer that is none",
            "verified",
            "",
            beside(ocsps=[base64.b64encode(bytes(32768)).decode()]),
        ),
        case(
            "a record that names 17 algorithms",
            "undecided",
            "records[0].record",
            {**document, "tokens": [], "records": [record]},
            "limit",
        ),
        case(
            "a header that is longer than those of its chain",
            "undecided",
            "anchors[0].block",
            {**document, "anchors": [anchor]},
            "limit",
            trust={**trust, "blocks": [*known, long]},
        ),
        case(
            "a block that is known by another number",
            "undecided",
            "anchors[0].canonical",
            document,
            trust={**trust, "blocks": moved},
        ),
        case(
            "another block in place of the one that the opening record names, and no header",
            "failed",
            "opening.block",
            {**document, "opening": bare},
            "canonical",
            trust={**trust, "blocks": [*known, elsewhere]},
        ),
    ]


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    head = bytes([size]) if size < 0x80 else bytes([0x80 | len(octets)]) + octets
    return bytes([tag]) + head + content


def _at(document: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def _answers(content: dict[str, Any]) -> list[dict[str, Any]]:
    """What CRLs and OCSP answers beside a token come to (docs/proof-format.md, section 6)."""
    answered = content["answered"]
    trust = {**content["trust"], "roots": [answered["root"]]}
    good = {"crls": ["of the root"], "ocsps": ["not revoked"]}

    def case(name: str, expect: str, token: str = "rsa", **beside: list[str]) -> dict[str, Any]:
        stamp = {"token": answered["tokens"][token]}
        for kind, names in beside.items():
            stamp[kind] = [answered[kind][each] for each in names]
        proof = sealed_again({**json.loads(content["happy"]), "tokens": [stamp]})
        checks = "tokens[0].revocation" if expect == "failed" else ""
        return _case(f"answers: {name}", expect, checks, proof, trust=trust)

    def revoked(name: str, **beside: list[str]) -> dict[str, Any]:
        return case(name, "failed", **{**beside, "crls": ["of the root", name]})

    other_key = {"certificates": ["the issuer's other key"]}
    return [
        case("none", "verified"),
        case("not revoked, and so is its issuer", "verified", **good),
        case("not revoked, says a CRL", "verified", crls=["of the root", "of the issuer"]),
        case(
            "not revoked, says a delta CRL only", "verified", crls=["of the root", "an empty delta"]
        ),
        revoked("a revoked signer"),
        revoked("a revoked signer, in a CRL for some reasons"),
        revoked("a revoked signer, in a delta CRL"),
        revoked("a revoked signer, in the CRL of another place"),
        revoked("a revoked signer, in an old CRL", ocsps=["not revoked"]),
        revoked("a revoked signer, in a CRL by the issuer's other key", **other_key),
        case(
            "a revoked signer, in a CRL by the issuer's other key, of which nobody knows",
            "verified",
            crls=["a revoked signer, in a CRL by the issuer's other key"],
        ),
        case("a revoked signer, in a forged CRL", "verified", crls=["a revoked signer, forged"]),
        case("revoked later, because it was superseded", "verified", crls=["superseded later"]),
        case("revoked, says an OCSP answer", "failed", ocsps=["revoked"]),
    ]


def _chains(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Chains and tokens that are wrong, or beyond a verifier, in one way."""
    answered, happy = content["answered"], json.loads(content["happy"])
    trust = {**content["trust"], "roots": [answered["root"]]}

    def case(name: str, expect: str, checks: str) -> dict[str, Any]:
        tokens = [{"token": answered["tokens"][name]}]
        return _case(name, expect, checks, sealed_again({**happy, "tokens": tokens}), trust=trust)

    chain = "tokens[0].chain"
    keys = ["rubbish"]
    return [
        case("brainpool under secp256k1", "verified", ""),
        case("Ed448 under a key for RSASSA-PSS", "verified", ""),
        case("RSA of 1024 bits", "failed", chain),
        case("RSA of 1024 bits above the signer", "failed", chain),
        case("SHA-1 in a certificate", "undecided", chain),
        case("a name outside a constraint that is not critical", "failed", chain),
        case("no policy, where one is required, not critically", "failed", chain),
        case("policies that are critical", "verified", ""),
        case("a path that is longer by a self-issued certificate", "verified", ""),
        case("a critical extension of a certificate", "undecided", chain),
        case("a critical extension of the TSTInfo", "undecided", "tokens[0].form"),
        case(
            "a damaged certificate in the token",
            "undecided",
            "tokens[0].signer tokens[0].signature tokens[0].chain",
        ),
        _case(
            "key notes that do not hold, and no checkpoint key",
            "failed",
            "log.checkpoint",
            sealed_again({**happy, "log": {**happy["log"], "keys": keys}}),
            trust={**content["trust"], "checkpoint_keys": []},
        ),
    ]


def _put(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    changed = deepcopy(document)
    _at(changed, place[:-1])[place[-1]] = value
    return changed


def _less(document: Any, place: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], Any]:
    return place, _at(document, place)[:-1]


def _without(
    document: Any, place: tuple[str | int, ...], name: str
) -> tuple[tuple[str | int, ...], Any]:
    return place, {key: value for key, value in _at(document, place).items() if key != name}


def _flip(node: str) -> str:
    return node[:-1] + f"{int(node[-1], 16) ^ 1:x}"


def format_file(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _anew() -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from make_proof import honest

    from witnesstree.ledger.base.clock import format_time
    from witnesstree.ledger.log.note import format_verifier_key

    known = honest()
    return {
        "about": (
            "Proof files and what they come to: for each case the verdict, and the checks that make"
            " it so"
        ),
        "digest": known.proof().digest.hex(),
        "now": format_time(known.now),
        "require": "both",
        "trust": {
            "roots": [
                {"certificate": base64.b64encode(root.certificate).decode(), "assurance": "local"}
                for root in known.trust.roots
            ],
            "blocks": [
                {
                    "chain_id": block.chain_id,
                    "number": block.number,
                    "hash": "0x" + block.hash.hex(),
                }
                for block in known.trust.blocks
            ],
            "checkpoint_keys": [format_verifier_key(key) for key in known.trust.checkpoint_keys],
        },
        "happy": known.content().decode(),
        "other": known.content(2, 4).decode(),
        "dated": _dated(known.content()),
        "answered": _answered(known.content()),
        "varied": _varied(known.content()),
        "edges": _edged(known.content()),
    }


def _dated(happy: bytes) -> dict[str, Any]:
    """Tokens of another authority on the proof's root, at times that it did not see."""
    from datetime import UTC, datetime, timedelta

    from asn1crypto import tsp
    from make_token import CA, STAMPS, Forge, issue, key, sign_ec, stamped

    life = {"start": datetime(2020, 1, 1, tzinfo=UTC), "end": datetime(2040, 1, 1, tzinfo=UTC)}
    above = issue("A root of dates", None, key("p256"), CA, **life)
    signer = issue("An authority of dates", above, key("p384"), STAMPS, **life)
    root = bytes.fromhex(json.loads(happy)["inclusion"]["root"])
    sealed = datetime(2026, 11, 23, 12, 4, tzinfo=UTC)

    def token(time: datetime) -> str:
        imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": root}
        content = stamped(message_imprint=imprint, gen_time=time, accuracy=None)
        forge = Forge(
            signer=signer,
            content=tsp.TSTInfo(content).dump(),
            algorithm={"algorithm": "sha384_ecdsa"},
            digest="sha384",
            sign=sign_ec("sha384"),
        )
        return base64.b64encode(forge.make()).decode()

    return {
        "root": {"certificate": base64.b64encode(above.der).decode(), "assurance": "local"},
        "tokens": {
            "early": token(sealed - timedelta(minutes=6)),
            "late": token(sealed + timedelta(days=2)),
            "backdated": token(datetime(2020, 6, 1, tzinfo=UTC)),
            # The record was opened a minute before.
            "before opened": token(sealed - timedelta(minutes=12)),
        },
    }


def _answered(happy: bytes) -> dict[str, Any]:
    """Tokens of many authorities below one root, on the proof's root, and what is said of one of
    them."""
    from datetime import UTC, datetime, timedelta

    from asn1crypto import tsp
    from cryptography import x509
    from make_revocation import DAY, HOUR, SIGNS_ALL, make_crl, make_ocsp
    from make_token import (
        PSS,
        STAMPS,
        Forge,
        Issued,
        issue,
        key,
        remade,
        sign_ec,
        sign_ed25519,
        sign_pkcs1,
        sign_pss,
        stamped,
        with_pss_key,
    )

    sealed = datetime(2026, 11, 23, 12, 4, tzinfo=UTC)
    life = {"start": datetime(2025, 1, 1, tzinfo=UTC), "end": datetime(2030, 1, 1, tzinfo=UTC)}
    imprint = {
        "hash_algorithm": {"algorithm": "sha256"},
        "hashed_message": bytes.fromhex(json.loads(happy)["inclusion"]["root"]),
    }
    sha256_ecdsa = {"algorithm": {"algorithm": "sha256_ecdsa"}, "sign": sign_ec("sha256")}

    def authority(name: str, above: Issued | None, kind: str, *more: Any) -> Issued:
        given = any(isinstance(each, x509.BasicConstraints) for each, _ in more)
        extensions = (*(SIGNS_ALL[1:] if given else SIGNS_ALL), *more)
        return issue(name, above, key(kind, len(name)), extensions, **life)

    def signer(above: Issued, kind: str = "p256", *more: Any) -> Issued:
        return issue("A signer", above, key(kind, 700), (*STAMPS, *more), **life)

    def token(by: Issued, *above: Issued, how: Any = None, **more: Any) -> bytes:
        content = stamped(message_imprint=imprint, gen_time=sealed, accuracy=None, **more)
        made = sha256_ecdsa if how is None else how
        certificates = [each.der for each in (by, *above)]
        return Forge(
            signer=by, content=tsp.TSTInfo(content).dump(), certificates=certificates, **made
        ).make()

    root = authority("A root of answers", None, "p256")
    issuer = authority("An issuer", root, "p384")
    by = signer(issuer, "rsa")
    rolled = authority("AN  ISSUER", root, "p256")
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)
    good = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Good")])
    needs = (x509.PolicyConstraints(0, None), False)
    stated = (x509.CertificatePolicies([policy]), True)
    strange = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    limited = authority(
        "Limited", root, "p256", (x509.NameConstraints([x509.DirectoryName(good)], None), False)
    )
    needing = authority("Needing", root, "p256", needs, stated)
    short = authority("Short", root, "p256", (x509.BasicConstraints(ca=True, path_length=0), True))
    again = authority("Short", short, "p384")
    odd = authority("Odd", root, "p256", strange)
    weak = authority("Weak", root, "rsa1024")
    koblitz = authority("Koblitz", root, "secp256k1")
    plain = authority("For PSS", root, "rsa")
    for_pss = remade(plain, root, lambda fields: with_pss_key(fields, PSS["parameters"]))
    old = authority("Old", root, "p256")
    by_old = remade(signer(old), old, algorithm={"algorithm": "sha1_ecdsa"})
    by_pss = remade(signer(plain, "ed448"), plain, algorithm=PSS, sign=sign_pss)
    extension = {"extn_id": "1.2.3.4", "critical": True, "extn_value": b""}
    rsa = token(by, issuer, how={})
    whole = token(signer(root))
    tokens = {
        "rsa": rsa,
        "brainpool under secp256k1": token(signer(koblitz, "brainpool"), koblitz),
        "Ed448 under a key for RSASSA-PSS": token(
            by_pss,
            for_pss,
            how={"digest": "sha512", "algorithm": {"algorithm": "ed448"}, "sign": sign_ed25519},
        ),
        "RSA of 1024 bits": token(signer(root, "rsa1024"), how={"sign": sign_pkcs1("sha256")}),
        "RSA of 1024 bits above the signer": token(signer(weak), weak),
        "SHA-1 in a certificate": token(by_old, old),
        "a name outside a constraint that is not critical": token(signer(limited), limited),
        "no policy, where one is required, not critically": token(signer(needing), needing),
        "policies that are critical": token(signer(needing, "p256", stated), needing),
        "a path that is longer by a self-issued certificate": token(signer(again), short, again),
        "a critical extension of a certificate": token(signer(odd), odd),
        "a critical extension of the TSTInfo": token(signer(root), extensions=[extension]),
        "a damaged certificate in the token": whole.replace(b"A signer", b"A sinner", 1),
    }
    compromise = [(x509.CRLReason(x509.ReasonFlags.key_compromise), False)]
    superseded = [(x509.CRLReason(x509.ReasonFlags.superseded), False)]
    entry = (by, sealed - HOUR, compromise)

    def scoped(**scope: Any) -> list[Any]:
        flags = ("user_certs", "ca_certs", "attribute_certs")
        fields = {f"only_contains_{each}": False for each in flags} | {
            "full_name": None,
            "relative_name": None,
            "only_some_reasons": None,
            "indirect_crl": False,
        }
        return [(x509.IssuingDistributionPoint(**{**fields, **scope}), True)]

    place = [x509.UniformResourceIdentifier("http://crl.example/another")]
    delta = [(x509.DeltaCRLIndicator(1), True)]
    name = "a revoked signer"
    crls = {
        "of the root": make_crl(root),
        "of the issuer": make_crl(issuer),
        "an empty delta": make_crl(issuer, extensions=delta),
        name: make_crl(issuer, entry),
        f"{name}, in a CRL for some reasons": make_crl(
            issuer,
            entry,
            extensions=scoped(
                only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}),
            ),
        ),
        f"{name}, in a delta CRL": make_crl(issuer, entry, extensions=delta),
        f"{name}, in the CRL of another place": make_crl(
            issuer, entry, extensions=scoped(full_name=place)
        ),
        f"{name}, in an old CRL": make_crl(
            issuer, (by, sealed - 9 * DAY, compromise), this=sealed - 8 * DAY, until=sealed - DAY
        ),
        f"{name}, in a CRL by the issuer's other key": make_crl(rolled, entry),
        f"{name}, forged": make_crl(issuer, entry, signer_key=key("p256", 701)),
        "superseded later": make_crl(
            issuer, (by, sealed + HOUR, superseded), this=sealed + HOUR, until=sealed + DAY
        ),
    }
    ocsps = {
        "not revoked": make_ocsp(by, issuer, this=sealed),
        "revoked": make_ocsp(
            by,
            issuer,
            revoked=sealed - timedelta(hours=2),
            reason=x509.ReasonFlags.key_compromise,
            this=sealed,
        ),
    }

    def base64s(values: dict[str, bytes]) -> dict[str, str]:
        return {name: base64.b64encode(value).decode() for name, value in values.items()}

    return {
        "root": {"certificate": base64.b64encode(root.der).decode(), "assurance": "local"},
        "tokens": base64s(tokens),
        "certificates": base64s({"the issuer's other key": rolled.der}),
        "crls": base64s(crls),
        "ocsps": base64s(ocsps),
    }


def _varied(happy: bytes) -> dict[str, Any]:
    """Tokens on the proof's root and over its file that are odd in one way, and what is said of
    their signer."""
    from datetime import UTC, datetime, timedelta
    from hashlib import sha512

    from asn1crypto import tsp
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from make_proof import digest_of
    from make_revocation import ANSWERS, DAY, HOUR, SIGNS_ALL, make_crl, make_ocsp
    from make_token import (
        PSS,
        STAMPS,
        Forge,
        Issued,
        attribute,
        issue,
        key,
        sign_ec,
        stamped,
        usage,
    )

    sealed = datetime(2026, 11, 23, 12, 4, tzinfo=UTC)
    life = {"start": datetime(2025, 1, 1, tzinfo=UTC), "end": datetime(2030, 1, 1, tzinfo=UTC)}
    root_of_batch = bytes.fromhex(json.loads(happy)["inclusion"]["root"])
    file = b"batch 3, position 4"
    assert sha256(file).digest() == digest_of(3, 4)

    def authority(name: str, above: Issued | None, *extensions: Any, **changes: Any) -> Issued:
        return issue(name, above, key("p256", 900 + len(name)), extensions, **{**life, **changes})

    def signer(above: Issued, kind: str = "p256", **changes: Any) -> Issued:
        return issue("A signer", above, key(kind, 950), STAMPS, **{**life, **changes})

    def content(digest: bytes = root_of_batch, algorithm: str = "sha256", **more: Any) -> bytes:
        imprint = {"hash_algorithm": {"algorithm": algorithm}, "hashed_message": digest}
        fields = {"gen_time": sealed, "accuracy": None, "message_imprint": imprint, **more}
        return bytes(tsp.TSTInfo(stamped(**fields)).dump())

    def token(by: Issued, *above: Issued, stated: bytes | None = None, **how: Any) -> bytes:
        made = {"algorithm": {"algorithm": "sha256_ecdsa"}, "sign": sign_ec("sha256"), **how}
        carried = {"certificates": [each.der for each in (by, *above)], **made}
        return Forge(signer=by, content=stated or content(), **carried).make()

    def entries(*certificates: bytes) -> list[dict[str, Any]]:
        listed = [{"cert_hash": sha256(each).digest()} for each in certificates]
        return [attribute("signing_certificate_v2", {"certs": listed})]

    def pss(mask: Any, salt: int) -> dict[str, Any]:
        name = mask.name.replace("-", "")
        generator = {"algorithm": "mgf1", "parameters": {"algorithm": name}}
        parameters = {
            **PSS["parameters"],
            "mask_gen_algorithm": generator,
            "salt_length": salt,
        }
        return {
            "algorithm": {"algorithm": "rsassa_pss", "parameters": parameters},
            "sign": lambda private, signed: bytes(
                private.sign(signed, padding.PSS(padding.MGF1(mask), salt), hashes.SHA256())
            ),
        }

    ca = x509.BasicConstraints(ca=True, path_length=None), True
    root = authority("A root of varieties", None, *SIGNS_ALL)
    ended = authority("A root that had ended", None, *SIGNS_ALL, end=sealed - DAY)
    lists = authority("A root for lists", None, ca, (usage(crl_sign=True), True))
    short = authority(
        "A short root", None, (x509.BasicConstraints(ca=True, path_length=0), True), SIGNS_ALL[1]
    )
    below = authority("An issuer below it", short, *SIGNS_ALL)
    by, rsa = signer(root), signer(root, "rsa")
    whole = content()
    null = whole.index(bytes.fromhex("0609608648016503040201")) + 11
    assert whole[null : null + 2] == b"\5\0"
    unsalted, absent = pss(hashes.SHA256(), 0), pss(hashes.SHA256(), 32)
    absent["algorithm"] = {"algorithm": "rsassa_pss"}
    issuer = authority("An issuer of varieties", root, *SIGNS_ALL)
    beneath = signer(issuer)
    early = sealed - HOUR - timedelta(minutes=4)
    past = signer(root, end=sealed - HOUR)
    tokens = {
        "a genTime with a fraction": token(
            by, stated=content(gen_time=sealed + timedelta(milliseconds=250))
        ),
        "an accuracy of more than a day": token(
            by, stated=content(accuracy={"seconds": 86400, "micros": 1})
        ),
        "a field that TSTInfo does not have": token(
            by, stated=_der(0x30, whole[2 if whole[1] < 0x80 else 3 :] + b"\5\0")
        ),
        "parameters that SHA-256 does not have": token(
            by, stated=whole[:null] + b"\4\0" + whole[null + 2 :]
        ),
        "an imprint of 31 bytes": token(by, stated=content(root_of_batch[1:])),
        "17 certificates": token(by, *[root] * 16),
        "further entries in SigningCertificateV2": token(by, names=entries(by.der, b"", b"")),
        "the signer second in SigningCertificateV2": token(by, names=entries(b"", by.der)),
        "no entry in SigningCertificateV2": token(by, names=entries()),
        "no SigningCertificate": token(by, names=[]),
        "RSASSA-PSS with no salt": token(rsa, **unsalted),
        "RSASSA-PSS with another hash in its mask": token(rsa, **pss(hashes.SHA384(), 32)),
        "RSASSA-PSS without parameters": token(rsa, **absent),
        "a root certificate that had ended": token(signer(ended)),
        "a root certificate that may not sign certificates": token(signer(lists)),
        "a root certificate that allows no authority below it": token(signer(below), below),
        "a root certificate that is the signer's own": token(by),
        "a signer whose certificate had ended, under a root that nobody trusts": token(past),
        "under an issuer": token(beneath, issuer),
        "over the file": token(by, stated=content(sha256(file).digest(), gen_time=early)),
        "over the file, tomorrow": token(
            by, stated=content(sha256(file).digest(), gen_time=sealed + DAY)
        ),
        "over its SHA-512": token(
            by, stated=content(sha512(file).digest(), "sha512", gen_time=early)
        ),
        "over another file": token(by, stated=content(sha256(b"another").digest())),
    }
    revoked = {
        "revoked": sealed - HOUR,
        "reason": x509.ReasonFlags.key_compromise,
        "this": sealed,
    }
    for_keys = usage(key_agreement=True), True
    compromise = x509.CRLReason(x509.ReasonFlags.key_compromise), False
    taken_back = x509.CRLReason(x509.ReasonFlags.remove_from_crl), False
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True
    delta = x509.DeltaCRLIndicator(1), True

    def responder(name: str, *extensions: Any) -> Issued:
        return authority(name, issuer, *extensions)

    answers = {
        "revoked, says a responder": make_ocsp(
            beneath, issuer, responder=responder("A responder", ANSWERS), **revoked
        ),
        "revoked, says a responder whose key is not for signatures": make_ocsp(
            beneath, issuer, responder=responder("Not for signatures", ANSWERS, for_keys), **revoked
        ),
        "revoked, says a responder who is none": make_ocsp(
            beneath, issuer, responder=responder("No responder"), **revoked
        ),
        "revoked, in an entry that is critical in another way": make_crl(
            issuer, (beneath, sealed - HOUR, [compromise, strange])
        ),
        "taken back": make_crl(issuer, (beneath, sealed - HOUR, [taken_back]), extensions=[delta]),
    }

    def base64s(values: dict[str, bytes]) -> dict[str, str]:
        return {name: base64.b64encode(value).decode() for name, value in values.items()}

    roots = {"good": root, "ended": ended, "for lists": lists, "short": short, "own": by}
    return {
        "sha512": sha512(file).hexdigest(),
        "roots": {
            name: {"certificate": base64.b64encode(each.der).decode(), "assurance": "local"}
            for name, each in roots.items()
        },
        "tokens": base64s(tokens),
        "answers": base64s(answers),
    }


def _edged(happy: bytes) -> dict[str, Any]:
    """Tokens on the proof's root that readers of the document took in different ways."""
    from collections.abc import Callable
    from datetime import UTC, datetime

    from asn1crypto import cms, core, tsp
    from asn1crypto import x509 as asn1_x509
    from make_revocation import SIGNS_ALL
    from make_token import (
        STAMPS,
        Forge,
        Issued,
        attribute,
        issue,
        issuer_serial,
        key,
        named,
        named_v1,
        named_v2,
        sid,
        sign_ec,
        stamped,
    )
    from mutations import spliced

    sealed = datetime(2026, 11, 23, 12, 4, tzinfo=UTC)
    life = {"start": datetime(2025, 1, 1, tzinfo=UTC), "end": datetime(2040, 1, 1, tzinfo=UTC)}
    imprint = {
        "hash_algorithm": {"algorithm": "sha256"},
        "hashed_message": bytes.fromhex(json.loads(happy)["inclusion"]["root"]),
    }
    root = issue("A root of edges", None, key("p256", 980), SIGNS_ALL, **life)
    by, other = (issue("A signer", root, key("p256", 981 + n), STAMPS, **life) for n in (0, 1))
    rsa = issue("A signer", root, key("rsa", 983), STAMPS, **life)

    def token(signer: Issued = by, at: datetime = sealed, **how: Any) -> bytes:
        content = tsp.TSTInfo(stamped(message_imprint=imprint, gen_time=at, accuracy=None)).dump()
        made = {"algorithm": {"algorithm": "sha256_ecdsa"}, "sign": sign_ec("sha256"), **how}
        return Forge(signer=signer, content=content, **made).make()

    def with_attributes(
        arrange: Callable[[list[bytes]], list[bytes]], signed: Callable[[list[bytes]], list[bytes]]
    ) -> bytes:
        """A token with its signed attributes arranged, and a signature over them in another way."""
        whole = token()
        info = cms.ContentInfo.load(whole)["content"]["signer_infos"][0]
        found = arrange([each.dump() for each in info["signed_attrs"]])
        head = b"".join(info[name].dump() for name in ("version", "sid", "digest_algorithm"))
        signature = sign_ec("sha256")(by.key, _der(0x31, b"".join(signed(found))))
        changed = head + (_der(0xA0, b"".join(found)) if found else b"")
        changed += info["signature_algorithm"].dump() + _der(0x04, signature)
        start = whole.index(info.dump())
        return spliced(whole, start, start + len(info.dump()), _der(0x30, changed))

    def as_it_stands(found: list[bytes]) -> list[bytes]:
        return found

    def backwards(found: list[bytes]) -> list[bytes]:
        return sorted(found, reverse=True)

    def further(found: list[bytes]) -> list[bytes]:
        identifier = bytes(core.ObjectIdentifier("1.2.3.4").dump())
        return sorted([*found, _der(0x30, identifier + _der(0x31, b"\5\0" + b"\2\1\1"))])

    def by_issuer(name: bytes) -> cms.SignerIdentifier:
        serial = core.Integer(by.certificate.serial_number).dump()
        return cms.SignerIdentifier.load(_der(0x30, name + serial))

    capitals = asn1_x509.Name.load(named("A ROOT  OF EDGES").public_bytes()).dump()
    mail = asn1_x509.GeneralName(name="rfc822_name", value="root@example.org")
    serial = issuer_serial(by)
    beside = {**serial, "issuer": [mail, *serial["issuer"]]}
    listed = asn1_x509.Certificate.load(by.der)
    listed["signature_algorithm"] = {"algorithm": "sha384_ecdsa"}
    odd = listed.dump(force=True)
    named_odd = attribute(
        "signing_certificate_v2", {"certs": [{"cert_hash": sha256(odd).digest()}]}
    )
    tokens = {
        "no signed attributes": with_attributes(lambda found: [], as_it_stands),
        "signed attributes that are not sorted, signed as they stand": with_attributes(
            backwards, as_it_stands
        ),
        "signed attributes that are not sorted, signed as if they were": with_attributes(
            backwards, sorted
        ),
        "an attribute of another type with two values": with_attributes(further, as_it_stands),
        "a key identifier": token(sid=sid(by, by_key=True)),
        "the key identifier of another certificate": token(sid=sid(other, by_key=True)),
        "the issuer's name in capitals": token(sid=by_issuer(capitals)),
        "an issuer's name that is none": token(sid=by_issuer(_der(0x30, b"\2\1\1"))),
        "a mail address beside the issuer's name": token(
            names=[named_v2(by, issuer_serial=beside)]
        ),
        "two names of certificates that are both there": token(
            names=[named_v1(other), named_v2(by)], certificates=[by.der, other.der]
        ),
        "a signature by ECDSA, it says, and an RSA key": token(rsa, sign=lambda *_: bytes(64)),
        "contents by SHA-224 in 2031": token(at=datetime(2031, 1, 2, tzinfo=UTC), digest="sha224"),
        "two algorithms in its signer's certificate": token(names=[named_odd], certificates=[odd]),
    }
    return {
        "root": {"certificate": base64.b64encode(root.der).decode(), "assurance": "local"},
        "tokens": {name: base64.b64encode(value).decode() for name, value in tokens.items()},
    }


if __name__ == "__main__":
    content = make(
        _anew() if "--anew" in sys.argv else json.loads(FILE.read_text(encoding="utf-8"))
    )
    FILE.write_text(format_file(content), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {len(content['cases'])} cases\n")

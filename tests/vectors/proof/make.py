"""Makes the cases of proof.json from the two honest proofs that stand in it: `python
tests/vectors/proof/make.py`.

A test compares what this makes with what is stored. With `--anew` new honest proofs are made first,
by an embedded authority and chain that are then gone; their keys are random, so this is the one
part that does not come out the same twice.
"""

import base64
import json
import sys
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import rfc8785

FILE = Path(__file__).parent / "proof.json"

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
    kept = ("about", "digest", "now", "require", "trust", "happy", "other", "dated", "answered")
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
        ],
    }


def _case(
    name: str, expect: str, checks: str, proof: str | bytes, **question: Any
) -> dict[str, Any]:
    there = (
        {"proof": proof} if isinstance(proof, str) else {"bytes": base64.b64encode(proof).decode()}
    )
    return {
        "name": name,
        "expect": expect,
        "reason": _reason(name, checks),
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
    import rlp
    from eth_hash.auto import keccak
    from trie.hexary import HexaryTrie

    document, trust = json.loads(content["happy"]), content["trust"]
    anchor = document["anchors"][0]
    contract = bytes.fromhex(anchor["contract"][2:])
    slot = keccak(bytes.fromhex(document["inclusion"]["root"]) + bytes(32))
    fields: list[Any] = rlp.decode(bytes.fromhex(anchor["state"]["header"][2:]))
    number, time = (int.from_bytes(fields[i]) for i in (8, 11))
    code = "4ed48e2d363496f17f2a2e7289bd82b442a968de2470517f240ed2270a321d28"

    def case(name: str, expect: str, chain: int, later: int, seconds: int) -> dict[str, Any]:
        word = (number + later).to_bytes(6) + (time + seconds).to_bytes(6)
        storage, accounts = HexaryTrie({}), HexaryTrie({})
        storage[keccak(slot)] = rlp.encode(word.lstrip(b"\0"))
        accounts[keccak(contract)] = rlp.encode(
            [b"\1", b"", storage.root_hash, bytes.fromhex(code)]
        )
        header = rlp.encode([*fields[:3], accounts.root_hash, *fields[4:]])
        proofs = [
            ["0x" + rlp.encode(node).hex() for node in trie.get_proof(keccak(key))]
            for trie, key in ((accounts, contract), (storage, slot))
        ]
        block = {"number": number, "hash": "0x" + keccak(header).hex()}
        state = {"header": "0x" + header.hex(), "account": proofs[0], "storage": proofs[1]}
        changed = {**anchor, "chain_id": chain, "block": block, "state": state}
        known = {"chain_id": chain, **block}
        return _case(
            name,
            expect,
            "" if expect == "verified" else "anchors[0].contract",
            sealed_again({**document, "anchors": [changed]}),
            trust={**trust, "blocks": [*trust["blocks"], known]},
        )

    return [
        case("the record of its own block", "verified", 1, 0, 0),
        case("the record of a later block", "failed", 1, 1, 0),
        case("the record of a later time", "failed", 1, 0, 1),
        case("a record with the number of the chain below", "verified", 42161, 10**6, 0),
        case("a record on a chain that is not known", "verified", 31337, 10**6, 0),
    ]


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


if __name__ == "__main__":
    content = make(
        _anew() if "--anew" in sys.argv else json.loads(FILE.read_text(encoding="utf-8"))
    )
    FILE.write_text(format_file(content), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {len(content['cases'])} cases\n")

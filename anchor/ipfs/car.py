"""Files of blocks: CARv1 (https://ipld.io/specs/transport/car/carv1/) with one root.

No other module writes that form.

car = section(header) section(cid block)*        section(x) = varint length of x, x
"""

from __future__ import annotations

from witnesstree.anchor.ipfs.cid import Cid, format_varint


def format_header(root: Cid) -> bytes:
    """Return the beginning of a CAR whose one root is `root`: a DAG-CBOR map of "roots" and
    "version" 1, in its one canonical spelling.
    """
    # Tag 42 holds the CID's 36 bytes after one zero byte (DAG-CBOR, "Links").
    return _section(b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + bytes(root) + b"\x67version\x01")


def format_block(cid: Cid, block: bytes) -> bytes:
    """Return the section that carries `block`; whether `cid` is its name is not asked."""
    return _section(bytes(cid) + block)


def _section(content: bytes) -> bytes:
    return format_varint(len(content)) + content

"""Make home.tar.gz anew: run this with the first release installed (version 0.1.0), from this
folder. Each run gives other keys."""

import shutil
import tarfile
from hashlib import sha256
from pathlib import Path

from witnesstree.anchor.evm.local import LocalChain
from witnesstree.anchor.tsa import local as tsa_local
from witnesstree.anchor.wiring import make_home, open_ledger
from witnesstree.ledger.base.errors import Unreachable
from witnesstree.ledger.store import metadata

HOME = Path("home")


def digest(name: str) -> bytes:
    return sha256(f"version 1, {name}".encode()).digest()


def cut_off(*_args: object) -> None:
    raise Unreachable("cut off")


def main() -> None:
    assert metadata.VERSION == 1
    tsa_local._KEY_BITS = 2048
    make_home(HOME, "ledger.test/version-1")
    with open_ledger(HOME) as ledger:
        for batch in range(2):
            ledger.submit(b"".join(digest(f"batch {batch}, entry {i}") for i in range(3)))
            ledger.close()
            assert ledger.work() == []
        LocalChain.collect = cut_off
        ledger.submit(digest("sent"))
        ledger.close()
        ledger.work()
        LocalChain.send = cut_off
        ledger.submit(digest("signed"))
        ledger.close()
        ledger.work()
        ledger.submit(digest("sealed"))
        ledger.close()
        ledger.submit(digest("open"))
    for lock in HOME.glob("*.lock"):
        lock.unlink()
    with tarfile.open("home.tar.gz", "w:gz") as archive:
        archive.add(
            HOME, filter=lambda member: member.replace(uid=0, gid=0, uname="", gname="", deep=False)
        )
    shutil.rmtree(HOME)


if __name__ == "__main__":
    main()

"""What somebody meets who has just made a ledger: its own proofs verify without a word about where
it is, the answer comes first, and what is missing is said once.
"""

import json
import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from commandline import PROGRAM, call, environment
from make_proof import honest

from witnesstree.cli.verdict import check_label, moment
from witnesstree.ledger.base.clock import parse_time


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own ledger, where no --home is given."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("WITNESSTREE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(b"a photo")
    assert call("init").code == 0
    return tmp_path / "data" / "witnesstree"


def test_one_s_own_ledger_is_asked_about_its_own_proofs(own: Path) -> None:
    assert call("seal", "photo.jpg").code == 0
    verified = call("verify", "photo.jpg")
    assert verified.code == 0
    assert verified.talk.startswith(f"Your own ledger in {own} was asked")
    # The ledger itself is in this folder, and is no evidence.
    assert call("verify", ".").code == 0
    # A lawyer's questions: what, by when, on whose word.
    what, before, after, word = verified.text.splitlines()[:4]
    assert "“photo.jpg” existed by" in what
    assert (before[:12], after[:11]) == ("  Not before", "  Not after")
    assert "On nobody's word but the ledger's own" in word
    assert call("verify", "photo.jpg", "--lang", "zh").text.splitlines()[3].startswith("  只凭账本")


def test_a_stranger_s_proof_is_not_helped_by_one_s_own_ledger(own: Path) -> None:
    Path("other.proof.json").write_bytes(honest().content())
    ran = call("verify", "photo.jpg", "--proof", "other.proof.json", "--json")
    assert (ran.code, ran.talk) == (3, "")
    (own / "home.json").write_text("{}")
    assert call("seal", "photo.jpg").code != 0
    broken = call("verify", "photo.jpg", "--proof", "other.proof.json")
    assert broken.code == 3
    assert broken.talk.startswith(f"Your own ledger in {own} was not asked: ")


def test_what_would_decide_it_is_said_once(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        Path(name).write_text(name)
    assert call("seal", "a", "b", "c").text.endswith("Sealed 3 files.\n")
    Path("d").write_text("d")
    again = call("seal", "a", "b", "c", "d")
    assert again.text.endswith("Sealed 1 file; 3 were sealed before.\n")
    assert again.talk.count("embedded authority and chain") == 2
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    for asked in (["a"], ["a", "b", "c"]):
        ran = call("verify", *asked)
        assert ran.code == 4
        *_, title, root, home = ran.text.splitlines()
        assert title == "What would decide it:"
        assert root.startswith("  --trust FILE: the certificate “LOCAL test root")
        assert home.startswith("  --home DIR: ")
        assert ran.text.count("What would decide it:") == 1
    assert ran.text.count("leads to") == 1


def test_a_folder_of_proofs_can_be_given_back(own: Path) -> None:
    for name in ("case/one", "case/sub/two"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    assert call("seal", "-r", "case", "--proofs", "proofs").code == 0
    assert call("verify", "case", "--proof", "proofs").code == 0
    assert call("verify", "case/one", "--proof", "proofs").code == 0
    Path("case/sub/two").write_text("another")
    Path("case/three").write_text("not sealed")
    ran = call("verify", "case", "--proof", "proofs", "--json")
    found = {file["path"]: file.get("gap", file["verdict"]) for file in ran.json["files"]}
    assert (ran.code, found) == (
        3,
        {"case/one": "verified", "case/sub/two": "failed", "case/three": "no proof"},
    )
    Path("case/sub/two").unlink()
    gone = call("verify", "case", "--proof", "proofs", "--json").json["files"]
    assert [file["path"] for file in gone if file.get("gap") == "no file"] == [
        "proofs/sub/two.proof.json"
    ]
    assert call("verify", "case", "--proof", "proofs/one.proof.json").code == 5


def test_a_folder_of_proofs_by_digest(own: Path) -> None:
    digest = subprocess.run(
        ["sha256sum", "photo.jpg"], capture_output=True, text=True, check=True
    ).stdout
    Path("SUMS").write_text(digest)
    assert call("seal", "--digests", "SUMS", "--proofs", "proofs").code == 0
    assert call("verify", "photo.jpg", "--proof", "proofs").code == 0
    Path("case").mkdir()
    Path("photo.jpg").rename("case/renamed.jpg")
    assert call("verify", "case", "--proof", "proofs").code == 0


def seen(*arguments: str, **names: str) -> str:
    """What a person sees on a terminal of 80 columns."""
    leader, follower = pty.openpty()
    os.set_inheritable(follower, True)
    with subprocess.Popen(
        ["sh", "-c", 'stty cols 80 rows 50; exec "$@"', "sh", PROGRAM, *arguments],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env=environment(TERM="xterm-256color") | {"COLUMNS": "80"} | names,
    ) as program:
        os.close(follower)
        parts = []
        try:
            while part := os.read(leader, 65536):
                parts.append(part)
        except OSError:
            pass
        program.wait(timeout=60)
    os.close(leader)
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_colours_are_for_terminals_that_want_them(own: Path) -> None:
    assert call("seal", "photo.jpg").code == 0
    assert "\x1b[32m" in seen("verify", "photo.jpg")
    assert "\x1b" not in seen("verify", "photo.jpg", NO_COLOR="1")
    assert "\x1b" not in seen("verify", "photo.jpg", TERM="dumb")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_a_newcomer_sees_fits_80_columns(own: Path, language: str) -> None:
    assert call("seal", "photo.jpg").code == 0
    for command in (["verify", "photo.jpg"], ["show", "photo.jpg.proof.json"], ["--help"]):
        text = seen(*command, "--lang", language, NO_COLOR="1", LC_ALL="C.UTF-8")
        wide = [line for line in text.splitlines() if columns_of(line) > 80]
        # A path of the machine is one word, and is not broken.
        assert [line for line in wide if " " in line.strip()] == []


def columns_of(line: str) -> int:
    from witnesstree.cli.layout import width_of

    return width_of(line)


def test_the_contract_s_answers_are_foretold(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(honest().content())
    ran = call("show", tmp_path / "p.json", "--json")
    anchor = ran.json["anchors"][0]
    answers = anchor["answers"]
    assert answers["verify"] == {"included": True, "time": answers["anchoredAt"]["time"]}
    assert answers["anchoredAt"]["blockNumber"] <= anchor["block"]
    assert re.fullmatch("0x[0-9a-fA-F]{40}", answers["anchoredAt"]["submitter"])
    public = json.loads(honest().content())
    public["anchors"][0]["chain_id"] = 1
    from mutations import sealed_again

    (tmp_path / "q.json").write_bytes(sealed_again(public))
    text = call("show", tmp_path / "q.json").text
    assert f"must answer time {answers['anchoredAt']['time']} (which is 2026-" in text
    public["anchors"][0]["state"] = None
    del public["anchors"][0]["state"]
    (tmp_path / "q.json").write_bytes(sealed_again(public))
    assert "must answer a time and a block, and no zeros" in call("show", tmp_path / "q.json").text
    assert "page on which others" in call("show", tmp_path / "p.json").text


def test_each_check_has_a_plain_name() -> None:
    assert check_label("tokens[0].chain") == "Timestamp, who vouches"
    assert check_label("tokens[1].chain") == "Timestamp 2, who vouches"
    assert check_label("digests.sha512") == "Other digest"
    assert check_label("batch[7].stamped").startswith("Batch 7, ")
    assert check_label("of a later version") == "of a later version"


def test_times_are_told_on_the_reader_s_clock_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    when = parse_time("2026-11-30T22:35:00Z")
    for zone, said in (
        ("UTC", "2026-11-30T22:35:00Z"),
        ("Asia/Shanghai", "2026-11-30T22:35:00Z (here: 2026-12-01 06:35:00 UTC+08:00)"),
    ):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert moment(when) == said
    monkeypatch.undo()
    time.tzset()


def test_a_proof_given_as_a_second_file_is_told_apart(own: Path) -> None:
    assert call("seal", "photo.jpg").code == 0
    proof = Path("photo.jpg.proof.json")
    for form in ("tst", "ers"):
        assert call("export", proof, "--format", form, "-o", f"photo.jpg.{form}").code == 0
    for second in (proof, "photo.jpg.tst", "photo.jpg.ers"):
        ran = call("verify", "photo.jpg", second)
        assert ran.code == 5
        assert ran.error().endswith(f"`witnesstree verify photo.jpg --proof {second}`")
    Path("other").write_text("another file")
    assert call("verify", "photo.jpg", "other").code == 4
    # In a folder, they are no evidence without proof.
    Path("case").mkdir()
    for path in list(Path().glob("photo.jpg*")):
        path.rename(Path("case") / path.name)
    Path("case/photo.tsr").write_bytes(b"the same under a shorter name")
    assert [each["path"] for each in call("verify", "case", "--json").json["files"]] == [
        "case/photo.jpg"
    ]
    Path("case/alone.tsr").write_bytes(b"of nothing here")
    assert call("verify", "case").code == 4


def test_a_missing_proof_says_where_one_comes_from(own: Path) -> None:
    ran = call("verify", "photo.jpg")
    assert ran.code == 5
    assert "`witnesstree proof photo.jpg -o photo.jpg.proof.json`" in ran.error()
    assert "`witnesstree seal photo.jpg`" in ran.error()
    Path("photo.tsr").write_bytes(b"whatever it is")
    assert "`witnesstree verify photo.jpg --proof photo.tsr`" in call("verify", "photo.jpg").error()


def test_a_ledger_that_is_gone_keeps_nobody_from_verifying(own: Path) -> None:
    assert call("seal", "photo.jpg").code == 0
    gone = call("verify", "photo.jpg", env={"WITNESSTREE_HOME": "nowhere"})
    assert (gone.code, gone.talk) == (4, "")
    there = call("verify", "photo.jpg", env={"WITNESSTREE_HOME": str(own)})
    assert there.code == 0
    # Who names one means it.
    assert call("verify", "photo.jpg", "--home", "nowhere").code == 6


def test_sealing_nothing_says_so(own: Path) -> None:
    assert "Nothing was waiting" in call("seal").talk
    assert call("seal", "--no-wait", "photo.jpg").code == 0
    assert "Nothing was waiting" not in call("seal").talk


def test_a_timestamp_of_the_batch_is_not_one_of_the_file(own: Path) -> None:
    assert call("seal", "photo.jpg").code == 0
    proof = "photo.jpg.proof.json"
    assert call("export", proof, "--format", "tst", "-o", "root.tst").code == 0
    ran = call("verify", "photo.jpg", "--proof", "root.tst")
    assert ran.code == 3
    assert f"over the root of the batch, and not over the file itself: verify with {proof}" in (
        ran.talk
    )
    assert ran.text.startswith("FAILED: “photo.jpg” is not what its proof says: ")
    assert "or the root of a batch" in call("show", "root.tst").text


def test_a_damaged_proof_says_nothing_of_the_file(own: Path) -> None:
    assert call("seal", "photo.jpg").code == 0
    proof = Path("photo.jpg.proof.json")
    proof.write_bytes(proof.read_bytes()[:-20])
    ran = call("verify", "photo.jpg")
    assert ran.code == 3
    assert ran.text.startswith(
        "FAILED: the proof of “photo.jpg” is damaged, so nothing is known of"
    )


def test_an_altered_file_is_told_by_what_is_wrong_alone(own: Path) -> None:
    assert call("seal", "photo.jpg").code == 0
    Path("photo.jpg").write_bytes(b"a photo, altered")
    ran = call("verify", "photo.jpg")
    assert (ran.code, "PASSED" in ran.text) == (3, False)
    assert "The other checks are about the file that the proof is for" in ran.text


def test_a_timestamp_that_others_trust_is_not_drowned_by_an_embedded_chain() -> None:
    """The state of a ledger that has an authority and no chain yet."""
    from contextlib import redirect_stdout
    from io import StringIO

    from stored_proofs import question, stored

    from witnesstree.cli.verdict import print_report

    name = "assurance: a public authority and an embedded chain"
    (case,) = (case for case in stored()["cases"] if case["name"] == name)
    asked = question(case)
    with redirect_stdout(StringIO()) as told:
        print_report(asked.report(), "contract.pdf")
    assert "By the timestamp alone it is public: ask with --require token." in told.getvalue()
    stranger = question({**case, "trust": {**case["trust"], "blocks": []}})
    with redirect_stdout(StringIO()) as told:
        print_report(stranger.report(), "contract.pdf")
    assert "--require token: then the timestamp decides alone" in told.getvalue()

"""What a person reads is said of witnesses that hold, and each says its own time."""

import json
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from commandline import call
from make_proof import honest
from mutations import sealed_again

from witnesstree.cli.verdict import moment, print_report
from witnesstree.ledger.base.report import Assurance, Check, Outcome, Report, passed, unknown

FIRST = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


def token(place: str, assurance: str, time: datetime) -> list[Check]:
    return [
        passed(f"{place}.signer", "signer-right", name=f"The signer of {place}"),
        passed(
            f"{place}.chain",
            "chain-right",
            root=f"The root of {place}",
            source="the tests",
            assurance=assurance,
            time=time,
        ),
    ]


def told(checks: list[Check], assurance: Assurance = Assurance.PUBLIC) -> str:
    times = (FIRST, FIRST + timedelta(hours=1), FIRST + timedelta(hours=1), None)
    report = Report((passed("digest", "digest-matches", digest=b""), *checks), assurance, *times)
    with redirect_stdout(StringIO()) as out:
        print_report(report, "contract.pdf")
    return out.getvalue().partition("\n\n")[0]


def test_a_witness_that_does_not_hold_is_no_ground() -> None:
    good = token("tokens[0]", "local", FIRST)
    unsigned = unknown("tokens[1].signature", "token-absent", required=False)
    both = [*good, *token("tokens[1]", "public", FIRST), unsigned]
    said = told(both, Assurance.LOCAL)
    assert "On nobody's word but the ledger's own" in said
    assert "tokens[1]" not in said


def test_each_witness_says_its_own_time() -> None:
    later = FIRST + timedelta(minutes=9)
    said = told([*token("tokens[0]", "public", FIRST), *token("tokens[1]", "private", later)])
    lines = [line for line in said.splitlines() if "Timestamp of" in line]
    assert ["2026-11-30T12:00:00Z" in lines[0], "2026-11-30T12:09:00Z" in lines[1]] == [True, True]
    assert "The signer of tokens[1]" in lines[1]


def test_a_renewed_record_is_its_first_timestamp_s_word() -> None:
    old, new = "chains[0].timestamps[0]", "chains[0].timestamps[1]"
    checks = [*token(old, "private", FIRST), *token(new, "public", FIRST)]
    said = told([passed("record", "record-readable", count=2), *checks])
    assert f"The signer of {old}" in said
    assert f"The signer of {new}" not in said


def test_a_timestamp_over_the_file_says_whose_word_it_is() -> None:
    checks = token("file_tokens[0]", "private", FIRST)
    report = Report((passed("digest", "digest-matches", digest=b""), *checks), file_not_after=FIRST)
    with redirect_stdout(StringIO()) as out:
        print_report(
            Report(
                (*report.checks, unknown("inclusion", "batch-not-sealed")), file_not_after=FIRST
            ),
            "contract.pdf",
        )
    assert "The signer of file_tokens[0]" in out.getvalue()
    assert "private, because the trust in this root is your own" in out.getvalue()


def test_times_at_the_ends_of_the_calendar(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert moment(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00Z"
    monkeypatch.undo()
    time.tzset()


def test_another_contract_is_not_foretold(tmp_path: Path) -> None:
    document = json.loads(honest().content())
    document["anchors"][0] |= {"chain_id": 1, "contract": "0x" + "de" * 20}
    (tmp_path / "p.json").write_bytes(sealed_again(document))
    text = call("show", tmp_path / "p.json").text
    assert "This is not the EvidenceAnchor contract" in text
    assert "must answer" not in text


def test_a_name_alone_does_not_make_a_ledger_one_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("a")
    for home in (tmp_path / "data" / "witnesstree", tmp_path / "other"):
        assert call("init", "--origin", "ledger.example/court", "--home", home).code == 0
    assert call("seal", "a", "--home", tmp_path / "other").code == 0
    ran = call("verify", "a")
    assert (ran.code, ran.talk) == (4, "")
    assert call("verify", "a", "--home", tmp_path / "other").code == 0


def test_files_of_one_name_find_their_own_proofs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("d/y.txt", "d/sub/y.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    home = ("--home", "home")
    assert call("init", *home).code == 0
    assert call("seal", "-r", "d", "--proofs", "proofs", *home).code == 0
    assert call("verify", "d/sub/y.txt", "--proof", "proofs", *home).code == 0
    assert call("verify", "d", "--proof", "proofs", *home).code == 0


def test_a_token_that_does_not_hold_is_not_offered_as_enough() -> None:
    open_ = unknown(
        "anchors[0].canonical",
        "block-unknown-local",
        number=2,
        chain="C",
        chain_id=1,
        explorer=None,
    )
    unsigned = unknown("tokens[0].signature", "token-absent")
    for more, offered in (([], True), ([unsigned], False)):
        checks = (*token("tokens[0]", "private", FIRST), *more, open_)
        with redirect_stdout(StringIO()) as out:
            print_report(Report(checks), "contract.pdf")
        assert ("--require token: then the timestamp" in out.getvalue()) is offered


def test_briefly_a_passed_check_is_counted_and_an_open_one_shown() -> None:
    checks = [*token("tokens[0]", "public", FIRST), unknown("tokens[0].revocation", "no-chain")]
    report = Report((passed("digest", "digest-matches", digest=b""), *checks), None, None, None)
    with redirect_stdout(StringIO()) as out:
        print_report(report, "contract.pdf", is_brief=True)
    lines = out.getvalue().splitlines()
    count = sum(check.outcome is Outcome.PASSED for check in report.checks)
    assert f"{count} checks passed; without --brief each is shown." in lines
    assert [line for line in lines if line.startswith("PASSED")] == []
    assert len([line for line in lines if line.startswith("UNKNOWN")]) == 1

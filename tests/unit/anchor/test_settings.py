"""Settings: from the environment before settings.toml; what is misspelt or out of bounds is one
line that says so."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from witnesstree.anchor.settings import (
    TABLES,
    AuthoritySettings,
    ChainSettings,
    IpfsSettings,
    ServiceSettings,
    Settings,
    add_table,
    read_secret,
    read_settings,
    remove_table,
    set_member,
    write_setting,
)
from witnesstree.ledger.base.catalogue import LANGUAGES, worded
from witnesstree.ledger.base.errors import Conflict, InvalidInput, NotFound

EXAMPLE = Path(__file__).parents[3] / "examples" / "settings.toml"
CHAIN = {"chain_id": 31337, "urls": ("http://127.0.0.1:8545",)}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def refused(home: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_settings(home)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_any_the_defaults_hold(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings()
    assert (Settings().batch_entries, Settings().batch_age, Settings().patience) == (
        2**23,
        timedelta(minutes=10),
        60,
    )


def test_they_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WITNESSTREE_BATCH_ENTRIES", "7")
    monkeypatch.setenv("WITNESSTREE_BATCH_AGE", "PT1H")
    monkeypatch.setenv("WITNESSTREE_PATIENCE", "0.5")
    found = read_settings(tmp_path)
    assert (found.batch_entries, found.batch_age, found.patience) == (7, timedelta(hours=1), 0.5)


def test_seconds_in_the_environment_are_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESSTREE_BATCH_AGE", "5")
    monkeypatch.setenv("WITNESSTREE_DEADLINE", "2.5")
    found = read_settings(tmp_path)
    assert (found.batch_age, found.deadline) == (timedelta(seconds=5), timedelta(seconds=2.5))


def test_they_come_from_the_file(tmp_path: Path, toml: Path) -> None:
    toml.write_text("batch_entries = 7\nbatch_age = 90\n")
    found = read_settings(tmp_path)
    assert (found.batch_entries, found.batch_age, found.patience) == (7, timedelta(seconds=90), 60)


def test_the_environment_goes_before_the_file(
    tmp_path: Path, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text("batch_entries = 7\npatience = 3\n")
    monkeypatch.setenv("WITNESSTREE_BATCH_ENTRIES", "8")
    found = read_settings(tmp_path)
    assert (found.batch_entries, found.patience) == (8, 3)


def test_the_home_is_no_stranger_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESSTREE_HOME", str(tmp_path))
    assert read_settings(tmp_path) == Settings()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WITNESSTREE_BATCH_ENTRY", "; did you mean WITNESSTREE_BATCH_ENTRIES?"),
        ("WITNESSTREE_HOMES", "; did you mean WITNESSTREE_HOME?"),
        ("WITNESSTREE_batch_age", ": expected one of WITNESSTREE_BATCH_AGE, "),
        ("WITNESSTREE_", "; did you mean WITNESSTREE_"),
    ],
)
def test_a_misspelt_variable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setenv(name, "7")
    assert refused(tmp_path).startswith(f"{name} is no setting{hint}")


@pytest.mark.parametrize("table", TABLES)
def test_a_table_does_not_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setenv(f"WITNESSTREE_{table.upper()}", "{}")
    assert refused(tmp_path).startswith(f"WITNESSTREE_{table.upper()} is no setting")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_entries", "0"),
        ("batch_entries", "-1"),
        ("batch_entries", str(2**31 + 1)),
        ("batch_entries", "many"),
        ("batch_entries", ""),
        ("batch_age", "0"),
        ("batch_age", "-5"),
        ("batch_age", "soon"),
        ("batch_age", "inf"),
        ("patience", "-1"),
        ("patience", "nan"),
        # SQLite counts milliseconds in 32 bits: more than that would be no patience at all.
        ("patience", "inf"),
        ("patience", "1e300"),
        ("patience", "86401"),
    ],
)
def test_a_value_out_of_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"WITNESSTREE_{name.upper()}", value)
    assert refused(tmp_path).startswith(f"setting {name}: ")


@pytest.mark.parametrize(
    "text", ["batch_entries = 0", "patience = -1", 'batch_age = "soon"', "batch_entries = [1]"]
)
def test_a_value_of_the_file_out_of_bounds_is_refused(
    tmp_path: Path, toml: Path, text: str
) -> None:
    toml.write_text(text)
    assert refused(tmp_path).startswith(f"setting {text.split(maxsplit=1)[0]}: ")


EXPECTED = f": expected one of {', '.join(sorted(Settings.model_fields))}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("batch_entry = 7", "; did you mean batch_entries?"),
        ("home = '/elsewhere'", EXPECTED),
        ("[batch]\nentries = 7", EXPECTED),
    ],
)
def test_an_unknown_key_is_refused(tmp_path: Path, toml: Path, text: str, hint: str) -> None:
    toml.write_text(text)
    assert refused(tmp_path).endswith(f" is no setting{hint}")


def test_a_misspelt_member_is_told_what_was_meant(tmp_path: Path, toml: Path) -> None:
    toml.write_text('[chains.a]\nchain_id = 1\nurl = ["http://secret"]')
    # What lacks comes first, and in its place is what is too much.
    assert refused(tmp_path) == "setting chains.a.urls: it must be given"
    toml.write_text('[chains.a]\nchain_id = 1\nurls = ["http://a"]\nfees_cap = 7')
    assert refused(tmp_path) == (
        "setting chains.a.fees_cap: there is none of this name; did you mean fee_cap?"
    )


def test_a_folder_in_its_place_is_refused(tmp_path: Path, toml: Path) -> None:
    toml.mkdir()
    assert "is not a file" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"batch_entries", "is not TOML at its end"),
        (b"= 7", "is not TOML at line 1, column 1"),
        (b"batch_entries = 7\nbatch_entries = 8", "is not TOML at its end"),
        (b"\xff\xfe", "cannot be read: It is not text in UTF-8"),
        (b'a = "', "is not TOML at its end"),
    ],
)
def test_what_is_no_toml_is_refused(tmp_path: Path, toml: Path, content: bytes, said: str) -> None:
    toml.write_bytes(content)
    assert refused(tmp_path) == f"{toml} {said}"


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().patience = 1


# Tables


def test_the_example_has_every_setting_and_holds(tmp_path: Path, toml: Path) -> None:
    toml.write_bytes(EXAMPLE.read_bytes())
    found = read_settings(tmp_path)
    assert set(Settings.model_fields) == found.model_fields_set
    for tables, model in (
        (found.authorities, AuthoritySettings),
        (found.chains, ChainSettings),
        ({"": found.ipfs}, IpfsSettings),
        ({"": found.service}, ServiceSettings),
    ):
        assert set().union(*(table.model_fields_set for table in tables.values())) == set(
            model.model_fields
        )


@pytest.mark.parametrize("name", ["local", "Sepolia", "a b", "", "-a", "a" * 33, "../a"])
def test_a_table_of_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="small letters, digits and hyphens"):
        add_table(tmp_path, "chains", name, CHAIN)
    assert not (tmp_path / "settings.toml").exists()


def test_there_is_a_limit_to_tables(tmp_path: Path) -> None:
    for number in range(16):
        add_table(tmp_path, "chains", f"c{number}", CHAIN)
    with pytest.raises(InvalidInput, match="at most 16"):
        add_table(tmp_path, "chains", "one-more", CHAIN)
    assert len(read_settings(tmp_path).chains) == 16


def test_tables_are_added_and_removed_and_all_else_stays(tmp_path: Path, toml: Path) -> None:
    text = "# ours\nbatch_entries = 7  # few\n"
    toml.write_text(text)
    add_table(tmp_path, "chains", "anvil", CHAIN)
    add_table(tmp_path, "authorities", "house", {"url": "http://127.0.0.1/tsr"})
    assert toml.read_text().startswith(text)
    found = read_settings(tmp_path)
    assert found.chains == {"anvil": ChainSettings(chain_id=31337, urls=("http://127.0.0.1:8545",))}
    assert found.authorities == {"house": AuthoritySettings(url="http://127.0.0.1/tsr")}
    with pytest.raises(Conflict, match=r"has \[chains.anvil\] already"):
        add_table(tmp_path, "chains", "anvil", CHAIN)
    remove_table(tmp_path, "chains", "anvil")
    remove_table(tmp_path, "authorities", "house")
    assert read_settings(tmp_path) == Settings(batch_entries=7)
    assert toml.read_text().startswith(text)
    with pytest.raises(NotFound, match=r"has no \[chains.anvil\]"):
        remove_table(tmp_path, "chains", "anvil")


def test_one_member_of_a_table_is_changed_and_all_else_stays(tmp_path: Path, toml: Path) -> None:
    toml.write_text('# ours\n[chains.a]\nchain_id = 1  # one\nurls = ["http://a"]\n')
    set_member(tmp_path, "chains", "a", "fee_cap", 7)
    assert (
        toml.read_text()
        == '# ours\n[chains.a]\nchain_id = 1  # one\nurls = ["http://a"]\nfee_cap = 7\n'
    )
    with pytest.raises(NotFound, match=r"has no \[chains.b\]"):
        set_member(tmp_path, "chains", "b", "fee_cap", 7)
    with pytest.raises(InvalidInput, match="fee_cap"):
        set_member(tmp_path, "chains", "a", "fee_cap", -1)
    assert read_settings(tmp_path).chains["a"].fee_cap == 7


def test_one_setting_is_written_and_all_else_stays(tmp_path: Path, toml: Path) -> None:
    toml.write_text("# ours\nbatch_entries = 7\n")
    write_setting(tmp_path, "database", "postgresql://host/ledger")
    assert toml.read_text() == '# ours\nbatch_entries = 7\ndatabase = "postgresql://host/ledger"\n'
    with pytest.raises(InvalidInput, match="setting database: "):
        write_setting(tmp_path, "database", "mysql://host/ledger")
    assert read_settings(tmp_path).database == "postgresql://host/ledger"


def test_a_table_that_would_not_hold_is_not_written(tmp_path: Path, toml: Path) -> None:
    with pytest.raises(InvalidInput, match=r"setting chains.anvil.chain_id: "):
        add_table(tmp_path, "chains", "anvil", {**CHAIN, "chain_id": 0})
    assert not toml.exists()
    toml.write_text("a = ")
    with pytest.raises(InvalidInput, match="is not TOML at line 1, column 0"):
        add_table(tmp_path, "chains", "anvil", CHAIN)
    assert toml.read_text() == "a = "


@pytest.mark.parametrize(
    "text",
    [
        "[chains.a]\nchain_id = 1\nurls = []",
        '[chains.a]\nchain_id = 1\nurls = ["ftp://secret.example"]',
        '[chains.a]\nchain_id = 1\nurls = ["http://a"]\nfinality = "soon"',
        '[chains.a]\nchain_id = 1\nurls = ["http://a"]\nkey_password = "secret"',
        '[chains.a]\nchain_id = 1\nurls = ["http://a"]\nsecret = 1',
        '[chains.a]\nchain_id = 1\nurls = ["http://a"]\nkey = "0xsecret"',
        '[authorities.a]\nurl = "http://a"\npassword = "secret"',
        '[authorities.a]\nurl = "http://a"\npolicy = "1.02.secret"',
        'database = "mysql://u:secret@h/d"',
    ],
)
def test_a_table_out_of_bounds_is_refused_and_no_secret_repeated(
    tmp_path: Path, toml: Path, text: str
) -> None:
    toml.write_text(text)
    said = refused(tmp_path)
    assert said.startswith("setting ")
    assert "secret" not in said.replace(".secret", "") or "policy" in said


def test_more_tokens_than_authorities_cannot_be_required(tmp_path: Path, toml: Path) -> None:
    toml.write_text("required_tokens = 2")
    assert (
        "setting required_tokens: 2 tokens are required, and there are 0 authorities: add some, or"
        " require fewer" in refused(tmp_path)
    )
    toml.write_text(
        'required_tokens = 2\n[authorities.a]\nurl = "http://a"\n[authorities.b]\nurl = "http://b"'
    )
    assert read_settings(tmp_path).required_tokens == 2
    with pytest.raises(InvalidInput, match="there is 1 authority"):
        remove_table(tmp_path, "authorities", "a")


def test_what_is_written_is_for_its_owner_alone(tmp_path: Path, toml: Path) -> None:
    add_table(tmp_path, "chains", "anvil", CHAIN)
    assert toml.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://h:99999",
        "http://h:0",
        "http://a b",
        "http:///x",
        "http://" + "a" * 2048,
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(
    tmp_path: Path, toml: Path, url: str
) -> None:
    toml.write_text(f'[authorities.a]\nurl = "{url}"')
    said = refused(tmp_path)
    assert said.startswith("setting authorities.a.url: expected http://… or https://… with a host")
    assert url not in said


def test_a_table_goes_where_no_table_is(tmp_path: Path, toml: Path) -> None:
    toml.write_text('authorities = "http://secret.example"')
    with pytest.raises(
        InvalidInput, match=r"authorities is no table: write \[authorities.NAME\]"
    ) as caught:
        add_table(tmp_path, "authorities", "a", {"url": "http://a"})
    assert "secret" not in str(caught.value)


def test_a_number_of_confirmations_may_be_text(tmp_path: Path, toml: Path) -> None:
    toml.write_text('[chains.a]\nchain_id = 1\nurls = ["http://a"]\nfinality = "12"')
    assert read_settings(tmp_path).chains["a"].finality == 12


# Secrets


def test_a_secret_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESSTREE_TSA", " word ")
    (tmp_path / "secret").write_text("word\n")
    assert read_secret("env:WITNESSTREE_TSA") == " word "
    assert read_secret(f"file:{tmp_path / 'secret'}") == "word"
    with pytest.raises(InvalidInput, match="variable NOWHERE is not set"):
        read_secret("env:NOWHERE")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_secret(f"file:{tmp_path / 'nowhere'}")


def test_a_variable_that_the_settings_refer_to_is_no_stranger(
    tmp_path: Path, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WITNESSTREE_TSA_PASSWORD", "word")
    toml.write_text('[authorities.a]\nurl = "http://a"\npassword = "env:WITNESSTREE_TSA_PASSWORD"')
    assert read_settings(tmp_path).authorities["a"].password == "env:WITNESSTREE_TSA_PASSWORD"
    toml.write_text('[authorities.a]\nurl = "http://a"')
    assert refused(tmp_path).startswith("WITNESSTREE_TSA_PASSWORD is no setting")


def test_ends_of_methods_are_times_with_a_zone(tmp_path: Path, toml: Path) -> None:
    toml.write_text(
        '[ends]\nsha256 = "2035-01-01T01:00:00+01:00"\n"rsa below 3072 bits" ='
        " 2030-01-01T00:00:00Z\n"
    )
    found = read_settings(tmp_path)
    assert found.ends == {
        "sha256": datetime(2035, 1, 1, tzinfo=UTC),
        "rsa below 3072 bits": datetime(2030, 1, 1, tzinfo=UTC),
    }
    assert found.renew_before == timedelta(days=90)
    for text in ("sha256 = 2035-01-01T00:00:00", "md5 = 2035-01-01T00:00:00Z", 'sha256 = "never"'):
        toml.write_text(f"[ends]\n{text}\n")
        assert refused(tmp_path).startswith(f"setting ends.{text.split(maxsplit=1)[0]}")


@pytest.mark.parametrize(
    "value", ["2035", "2035.5", "true", '"2035"', '"2051222400"', "[2035]", "08:00:00"]
)
def test_the_end_of_a_method_is_no_bare_number(tmp_path: Path, toml: Path, value: str) -> None:
    toml.write_text(f"[ends]\nsha256 = {value}\n")
    assert refused(tmp_path).startswith(
        "setting ends.sha256: expected a date and a time with a zone, such as 2035-01-01T00:00:00Z"
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("batch_entries = 0", "settings-too-small"),
        ("batch_entries = 2147483649", "settings-too-large"),
        ("batch_entries = [1]", "settings-not-whole"),
        ("batch_entries = 1.5", "settings-not-whole"),
        ("batch_age = 0", "settings-not-above"),
        ("batch_age = 'soon'", "settings-not-a-duration"),
        ("patience = 'long'", "settings-not-a-number"),
        ("publish_batches = 'perhaps'", "settings-not-true-or-false"),
        ("database = 7", "settings-not-text"),
        ("database = 'mysql://h/d'", "settings-not-a-database"),
        ("chains = 7", "settings-not-a-table"),
        ("chains.a = 7", "settings-not-a-table"),
        ("ipfs = 7", "settings-not-a-table"),
        ("ipfs.recipients = 'age1'", "settings-not-a-list"),
        ("ends.md5 = 2030-01-01T00:00:00Z", "settings-not-one-of"),
        ("ends.sha256 = 2030-01-01T00:00:00", "settings-not-a-moment"),
        ("ends.sha256 = 7", "settings-wrong"),
        ("authorities.a = {url = 'http://a', policy = '1.x'}", "settings-not-an-oid"),
        ("authorities.a = {url = 'http://a', password = 'x'}", "settings-not-a-secret"),
        ("authorities.a = {url = 'http://a', timeout = 9999}", "settings-too-large"),
        ("authorities.a = {url = 'ftp://a'}", "settings-wrong"),
        ("authorities.a = {}", "settings-member-missing"),
        ("chains.a = {chain_id = 9007199254740992, urls = ['http://a']}", "settings-not-below"),
        ("chains.a = {chain_id = 1, urls = []}", "settings-too-short"),
        (
            "chains.a = {chain_id = 1, urls = ['http://a'], contract = '0x1'}",
            "settings-not-an-account",
        ),
        ("chains.a = {chain_id = 1, urls = ['http://a'], fees = 'free'}", "settings-not-one-of"),
        (
            f"ipfs.pin_services = {['a'] * 17}",
            "settings-too-long",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words_of_ours(
    tmp_path: Path, toml: Path, text: str, code: str
) -> None:
    toml.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_settings(tmp_path)
    assert caught.value.message.code == code
    for language in LANGUAGES:
        assert "{" not in worded(caught.value.message, language)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "fee_cap = 90",
            "fee_cap is no setting by itself: fee_cap belongs into a table [chains.NAME]",
        ),
        ("fee_capp = 90", "fee_capp is no setting by itself: fee_cap belongs into a table"),
        ("policys = '1.2'", "policys is no setting by itself: policy belongs into a table"),
    ],
)
def test_a_key_of_a_table_is_sent_there(tmp_path: Path, toml: Path, text: str, said: str) -> None:
    toml.write_text(text)
    assert said in refused(tmp_path)

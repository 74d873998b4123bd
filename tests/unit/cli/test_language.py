"""In which language the command line speaks, and that all of it does."""

import json
import os
import subprocess
from pathlib import Path

import click
import pytest
from commandline import PROGRAM, call, environment, run

from witnesstree.cli.help import show_misuse
from witnesstree.cli.language import asked_language, speak
from witnesstree.cli.main import COMMANDS
from witnesstree.ledger.base.catalogue import CHINESE

LOCALES = ("WITNESSTREE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.mark.parametrize(
    ("arguments", "names", "language"),
    [
        ((), {}, "en"),
        ((), {"LANG": "zh_CN.UTF-8"}, "zh-Hans"),
        ((), {"LANG": "zh_TW.UTF-8"}, "zh-Hans"),
        ((), {"LANG": "de_DE.UTF-8"}, "en"),
        ((), {"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ((), {"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ((), {"LANG": "zh_CN.UTF-8", "LC_ALL": "de_DE.UTF-8"}, "en"),
        ((), {"LANG": "en_GB.UTF-8", "WITNESSTREE_LANG": "zh"}, "zh-Hans"),
        (("--lang", "en"), {"WITNESSTREE_LANG": "zh"}, "en"),
        (("verify", "f", "--lang=zh-Hans"), {}, "zh-Hans"),
        (("--lang", "en", "verify", "--lang", "zh"), {}, "zh-Hans"),
        (("verify", "--lang"), {"LANG": "zh_CN"}, "zh-Hans"),
        (("--lang", "xx"), {"LANG": "zh_CN"}, "zh-Hans"),
    ],
)
def test_the_language_that_is_asked_for(
    arguments: tuple[str, ...],
    names: dict[str, str],
    language: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in LOCALES:
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert asked_language(arguments) == language


def test_a_language_that_is_not_there_is_refused() -> None:
    for arguments in (("--lang", "xx", "status"), ("status", "--lang", "xx")):
        ran = call(*arguments)
        assert ran.code == 2
        assert ran.error() == "Error: there is no language xx here: choose en or zh"


def test_errors_and_misuse_in_chinese() -> None:
    assert (
        call("--lang", "zh", "sael").error_in("错误：") == "错误：没有命令 sael：是不是要用 seal？"
    )
    ran = call("verify", "--lang", "zh", "没有的文件")
    assert ran.code == 5
    assert ran.error_in("错误：").endswith("没有这个文件或文件夹；请检查文件名")
    for arguments, says in (
        (("verify", "--prof", "x"), "没有选项 --prof：是不是要用 --proof？"),
        (("verify",), "缺少 FILE|FOLDER..."),
        (("chain", "--lang", "zh"), "请给出 witnesstree chain 的子命令"),
        (("verify", "f", "--require", "x"), "--require 只能是：token、anchor、both"),
        (("verify", "f", "--proof"), "--proof 后面要有值"),
        (("status", "--check=1"), "--check 后面不能有值"),
        (("status", "x"), "参数后面多出了 x"),
        (("export", "f", "--format", "ers", "--token", "x"), "--token 应是"),
        (("export", "f", "--format", "ers", "--token", "-1"), "--token 应是不小于 0 的数"),
        (("worker", "--interval", "99999"), "--interval 应是 0.05 到 3600 之间的数"),
    ):
        ran = call("--lang", "zh", *arguments)
        assert (ran.code, says in ran.talk) == (2, True), ran.talk
        assert "用法：witnesstree" in ran.talk


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (click.UsageError("something of click's own"), "错误：something of click's own"),
        (
            click.BadParameter("is odd", param=click.Argument(["file"]), param_hint="FILE"),
            "错误：FILE：is odd",
        ),
        (click.BadParameter("is odd", param=click.Option(["--n"], type=int)), "错误：--n 应是数字"),
    ],
)
def test_whatever_click_may_find_is_said(
    error: click.UsageError, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    speak(CHINESE)
    show_misuse(error)
    assert capsys.readouterr().err == f"{says}\n"


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_in_chinese_has_no_english_sentence(name: str) -> None:
    text = call("--lang", "zh", *name.split(), "--help").text
    assert text.startswith("用法：witnesstree")
    prose = [
        line for line in text.splitlines() if not line.startswith(("      witnesstree", "用法"))
    ]
    assert not [line for line in prose if " the " in line or " is " in line or " of " in line]


def test_the_way_of_a_file_in_chinese(tmp_path: Path) -> None:
    (tmp_path / "照片.jpg").write_bytes(b"a photo")
    env = {"WITNESSTREE_HOME": str(tmp_path / "home"), "WITNESSTREE_LANG": "zh"}
    assert "账本" in run("init", env=env, cwd=tmp_path).text
    sealed = run("seal", "照片.jpg", env=env, cwd=tmp_path)
    assert sealed.text == "已固化 照片.jpg（批次 0，位置 2） → 照片.jpg.proof.json\n"
    verified = run("verify", "照片.jpg", env=env, cwd=tmp_path)
    assert verified.text.startswith("已验证（仅本机：对第三方不证明任何事）：“照片.jpg”在 ")
    assert "已经存在，内容与现在逐字节相同。\n  不早于 " in verified.text
    report = run("verify", "照片.jpg", "--json", env=env, cwd=tmp_path)
    english = run("verify", "照片.jpg", "--json", "--lang", "en", env=env, cwd=tmp_path)
    codes = [[check["code"] for check in ran.json["checks"]] for ran in (report, english)]
    assert codes[0] == codes[1]
    reasons = [[check["reason"] for check in ran.json["checks"]] for ran in (report, english)]
    assert not set(reasons[0]) & set(reasons[1])
    (tmp_path / "照片.jpg").write_bytes(b"another")
    failed = run("verify", "照片.jpg", env=env, cwd=tmp_path)
    assert (failed.code, failed.text[:4]) == (3, "未通过：")
    assert "没有等待中的工作" in run("status", env=env, cwd=tmp_path).text


def test_a_language_is_no_setting_that_is_misspelt(tmp_path: Path) -> None:
    env = {"WITNESSTREE_LANG": "zh", "WITNESSTREE_HOME": str(tmp_path / "home")}
    assert run("init", env=env).code == 0
    assert run("status", env={**env, "WITNESSTREE_LNAG": "zh"}).code == 5


def test_a_terminal_that_knows_no_chinese_gets_no_traceback(tmp_path: Path) -> None:
    env = {**environment(LC_ALL="C"), "PYTHONIOENCODING": "", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [PROGRAM, "--lang", "zh", "--help"], capture_output=True, env=env, cwd=tmp_path, check=False
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0


def test_json_is_the_same_in_every_language_but_for_words(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert call("init", "--home", home).code == 0
    both = [call("status", "--home", home, "--json", "--lang", each).json for each in ("en", "zh")]
    assert both[0] == both[1]
    assert json.dumps(both[0])
    assert os.fspath(home) == both[0]["home"]

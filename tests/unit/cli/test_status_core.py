"""`witnesstree status` says which core hashes trees."""

from pathlib import Path

import pytest
from commandline import call
from cores import CORES, using

from witnesstree.ledger.tree import core


@pytest.mark.parametrize("name", CORES)
def test_status_says_which_core_is_in_use(tmp_path: Path, name: str) -> None:
    home = str(tmp_path / "home")
    assert call("init", "--home", home).code == 0
    with using(name):
        expected = core.name()
        assert expected.startswith(name)
        assert call("status", "--home", home, "--json").json["core"] == expected
        said = {
            "native": f"Trees are hashed by the {expected} core\n",
            "python": "Trees are hashed in Python, without the native core\n",
        }
        assert said[name] in call("status", "--home", home).text


def test_the_environment_chooses_the_core(tmp_path: Path) -> None:
    home = str(tmp_path / "home")
    assert call("init", "--home", home).code == 0
    with using(core.name().partition(" ")[0]):
        assert (
            call("status", "--home", home, "--json", env={"WITNESSTREE_CORE": "python"}).json[
                "core"
            ]
            == "python"
        )
        ran = call("status", "--home", home, env={"WITNESSTREE_CORE": "pyhton"})
        assert (ran.code, ran.talk) == (5, "Error: the core is native or python, not 'pyhton'\n")

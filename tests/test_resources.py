"""Bundled files are found by name, by path, and by the path they have in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmrec_bench import resources
from mmrec_bench.errors import ConfigError
from mmrec_bench.resources import bundled, find_yaml, names


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder of its own, as if installed; the working directory is elsewhere."""
    package = tmp_path / "site-packages" / "mmrec_bench"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    return package


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("schema_version: 1\n")
    return path


def test_the_checkout_has_both_folders() -> None:
    assert "amazon-baby" in names("datasets")
    assert find_yaml("datasets", "amazon-baby").read_text().startswith("#")


def test_a_wheel_is_preferred_to_what_lies_beside_it(package: Path) -> None:
    inside = _write(package / "_bundled" / "configs" / "amazon-baby" / "bm3.yaml")
    _write(package.parent / "configs" / "other.yaml")
    _write(package.parent / "pyproject.toml")
    assert bundled("configs") == package / "_bundled" / "configs"
    assert names("configs") == ("amazon-baby/bm3",)
    assert find_yaml("configs", "amazon-baby/bm3") == inside


def test_a_foreign_configs_folder_in_site_packages_is_not_ours(package: Path) -> None:
    _write(package.parent / "configs" / "other.yaml")
    with pytest.raises(ConfigError, match=r"without its folder 'configs'.*Install mmrec-bench again"):
        bundled("configs")


def test_paths_of_the_documentation_work_outside_a_checkout(package: Path) -> None:
    inside = _write(package / "_bundled" / "configs" / "suites" / "quick.yaml")
    for text in ("configs/suites/quick.yaml", "./configs/suites/quick.yaml", "suites/quick.yaml", "suites/quick"):
        assert find_yaml("configs", text) == inside


def test_an_existing_path_comes_before_a_bundled_name(package: Path, tmp_path: Path) -> None:
    _write(package / "_bundled" / "datasets" / "mine.yaml")
    mine = _write(tmp_path / "elsewhere" / "mine.yaml")
    assert find_yaml("datasets", "mine.yaml").resolve() == mine
    assert find_yaml("datasets", mine) == mine


@pytest.mark.parametrize(
    "text", ["", "amazon-babi", "x" * 5000, "../../etc/passwd", "no/such.yaml", "a\0b.yaml", "~x/y"]
)
def test_unknown_names_are_explained(text: str) -> None:
    with pytest.raises(ConfigError, match="unknown dataset card"):
        find_yaml("datasets", text)


def test_what_is_there_and_no_yaml_file_is_not_called_missing(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "card.txt").touch()
    told = {tmp_path: "is a folder", tmp_path / "folder.yaml": "is a folder", tmp_path / "card.txt": "does not end in"}
    for path, message in told.items():
        with pytest.raises(ConfigError, match=f"{message}.*path of a dataset card that ends in .yaml"):
            find_yaml("datasets", path)


def test_unknown_names_list_choices_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'amazon-baby'\? known: .*tiktok"):
        find_yaml("datasets", "amazon-babi")
    with pytest.raises(ConfigError, match="no such file"):
        find_yaml("datasets", "somewhere/mine.yaml")

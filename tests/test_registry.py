from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from mmrec_bench import registry as module
from mmrec_bench.errors import RegistryError
from mmrec_bench.registry import Registry


def test_duplicates_are_refused_and_unknown_names_list_the_choices() -> None:
    registry: Registry[int] = Registry("number")
    registry.register("one", 1)
    registry.register("two", 2)
    assert (registry["one"], registry.names(), "two" in registry) == (1, ("one", "two"), True)
    with pytest.raises(RegistryError, match="'one' is already registered"):
        registry.register("one", 3)
    with pytest.raises(RegistryError, match=r"unknown number 'tow'; did you mean 'two'\? known: one, two"):
        registry["tow"]


def test_a_broken_plug_in_is_named_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Registry[int] = Registry("number", entry_point_group="numbers")

    class Good(EntryPoint):
        def load(self) -> None:
            registry.register("three", 3)

    points = [EntryPoint("bad", "no_such_module_at_all", "numbers"), Good("good", "x", "numbers")]
    monkeypatch.setattr(module, "entry_points", lambda group: points if group == "numbers" else [])
    assert registry["three"] == 3
    with pytest.raises(RegistryError, match=r"plug-in bad .* could not be imported: ModuleNotFoundError"):
        registry["four"]


def test_of_many_names_the_nearest_are_listed() -> None:
    registry: Registry[int] = Registry("number")
    for number in range(200):
        registry.register(f"number-{number}", number)
    with pytest.raises(
        RegistryError, match=r"unknown number 'numbr-17'; .*nearest of 200: (number-\d+, ){7}number-\d+$"
    ):
        registry["numbr-17"]

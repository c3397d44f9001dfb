"""Energy of a run, through codecarbon: measured by the processor's counters where it has some, else an estimate."""

from __future__ import annotations

import logging
import warnings
from types import TracebackType
from typing import Any, Self

from mmrec_bench.extras import import_codecarbon

HOW = {
    "intel_rapl": "processor: measured by its counters (RAPL), which count the whole machine",
    "intel_power_gadget": "processor: measured by its counters (Power Gadget), which count the whole machine",
    "windows_emi": "processor: measured by its counters (EMI), which count the whole machine",
    "cpu_load": "processor: estimated by its design power (TDP) times the load of this process",
    "constant": "processor: estimated by a constant share of its design power (TDP)",
}
"""How codecarbon comes to the energy of a processor, by the name of its mode."""

logger = logging.getLogger(__name__)


class EnergyMeter:
    """Measures while it is open; what goes wrong is logged, and never fails what it measures.

    Nothing is written to disk or sent: a place is asked for by codecarbon to tell emissions, which are not kept.

    Args:
        wanted: Whether to measure at all.

    Attributes:
        facts: Kilowatt hours ``kwh`` and its parts ``cpu_kwh``, ``gpu_kwh``, ``ram_kwh``, and ``how`` that of the
            processor was found; None where nothing was measured.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._tracker: Any = None
        self.facts: dict[str, float | str] | None = None

    def __enter__(self) -> Self:
        if not self._wanted:
            return self
        codecarbon = import_codecarbon()
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of options that all its versions know
                self._tracker = codecarbon.OfflineEmissionsTracker(
                    country_iso_code="USA",
                    tracking_mode="process",
                    measure_power_secs=5,
                    save_to_file=False,
                    save_to_api=False,
                    log_level="critical",
                    allow_multiple_runs=True,
                )
            self._tracker.start()
        except Exception as error:
            self._failed(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tracker is None:
            return
        try:
            self._tracker.stop()
            told = self._tracker.final_emissions_data
            self.facts = {
                "kwh": float(told.energy_consumed),
                "cpu_kwh": float(told.cpu_energy),
                "gpu_kwh": float(told.gpu_energy),
                "ram_kwh": float(told.ram_energy),
                "how": f"{how_of(self._tracker)}; memory: estimated by its size",
            }
        except Exception as caught:
            self._failed(caught)

    def _failed(self, error: Exception) -> None:
        self._tracker = None
        logger.warning("energy was not measured: %s: %s", type(error).__name__, error)


def how_of(tracker: Any) -> str:
    """Return how a tracker of codecarbon finds the energy of the processor."""
    modes = (getattr(part, "_mode", None) for part in getattr(tracker, "_hardware", ()))
    return next((HOW[mode] for mode in modes if mode in HOW), "processor: estimated")

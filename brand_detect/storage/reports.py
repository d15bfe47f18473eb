"""The reports that are stored, and which of them stands for its job."""

from functools import lru_cache

from brand_detect.domain.errors import BadInput
from brand_detect.domain.history import select_report
from brand_detect.domain.pipeline import Stage
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import Store, readable

_KEPT = 4096
"""Manifests that are kept at hand."""


class Reports:
    """The reports of a store. Manifests never change, so each is read once; they take 27 kB, so one may serve many."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.manifest = lru_cache(_KEPT)(store.manifest)

    def all(self, job_id: str) -> list[Manifest]:
        """Every report of the job that can be read, oldest first; errors as ``readable``."""
        refs = self.store.folders(job_id, Stage.compile_report)
        return readable(lambda ref: self.manifest(ref) if self.store.exists(ref) else None, refs)

    def sound(self, job_id: str) -> list[Manifest]:
        """Those of ``all`` whose blocking checks passed."""
        return [made for made in self.all(job_id) if not made.failed_check]

    def find(self, job_id: str, attempt: str = "") -> Manifest:
        """The report ``attempt``, its first letters do, or the newest whose blocking checks passed.

        Raises:
            BadInput: there is none.
        """
        made = self.all(job_id)
        if not made:
            hint = "submit its video first, or name another store with BRAND_DETECT_STORE_ROOT"
            raise BadInput(f"{job_id} has no report in {self.store.root}.", hint)
        return select_report(job_id, made, attempt)

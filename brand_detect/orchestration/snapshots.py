"""Snapshots of the brand list, made by whoever reads it: the sensor, for clients too, or a run in the same process.

Runs read what is stored, so that only the machine of the sensors needs the list and the user's own files: prompts,
quality scales and inventories.
"""

import dagster as dg

from brand_detect.catalog import catalog_to_json
from brand_detect.domain.catalog import BrandCatalog
from brand_detect.domain.errors import Transient
from brand_detect.domain.pipeline import CATALOG
from brand_detect.orchestration.events import catalog_event
from brand_detect.orchestration.lineage import attempt_of, latest_record
from brand_detect.orchestration.resources import Services
from brand_detect.storage.own_files import OwnFiles
from brand_detect.storage.store import Store

OWN_FILES = "brand_detect/own_files"
"""Key under which Dagster's database holds the version of the user's own files."""


def take_snapshot(instance: dg.DagsterInstance, services: Services) -> BrandCatalog:
    """Read the brand list and the user's own files, store them, and record their versions if they have changed.

    Raises:
        BadInput: the list is invalid.
    """
    record_own_files(instance, services)
    store, loaded = services.store, services.read_catalog()
    catalog, recorded = loaded.catalog, latest_record(instance, CATALOG, None)
    if not store.snapshots.has(catalog.version):
        exemplars = (e for brand in catalog.brands for e in brand.exemplars)
        store.snapshots.add(catalog.version, catalog_to_json(catalog), exemplars, loaded.picture)
    if recorded is None or attempt_of(recorded) != catalog.version:
        instance.report_runless_asset_event(catalog_event(store, catalog))
    return catalog


def record_own_files(instance: dg.DagsterInstance, services: Services) -> None:
    """Read the user's own files, and store and record them if they have changed."""
    files, blobs = OwnFiles.read(services.settings), services.store.blobs
    if _recorded(instance) != files.version or not files.is_in(blobs):
        files.store(blobs)
        instance.daemon_cursor_storage.set_cursor_values({OWN_FILES: files.version})


def is_to_be_embedded(store: Store, catalog: BrandCatalog) -> bool:
    """Whether the catalogue has logos and no embeddings of them are stored."""
    return catalog.n_exemplars > 0 and not store.snapshots.vectors(catalog.version)


def own_files(instance: dg.DagsterInstance, store: Store) -> OwnFiles:
    """The user's own files as last recorded.

    Raises:
        Transient: none are recorded yet.
    """
    version = _recorded(instance)
    if version is None:
        raise Transient(
            "Prompts, quality scales and inventories have not been read yet.",
            "try again in half a minute: the sensor brand_catalog_changed reads them, with the brand list",
        )
    return OwnFiles.load(store.blobs, version)


def _recorded(instance: dg.DagsterInstance) -> str | None:
    return instance.daemon_cursor_storage.get_cursor_values({OWN_FILES}).get(OWN_FILES)


@dg.sensor(
    target=dg.AssetSelection.assets(CATALOG),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    required_resource_keys={"services"},
    description="Stores and records the brand list, and own prompts, quality scales and inventories, when they have "
    "changed; new logos are embedded in a run.",
)
def brand_catalog_changed(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    services: Services = context.resources.services
    catalog = take_snapshot(context.instance, services)
    if is_to_be_embedded(services.store, catalog):
        return dg.RunRequest(run_key=catalog.version)  # once: jobs embed what is missing
    return dg.SkipReason(f"The brand list is recorded: {catalog.version}.")

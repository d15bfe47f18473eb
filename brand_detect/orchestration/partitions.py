"""One partition per job."""

import dagster as dg

JOBS = dg.DynamicPartitionsDefinition(name="job_id")
OWNER = "team:brand_detect"

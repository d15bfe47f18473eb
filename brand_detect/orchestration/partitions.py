"""One partition per job."""

from collections.abc import Sequence

import dagster as dg


class Jobs(dg.DynamicPartitionsDefinition):
    """The jobs by their ids.

    For every input and output of a step Dagster asks the database whether the step's own job exists: 140 queries in a
    run of nine steps, a ninth of its CPU time, although the run was launched for an existing job.
    """

    def get_partition_keys_in_range(self, partition_key_range: dg.PartitionKeyRange) -> Sequence[str]:
        if partition_key_range.start == partition_key_range.end:
            return [partition_key_range.start]
        return super().get_partition_keys_in_range(partition_key_range)


JOBS = Jobs(name="job_id")
OWNER = "team:brand_detect"

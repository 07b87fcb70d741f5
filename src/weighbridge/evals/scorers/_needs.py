"""What a scorer asks of a sample."""

from __future__ import annotations

from weighbridge.errors import BadTask
from weighbridge.evals.task import Sample


def targets(sample: Sample) -> tuple[str, ...]:
    """Its right answers. BadTask where it has none."""
    if not sample.targets:
        raise BadTask(
            f"sample {sample.id} has no target", hint="give each line a target, answer or ideal, or use --scorer judge"
        )
    return sample.targets

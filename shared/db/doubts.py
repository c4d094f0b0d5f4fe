"""Whether a job's cost is in doubt: some call's bill is unknown, and nobody has said it since."""


def doubted_beside(said: str) -> str:
    """The condition on `jobs` that an attempt which is not in the CTE `said` is still in doubt."""
    return f"""EXISTS (
        SELECT FROM attempts JOIN ledger AS doubt ON doubt.attempt_id = attempts.id
        WHERE attempts.job_id = jobs.id AND doubt.flagged
          AND attempts.id NOT IN (SELECT attempt_id FROM {said})
          AND NOT EXISTS (SELECT FROM ledger AS sure
                          WHERE sure.attempt_id = attempts.id AND sure.kind = 'adjust'))"""

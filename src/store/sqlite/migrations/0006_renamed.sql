-- Pages whose name or standing changed, one after the other: what an index of names in memory has to catch up with.
-- Append-only, so that the writer's cost is that of a log; the oldest are forgotten.
CREATE TABLE suppressd_renamed (
    seq INTEGER PRIMARY KEY,
    page_id TEXT NOT NULL
) STRICT;

-- A sweep: asked for, run by whoever has the right to the work, and what came of it. Nothing ever wrote the old table.
DROP TABLE suppressd_sweeps;
CREATE TABLE suppressd_sweeps (
    sweep INTEGER PRIMARY KEY,
    asked_at INTEGER NOT NULL,
    what TEXT NOT NULL,
    dry_run INTEGER NOT NULL,
    state TEXT NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    progress TEXT,
    report TEXT
) STRICT;

-- A difference that a sweep found, and whether an event had told it.
CREATE TABLE suppressd_drift (
    sweep INTEGER NOT NULL,
    page_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    canonical_key TEXT,
    since INTEGER NOT NULL,
    found_at INTEGER NOT NULL,
    told TEXT NOT NULL,
    PRIMARY KEY (sweep, page_id)
) STRICT, WITHOUT ROWID;

-- Since when complete sweeps do not find a page: only such a page is left to expire.
ALTER TABLE suppressd_pages ADD COLUMN unfound_since INTEGER;
-- Since when a source is not in the settings any more: nobody asks about its pages.
ALTER TABLE suppressd_sources ADD COLUMN retired_at INTEGER;
-- The database that holds a source, so that settings which name the database are known to mean it. NULL where unknown.
ALTER TABLE suppressd_sources ADD COLUMN database TEXT;

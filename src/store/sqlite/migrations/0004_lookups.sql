-- Which door brought the sighting of a page that is stored. NULL where an older version stored it.
ALTER TABLE suppressd_pages ADD COLUMN seen_by TEXT;
-- Pages of which somebody wants a younger proof, until then; and why that could not be had.
CREATE TABLE suppressd_refreshes (
    page_id TEXT PRIMARY KEY,
    asked_at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    failed TEXT
) STRICT, WITHOUT ROWID;

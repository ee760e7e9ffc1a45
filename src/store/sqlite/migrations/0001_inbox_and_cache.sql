-- The published table, exactly as the pipeline's SignalStore makes it. It may be there already, with rows in it.
CREATE TABLE IF NOT EXISTS suppression_cache (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    canonical_key TEXT NOT NULL UNIQUE,
    notion_page_id TEXT NOT NULL,
    status TEXT NOT NULL,
    company_name TEXT,
    cached_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    metadata TEXT
);
CREATE INDEX IF NOT EXISTS idx_suppression_canonical_key ON suppression_cache (canonical_key);
CREATE INDEX IF NOT EXISTS idx_suppression_notion_page_id ON suppression_cache (notion_page_id);
CREATE INDEX IF NOT EXISTS idx_suppression_expires_at ON suppression_cache (expires_at);

-- Times in our own tables are microseconds since 1970 in UTC.
CREATE TABLE suppressd_inbox (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT,
    occurred_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    door TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,
    reason TEXT,
    body BLOB
) STRICT;
-- What is still to do, by what it is about, within each block of 256 neighbours. Subjects come in any order: with the
-- subject first every event would be written into a leaf of its own, which costs the intake a third of its rate.
CREATE INDEX suppressd_inbox_waiting ON suppressd_inbox (seq >> 8, subject) WHERE state = 'waiting';
-- The blocks in which something waits: few, and found one after the other. Whoever looks for a subject names them.
CREATE VIEW suppressd_waiting_blocks (block) AS
WITH RECURSIVE waiting (block) AS (
    SELECT min(seq >> 8) FROM suppressd_inbox WHERE state = 'waiting'
    UNION ALL
    SELECT (SELECT min(seq >> 8) FROM suppressd_inbox WHERE state = 'waiting' AND seq >> 8 > block)
    FROM waiting WHERE block IS NOT NULL
)
SELECT block FROM waiting WHERE block IS NOT NULL;
-- What a person may ask about. The many settled events are in neither index.
CREATE INDEX suppressd_inbox_unusual ON suppressd_inbox (state, seq) WHERE state IN ('parked', 'ignored', 'unreadable');

CREATE TABLE suppressd_pages (
    page_id TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    standing TEXT NOT NULL,
    last_edited_time INTEGER NOT NULL,
    observed_at INTEGER NOT NULL,
    view TEXT NOT NULL,
    missing_since INTEGER,
    url TEXT,
    mapped TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE suppressd_claims (
    canonical_key TEXT NOT NULL,
    page_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    PRIMARY KEY (canonical_key, page_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX suppressd_claims_of_page ON suppressd_claims (page_id);

CREATE TABLE suppressd_changes (
    seq INTEGER PRIMARY KEY,
    changed_at INTEGER NOT NULL,
    canonical_key TEXT NOT NULL,
    before TEXT,
    after TEXT,
    door TEXT NOT NULL,
    cause TEXT NOT NULL
) STRICT;
CREATE INDEX suppressd_changes_of_key ON suppressd_changes (canonical_key, seq);

CREATE TABLE suppressd_sources (
    source TEXT PRIMARY KEY,
    schema TEXT NOT NULL,
    mapping TEXT NOT NULL,
    hard TEXT NOT NULL,
    resolved_at INTEGER NOT NULL,
    watermark INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE suppressd_sweeps (
    sweep INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    completed_at INTEGER,
    outcome TEXT NOT NULL
) STRICT;

CREATE TABLE suppressd_facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Skipped events touched nothing that a row depends on. A few are samples: `due_at` says when such a one waits after all.
ALTER TABLE suppressd_inbox ADD COLUMN is_sample INTEGER NOT NULL DEFAULT 0;
CREATE INDEX suppressd_inbox_samples ON suppressd_inbox (state, due_at) WHERE is_sample = 1;
-- By what they are about, within each block of 4,096 neighbours, for the reason given at `suppressd_inbox_waiting`.
CREATE INDEX suppressd_inbox_skipped ON suppressd_inbox (seq >> 12, subject) WHERE state = 'skipped';
CREATE VIEW suppressd_skipped_blocks (block) AS
WITH RECURSIVE skipped (block) AS (
    SELECT min(seq >> 12) FROM suppressd_inbox WHERE state = 'skipped'
    UNION ALL
    SELECT (SELECT min(seq >> 12) FROM suppressd_inbox WHERE state = 'skipped' AND seq >> 12 > block)
    FROM skipped WHERE block IS NOT NULL
)
SELECT block FROM skipped WHERE block IS NOT NULL;

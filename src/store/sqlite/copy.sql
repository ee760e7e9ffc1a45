-- What a sweep reads and changes. Bodies of events are large, and no sweep reads them.
INSERT INTO suppression_cache
    (id, canonical_key, notion_page_id, status, company_name, cached_at, expires_at, metadata)
    SELECT id, canonical_key, notion_page_id, status, company_name, cached_at, expires_at, metadata
    FROM original.suppression_cache;
INSERT INTO suppressd_pages SELECT * FROM original.suppressd_pages;
INSERT INTO suppressd_claims SELECT * FROM original.suppressd_claims;
INSERT INTO suppressd_sources SELECT * FROM original.suppressd_sources;
INSERT OR REPLACE INTO suppressd_facts SELECT * FROM original.suppressd_facts;
INSERT INTO suppressd_inbox
    (seq, event_id, kind, subject, occurred_at, received_at, door, state, attempts, due_at, reason)
    SELECT seq, event_id, kind, subject, occurred_at, received_at, door, state, attempts, due_at, reason
    FROM original.suppressd_inbox;

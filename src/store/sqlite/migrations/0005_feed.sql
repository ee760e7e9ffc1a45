-- Names this history of changes: where its name is another one, what a follower holds does not go on from here.
INSERT INTO suppressd_facts (name, value) VALUES ('feed', lower(hex(randomblob(8))));
-- How far the history is forgotten: a follower that has not seen this much cannot go on.
INSERT INTO suppressd_facts (name, value)
    SELECT 'changes_forgotten_through', coalesce(min(seq), 1) - 1 FROM suppressd_changes;

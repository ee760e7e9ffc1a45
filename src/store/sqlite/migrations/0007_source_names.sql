-- What the settings call a source, so that whoever has no settings can name it. NULL where an older version stored it.
ALTER TABLE suppressd_sources ADD COLUMN name TEXT;

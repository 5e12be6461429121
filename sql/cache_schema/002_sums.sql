-- What is shown of the whole is summed without reading the answers themselves.
CREATE INDEX entry_sums ON entry (created, hits);

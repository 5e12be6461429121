-- What a price says beside its four: by kind, length and tier (sql/price_parts.h).
ALTER TABLE model ADD COLUMN price_parts TEXT;  -- a JSON object, as in the document; NULL: nothing more
ALTER TABLE target ADD COLUMN price_parts TEXT;

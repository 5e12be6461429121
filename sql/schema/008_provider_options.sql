-- What some dialects need to be told of a provider; NULL: their own way.
ALTER TABLE provider ADD COLUMN api_version TEXT;        -- azure: of its dated API
ALTER TABLE provider ADD COLUMN anthropic_version TEXT;  -- anthropic: of its API
ALTER TABLE provider ADD COLUMN auth TEXT;               -- 'bearer', 'x-api-key', 'api-key'
ALTER TABLE provider ADD COLUMN faces TEXT;              -- what it speaks itself: 'chat,responses'

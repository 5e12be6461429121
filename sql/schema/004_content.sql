-- What was asked and answered, where setting audit_content has it kept. Sealed under the master key; nothing of it stands
-- in any other table.
CREATE TABLE content (
    ticket     INTEGER PRIMARY KEY,     -- of its audit row; rises with time
    time       INTEGER NOT NULL,        -- of its audit row
    request_id TEXT NOT NULL,
    prompt     BLOB NOT NULL,           -- bound to 'content/TICKET/REQUEST_ID/prompt'
    prompt_cut INTEGER NOT NULL,        -- 1: the request was longer
    answer     BLOB,                    -- bound to 'content/TICKET/REQUEST_ID/answer'; NULL: not kept, or none was given
    answer_cut INTEGER NOT NULL
) STRICT;
CREATE INDEX content_request ON content (request_id);

CREATE TRIGGER audit_gone AFTER DELETE ON audit WHEN old.ticket IS NOT NULL BEGIN
    DELETE FROM content WHERE ticket = old.ticket;
END;

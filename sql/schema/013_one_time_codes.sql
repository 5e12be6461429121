-- One-time codes (RFC 6238) that an administrator may ask of their own log-ins.
ALTER TABLE administrator ADD COLUMN code_sealed BLOB;                       -- bound to 'administrator/NAME'; NULL: none
ALTER TABLE administrator ADD COLUMN code_step   INTEGER NOT NULL DEFAULT 0; -- of the last code that was taken

-- Sums of callers by the hour and by the day, made out of the rollup in the background; all of it can be made again.
CREATE TABLE rollup_fold (
    id       INTEGER PRIMARY KEY,
    kind     TEXT NOT NULL,             -- whose names: team user
    length   INTEGER NOT NULL,          -- of the period, milliseconds: an hour or a day
    start    INTEGER NOT NULL,          -- milliseconds since 1970 UTC, a whole multiple of length
    requests INTEGER NOT NULL,          -- how many it counts; where the rollup has more by now, it is out of date
    sums     BLOB NOT NULL,             -- sql/fold.c
    UNIQUE (kind, length, start)
) STRICT;

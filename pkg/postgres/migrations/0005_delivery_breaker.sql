-- +goose Up
-- A lane's breaker, one for all processes: what one of them finds out the
-- others need not, and a restart forgets nothing.
ALTER TABLE delivery_lane
    ADD COLUMN breaker_openings integer NOT NULL DEFAULT 0, -- in a row; 0 = closed
    ADD COLUMN breaker_since    timestamptz, -- of the first of them
    ADD COLUMN breaker_until    timestamptz, -- nobody calls before; afterwards one call at a time
    ADD COLUMN breaker_trial    timestamptz, -- until when one process has that call
    ADD COLUMN breaker_code     text NOT NULL DEFAULT '';

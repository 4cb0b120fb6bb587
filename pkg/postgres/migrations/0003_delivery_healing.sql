-- +goose Up
-- A lane that was opened again is drained with a ramp that begins here; NULL is
-- a lane that never was blocked.
ALTER TABLE delivery_lane ADD COLUMN opened_at timestamptz;

-- What a destination was found to hold goes to the gateway topic.
ALTER TABLE delivery_outbox DROP CONSTRAINT delivery_outbox_kind_check;
ALTER TABLE delivery_outbox ADD CONSTRAINT delivery_outbox_kind_check CHECK (kind IN ('result', 'notification', 'dead_letter', 'gateway'));

-- What Vulcan does to orders $1 when it removes them.
UPDATE orders SET status = 'CANCELED' WHERE id = ANY ($1::uuid[]) AND status IN ('OPEN', 'BEST_EFFORT_CANCELED')

-- breaks: order
ALTER TYPE urgency RENAME VALUE 'urgent' TO 'hot';

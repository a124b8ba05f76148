ALTER TYPE urgency ADD VALUE 'idle';

"""What a migration did to a copy: recorder, stall probes, effects, advice."""

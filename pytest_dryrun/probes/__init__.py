"""Asking the running application: API, latency, resources, statement statistics, bugs."""

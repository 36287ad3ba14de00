"""What everything else stands on, and what imports nothing of the rest: errors, configs, plug-ins, records, keys."""

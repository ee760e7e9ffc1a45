"""Reads a file of /etc/cron.d: its times must be times, its user a user, and its command one that we install."""

import sys
from datetime import datetime

from croniter import croniter

lines = [line.strip() for line in open(sys.argv[1])]
jobs = [line for line in lines if line and not line.startswith("#") and "=" not in line.split()[0]]
assert jobs, "it has no line"
for job in jobs:
    *times, user, command = job.split(None, 6)
    assert len(times) == 5 and croniter.is_valid(" ".join(times)), f"these are no times: {times}"
    assert user == "root" and command.startswith("/usr/local/bin/suppressdctl "), job
    assert "%" not in command.replace("\\%", ""), "cron makes a line end of %"
    print(f"{command} at {croniter(' '.join(times), datetime(2026, 1, 1)).get_next(datetime)}, and so on")

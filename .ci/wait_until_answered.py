"""Wait until a URL answers with 200, for as long as the process that is to answer lives."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request

url, pid = sys.argv[1], int(sys.argv[2])
until = time.monotonic() + 300
while time.monotonic() < until:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        sys.exit(f"{url} did not answer: the process has ended")
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback, from .ci/run
            print(answer.status, answer.read(200).decode("utf-8", "replace"), flush=True)
            sys.exit(0)
    except (urllib.error.URLError, ConnectionError) as error:
        if isinstance(error, urllib.error.HTTPError):
            sys.exit(f"{url} answered {error.code}: {error.read().decode('utf-8', 'replace')}")
        time.sleep(0.2)
sys.exit(f"{url} did not answer")

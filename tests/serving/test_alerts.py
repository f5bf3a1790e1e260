"""The alerts of serving/deploy/monitoring on series as servers show them, by Prometheus's own unit tests of rules."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

MONITORING = Path(__file__).resolve().parents[2] / "serving" / "deploy" / "monitoring"
PROMTOOL = os.environ.get("PROMTOOL") or shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool, named by $PROMTOOL or on the path")
def test_each_alert_fires_where_it_should_and_nowhere_else():
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", MONITORING / "alerts_test.yml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires():
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
    cases = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for case in cases for one in case["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in rules}
    assert {rule["labels"]["severity"] for rule in rules} == {"page", "ticket"}

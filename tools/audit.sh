#!/usr/bin/env bash
# audit.sh [OUT.json]: asks an open advisory database (OSV) about every version in requirements.lock.
# pip-audit lives in an environment of its own, build/audit, so that the lock stays as it is. Exit: 0 nothing known,
# 1 vulnerabilities (listed), 3 it could not be asked.
set -uo pipefail
cd "$(dirname "$0")/.."
out=${1:-} here=build/audit
report=$here/report.json log=$here/log
python=$(for p in "${PYTHON:-}" .venv/bin/python python3; do command -v "$p" && break; done)

[ -x $here/bin/pip-audit ] || {
    "$python" -m venv --clear $here && $here/bin/python -m pip install -q pip-audit || {
        rm -rf $here
        echo "audit: pip-audit could not be installed (offline?), so nothing was asked. Try again with a network."
        exit 3
    }
}
rm -f $report
# every pin as it stands: nothing is resolved, and nothing is downloaded but advisories
timeout "${AUDIT_SECONDS:-300}" $here/bin/pip-audit --vulnerability-service osv --no-deps --disable-pip \
    --requirement requirements.lock --progress-spinner off --format json --output $report 2>$log
code=$?
[ -s $report ] || {
    echo "audit: the advisory database could not be asked (exit $code), so nothing is known. Its last words:"
    tail -n 1 $log | cut -c1-200
    exit 3
}
PYTHONPATH=. "$python" - $report $out <<'PYTHON'
import json, sys
from pathlib import Path

asked = json.loads(Path(sys.argv[1]).read_text())["dependencies"]
skipped = [d["name"] for d in asked if "skip_reason" in d]
known = {f"{d['name']}=={d['version']}": [{"id": v["id"], "mended_in": v["fix_versions"]} for v in d["vulns"]]
         for d in asked if d.get("vulns")}
print(f"audit: {len(asked) - len(skipped)} packages asked about, {len(known)} with known vulnerabilities")
for name, found in known.items():
    print(f"  {name}: " + ", ".join(f"{v['id']} (mended in {', '.join(v['mended_in']) or 'no version'})" for v in found))
if len(sys.argv) > 2:
    from ponita_edu.tasks.checkpoint import write_json
    from ponita_edu.tasks.run import facts

    write_json(Path(sys.argv[2]), {"about": "tools/audit.sh: the pins of requirements.lock against the database OSV",
                                   "packages": len(asked), "skipped": skipped, "known": known, **facts()})
sys.exit(bool(known))
PYTHON

#!/bin/sh
# One evaluation for cron: nightly.sh SUITE.yaml WORKSPACE [options of `realear evaluate`]
#
# Says nothing when all is well, since cron mails what is said. Otherwise the end of the log comes
# out, and the exit code is realear's: 2 a mistake to mend, 3 more clips failed than tolerated, 4
# rows lost on the way, 5 a gate fired. What is there already is not made again, so a night that was
# cut off is caught up with by the next one. While one still runs, another ends at once.
set -eu
suite=$1 workspace=$2
shift 2
mkdir -p "$workspace/logs"
log="$workspace/logs/$(date -u +%Y-%m-%dT%H%M%SZ).log"

exec 9>"$workspace/logs/lock"
if ! flock -n 9; then
    echo "another evaluation in $workspace is not done yet"
    exit 75 # EX_TEMPFAIL
fi

status=0
realear evaluate "$suite" --out "$workspace" --since last "$@" >"$log" 2>&1 || status=$?
if [ "$status" -ne 0 ]; then
    tail -n 40 "$log"
    echo "realear evaluate $suite ended in $status; all of it is in $log"
fi
find "$workspace/logs" -name '*.log' -mtime +90 -delete
exit "$status"

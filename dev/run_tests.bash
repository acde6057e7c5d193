#!/usr/bin/env bash
# Run all checks and tests; go on after a failure, and fail at the end.
set -o pipefail
cd "$(dirname "$0")/.."
. dev/activate.bash

failed=()
limit=1800 # seconds for a file that runs nodes; limits are for hangs
check() {
  echo "== $*"
  "$@" || failed+=("$*")
}

check ruff check .
check ruff format --check .
check mypy
# The one that asks for the processor to itself comes first.
alone=test/ros/test_overload.py
check timeout -k 5 $limit python -m pytest $alone

# The other tests of nodes wait most of the time: each file has a process and a domain of its own,
# and two run at a time; the training, which takes longest, begins. Those that compute run
# meanwhile, in what is left of the processor, and are shown at the end.
folder=$(mktemp -d)
nice -n 19 timeout -k 5 7200 python -m pytest test --ignore=test/ros >"$folder/output" 2>&1 &
computing=$!
trap 'kill $computing 2>/dev/null; rm -rf "$folder"' EXIT
export folder limit
printf '%s\n' test/ros/test_training.py test/ros/test_*.py | awk '!seen[$0]++' | grep -v $alone |
  xargs -n 1 -P 2 --process-slot-var=TEST_LANE bash -c '
    output=$(timeout -k 5 $limit python -m pytest "$1" 2>&1) || echo "$1" >>"$folder/failed"
    exec 9>"$folder/lock" && flock 9 && echo "== python -m pytest $1" && echo "$output"' _
[ -e "$folder/failed" ] && mapfile -t -O ${#failed[@]} failed <"$folder/failed"
echo '== python -m pytest test --ignore=test/ros'
wait $computing || failed+=('test --ignore=test/ros')
cat "$folder/output"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo 'all checks and tests passed'

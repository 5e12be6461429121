#!/bin/sh
# Runs every suite that fits CI and adds them up; the last line is `N passed, N failed`.
passed=0 failed=0
for t in $UNIT; do
    if timeout 300 "$t" >"$t.log" 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); cat "$t.log"; fi
done
timeout 900 "$PYTHON" -m pytest -q --noconftest tests/flow/test_cli.py >"$WEIR_BUILD/flow.log" 2>&1 || cat "$WEIR_BUILD/flow.log"
sum() { sed -n "s/.*[^0-9]\{0,1\}\([0-9][0-9]*\) $1.*/\1/p" "$WEIR_BUILD/flow.log" | tail -1; }
p=$(sum passed) f=$(sum failed) e=$(sum error)
passed=$((passed + ${p:-0})); failed=$((failed + ${f:-0} + ${e:-0}))
[ "${p:-0}" -gt 0 ] || failed=$((failed + 1))
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

#!/bin/sh
# Runs the suites it is told and adds them up; the last line is `N passed, N failed`, the exit status says the same.
# Usage: B=build PYTHON=build/venv/bin/python sh tests/all.sh SUITE...   (make test, asan, tsan and fuzz build first)
#   lint, demo     one script each                  unit[-asan|-tsan]    the cmocka programs
#   fuzz           each target, FUZZ_SECONDS long   flow, fault[-asan|-tsan]   pytest
# One suite after the other; within one, WORKERS (the cores, at most 4) programs or files of tests at a time.
B=${B:-build}
case $B in /*) ;; *) B=$PWD/$B;; esac
FUZZ_SECONDS=${FUZZ_SECONDS:-10}
PYTHON=${PYTHON:-python3}
cores=$(nproc)
WORKERS=${WORKERS:-$((cores < 4 ? cores : 4))}
mkdir -p "$B/log"
all_passed=0 all_failed=0

begin() { passed=0 failed=0 skipped=0 name=$1 started=$(date +%s); log=$B/log/$1.log; : >"$log"; }
end() {
    text="$passed passed, $failed failed"
    [ "$skipped" = 0 ] || text="$text, $skipped skipped"
    printf '%-12s %s (%s s)\n' "$name" "$text" "$(($(date +%s) - started))"
    all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
}

# The build a suite runs on, and what its sanitizer is told; reports go to files, so that none is missed.
build_of() {
    slow=1 build=$B
    unset ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS LSAN_OPTIONS WEIR_FENCE
    case $1 in
    *-asan) slow=3 build=$B-asan ;;
    *-tsan) slow=5 build=$B-tsan ;;
    *) return ;;
    esac
    reports=$build/reports
    rm -rf "$reports"; mkdir -p "$reports"
    export WEIR_FENCE=off # a report is written outside it
    export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:log_path=$reports/asan"
    export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/ubsan"
    export TSAN_OPTIONS="second_deadlock_stack=1:log_path=$reports/tsan"
}
look_at_reports() {
    [ "$build" != "$B" ] || return
    for r in "$reports"/*; do
        [ -s "$r" ] || continue
        failed=$((failed + 1))
        echo "---- $name: $r"; head -60 "$r"
    done
}

script_suite() { # NAME SECONDS COMMAND...
    begin "$1"; limit=$2; shift 2
    if B=$B timeout -k 10 "$limit" "$@" >"$log" 2>&1; then passed=1; else failed=1; cat "$log"; fi
    end
}

# sum TEXT: adds up the numbers in cmocka's lines that begin with TEXT.
sum() { sed -n "s/^\[  $1  \] \([0-9]*\) test(s).*/\1/p" "$2" | awk '{ n += $1 } END { print n + 0 }'; }
unit_suite() { # NAME [PROGRAM...]: WORKERS programs at a time
    begin "$1"; build_of "$1"; shift
    [ $# -gt 0 ] || set -- $(ls tests/unit/test_*.c | sed 's|.*/\(.*\)\.c$|\1|')
    printf '%s\n' "$@" | WEIR_TEST_SLOW=$slow xargs -P "$WORKERS" -I '{}' \
        sh -c 'timeout -k 10 300 "$0/unit/$2" >"$1.$2" 2>&1; echo $? >"$1.$2.exit"' "$build" "$log" '{}'
    for t in "$@"; do
        one=$log.$t; status=$(cat "$one.exit")
        p=$(sum PASSED "$one") f=$(sum FAILED "$one")
        [ "$status" = 0 ] || [ "$f" != 0 ] || f=1 # died, or was still running
        [ "$status" != 0 ] || [ "$p" != 0 ] || f=1 # tested nothing
        passed=$((passed + p)) failed=$((failed + f))
        cat "$one" >>"$log"
        [ "$f" = 0 ] || { echo "---- $t: exit $status"; tail -60 "$one"; }
        rm -f "$one" "$one.exit"
    done
    look_at_reports
    end
}

fuzz_suite() { # all targets side by side: each is one thread and bounded by the clock
    begin fuzz
    pids=
    for c in tests/fuzz/fuzz_*.c; do
        t=$(basename "$c" .c) corpus=tests/fuzz/corpus/${c##*fuzz_}
        corpus=${corpus%.c}
        mkdir -p "$B-fuzz/found/$t" "$corpus"
        timeout -k 10 $((FUZZ_SECONDS + 60)) "$B-fuzz/fuzz/$t" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 \
            -print_final_stats=1 -artifact_prefix="$B-fuzz/$t-" "$B-fuzz/found/$t" "$corpus" >"$B/log/$t.log" 2>&1 &
        pids="$pids $!:$t"
    done
    for p in $pids; do
        t=${p#*:}
        if wait "${p%%:*}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "---- $t"; tail -40 "$B/log/$t.log"; fi
        printf '%-12s %s inputs\n' "$t" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$B/log/$t.log")"
    done
    end
}

# count WORD: the number before it in pytest's last line, or 0.
count() { tail -1 "$log.one" | sed -n "s/.*[^0-9]\([0-9][0-9]*\) $1.*/\1/p;s/^\([0-9][0-9]*\) $1.*/\1/p" | tail -1 | grep . || echo 0; }
pytest_run() { # DIRECTORY SECONDS MARK [OPTION...]: the tests that the expression of markers chooses
    directory=$1 limit=$2 mark=$3; shift 3
    WEIR_BUILD=$build WEIR_TEST_SLOW=$slow timeout -k 20 $((limit * slow)) "$PYTHON" -m pytest -q -p no:cacheprovider --color=no \
        -o timeout=$((60 * slow)) -m "$mark" "$@" "tests/$directory" >"$log.one" 2>&1
    status=$?
    p=$(count passed) f=$(($(count failed) + $(count error))) s=$(count skipped)
    [ "$status" = 0 ] || [ "$f" != 0 ] || f=1 # did not come to its end
    [ "$p" != 0 ] || [ "$f" != 0 ] || f=1 # tested nothing
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    cat "$log.one" >>"$log"
    [ "$status" = 0 ] || cat "$log.one"
    rm -f "$log.one"
}
# Files of tests side by side, each worker with a mock, data directories and web servers of its own; then, with nothing
# beside them, the tests that look at the clock or at what a request costs.
pytest_suite() { # NAME DIRECTORY SECONDS
    begin "$1"; build_of "$1"
    pytest_run "$2" "$3" 'not alone' -n "$WORKERS" --dist loadfile --no-loadscope-reorder
    ! grep -q 'pytest\.mark\.alone' tests/"$2"/*.py || pytest_run "$2" "$3" alone
    look_at_reports
    end
}

for suite in "$@"; do
    case $suite in
    lint)      script_suite lint 120 sh tests/lint.sh ;;
    demo)      script_suite demo 120 sh tests/demo.sh ;;
    unit | unit-asan) unit_suite "$suite" ;;
    unit-tsan) unit_suite unit-tsan test_writer test_store ;;
    fuzz)      fuzz_suite ;;
    flow*)     pytest_suite "$suite" flow 1500 ;;
    fault*)    pytest_suite "$suite" fault 600 ;;
    *)         echo "tests/all.sh: $suite: no such suite" >&2; exit 2 ;;
    esac
done
echo "$all_passed passed, $all_failed failed"
[ "$all_failed" = 0 ] && [ "$all_passed" != 0 ]

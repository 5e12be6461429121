#!/bin/sh
# make lint: the rules of style that a script can see. Prints FILE:LINE: RULE for each breach; exit 1 if there is one.
# A rule here is about shipped code (fcgi, sql, admin) unless it says otherwise.
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
: >"$work/found"

shipped=$(find fcgi sql admin -name '*.[ch]' | sort)
all_c=$(find fcgi sql admin tests -name '*.[ch]' -not -path '*/corpus/*' | sort)
texts="$(find fcgi sql admin tests www -type f -not -name "*-min.js*" -not -path '*/corpus/*' -not -path '*/__pycache__/*' -not -path '*/.*' | sort) lighttpd.conf README.md CHANGELOG.md"

# ---- each line as code: comments and the insides of string literals taken out ----
# strip.awk prints FILE:LINE:CODE; with strings=1 it prints FILE:LINE:LITERAL for each string literal instead.
cat >"$work/strip.awk" <<'AWK'
FNR == 1 { in_comment = 0 }
{
    line = $0; code = ""; literal = ""
    n = length(line); in_string = 0; quote = ""
    for (i = 1; i <= n; i++) {
        c = substr(line, i, 1); two = substr(line, i, 2)
        if (in_comment) { if (two == "*/") { in_comment = 0; i++ } continue }
        if (in_string) {
            if (c == "\\") { literal = literal substr(line, i, 2); i++; continue }
            if (c == quote) {
                in_string = 0; code = code quote
                if (strings && quote == "\"") print FILENAME ":" FNR ":" literal
                literal = ""; continue
            }
            literal = literal c; continue
        }
        if (two == "/*") { in_comment = 1; i++; continue }
        if (two == "//") break
        if (c == "\"" || c == "'") { in_string = 1; quote = c }
        code = code c
    }
    if (!strings) print FILENAME ":" FNR ":" code
}
AWK
awk -f "$work/strip.awk" $shipped >"$work/code"
awk -v strings=1 -f "$work/strip.awk" $shipped >"$work/strings"

# breach RULE: every FILE:LINE:REST on stdin breaks it.
breach() { awk -F: -v rule="$1" '{ rest = $0; sub(/^[^:]*:[^:]*:/, "", rest); sub(/^[ \t]+/, "", rest); print $1 ":" $2 ": " rule ": " substr(rest, 1, 90) }' >>"$work/found"; }
# code REGEX [FILES]: the lines of code that match; of files whose names match FILES.
code() { awk -F: -v re="$1" -v files="${2:-.}" '$1 ~ files { rest = $0; sub(/^[^:]*:[^:]*:/, "", rest); if (rest ~ re) print }' "$work/code"; }

# ---- what is not called ----
word='(^|[^A-Za-z0-9_])'
code "$word(strcpy|strcat|strncat|stpcpy|sprintf|vsprintf|gets|scanf|sscanf|fscanf|strtok|alloca|tmpnam|tempnam|mktemp) *\\(" |
    breach 'without a bound'
code "$word(system|popen|execl|execlp|execle|wordexp) *\\(" | breach 'nothing goes to a shell'
code "$word(atoi|atol|atoll|atof) *\\(" | breach 'cannot tell an error'
code "$word(rand|srand|random|drand48) *\\(" | breach 'randomness is libsodium'"'"'s'
code "$word(localtime|gmtime|ctime|asctime|strerror_l|getpwnam|gethostbyname|inet_ntoa|readdir_r) *\\(" | breach 'not for threads'
code "$word(setjmp|longjmp|setlocale|sleep|usleep) *\\(" | breach 'not here'
code "$word(exit|_exit|abort|assert|perror) *\\(" '^(fcgi|sql)/' | grep -v '^fcgi/main\.c:' | breach 'a room does not end the process'
code "$word(printf|puts|putchar) *\\(" '^(fcgi|sql)/' | breach 'the gateway writes by its doors and its log'
code '^ *typedef (struct|union|enum)' | breach 'struct x without typedef'

# ---- doors and rooms ----
# outside HEADER FILE: only FILE includes it.
outside() { grep -nE "^#include <$1" $shipped | grep -v "^$2:" | breach "only $2 includes it"; }
outside 'curl/' fcgi/door/http_room.h
outside 'json-c/' fcgi/door/json.c
outside 'jwt\.h' fcgi/door/jwt.c
outside 'openssl/' 'fcgi/door/\(pem\|hmac\).c'
outside 'sqlite3' 'sql/\(db\|db_log\).c'
outside 'sodium' fcgi/base/secret.c
outside 'zstd' fcgi/door/pack.c
outside 'zlib' fcgi/door/inflate.c
# A file includes only what stands in its own room or one above; a step of the pipeline includes no other step.
awk '
function room(path) {
    if (path ~ /^fcgi\/base\//) return 1
    if (path ~ /^fcgi\/door\//) return 2
    if (path ~ /^sql\// || path ~ /^(sql|cache)_ids\.h$/) return 3
    if (path ~ /^fcgi\/provider\//) return 4
    if (path ~ /^fcgi\/stage\//) return 5
    if (path ~ /^fcgi\/[a-z_]*\.[ch]$/) return 6
    if (path ~ /^admin\//) return 7
    return 0
}
function step(path) { # the step of the pipeline that a file belongs to
    if (path !~ /^fcgi\/stage\//) return ""
    sub(/^fcgi\/stage\//, "", path); sub(/\.[ch]$/, "", path); sub(/_.*/, "", path)
    if (path == "attempt") path = "relay"
    return path ~ /^(request|authenticate|parse|plan|cache|admit|relay|settle)$/ ? path : ""
}
/^#include "/ {
    split($0, part, "\""); to = part[2]; from = FILENAME; why = ""
    if (!room(to)) why = "no room of that name"
    else if (room(from) == 7 && (room(to) == 5 || (room(to) == 6 && to != "fcgi/housekeeper.h"))) why = "admin knows no stages"
    else if (room(to) > room(from)) why = "a room includes only those above it"
    else if (room(from) != 7 && to ~ /^admin\//) why = "a room includes only those above it"
    else if (step(from) != "" && step(to) != "" && step(from) != step(to)) why = "stages never include one another"
    if (why != "") print FILENAME ":" FNR ":" why ": " $0
}' $shipped | breach 'rooms'

# ---- pages are written by HTML() only, whose form must be a literal to compile ----
code "$word(buf_(add|span|str|char|int|printf|room)|html_fill|conn_write) *\\( *out" '^admin/page' | breach 'pages are written with HTML()'
code "$word(html_fill) *\\(" '^admin/' | grep -v '^admin/html\.[ch]:' | breach 'HTML(), not html_fill()'

# ---- SQL stands in .sql files ----
awk -F: '{ s = $0; sub(/^[^:]*:[^:]*:/, "", s); if (s ~ /^ *(SELECT .*|INSERT (OR [A-Z]+ )?INTO|UPDATE [a-z_]+ SET|DELETE FROM|REPLACE INTO|CREATE (TABLE|INDEX)|DROP |ALTER TABLE|PRAGMA |ATTACH |VACUUM|BEGIN (IMMEDIATE|EXCLUSIVE)|WITH .* AS)/) print }' "$work/strings" |
    grep -v '^sql/db\.c:' | breach 'SQL stands in .sql files'

# ---- every bound has a test at its edge and one past it: tests/bounds.txt says which ----
for bound in $(sed -n 's/^#define \(BOUND_[A-Z0-9_]*\).*/\1/p' fcgi/base/bounds.h); do
    set -- $(awk -v b="$bound" '$1 == b { print $2, $3 }' tests/bounds.txt)
    [ $# = 2 ] && grep -qsE "^(static void|def) $2\(" "$1" || grep -nH "define $bound " fcgi/base/bounds.h
done | breach 'a bound without a test (tests/bounds.txt)'
grep -nHo '^BOUND_[A-Z0-9_]*' tests/bounds.txt | while IFS=: read -r file line bound; do
    grep -q "^#define $bound " fcgi/base/bounds.h || echo "$file:$line:$bound"
done | breach 'no such bound'

# ---- the look of a file ----
for f in $all_c; do
    case $(head -c 2 "$f") in '/*') ;; *) echo "$f:1:" | breach 'no sign on the door: a file begins with a comment';; esac
done
for f in $(echo "$shipped" | grep '\.h$'); do
    grep -q '^#ifndef WEIR_[A-Z0-9_]*_H$' "$f" || echo "$f:1:" | breach 'no include guard WEIR_..._H'
done
awk 'length($0) > 125 { print FILENAME ":" FNR ":" $0 }' $shipped $(find sql -name '*.sql') | breach 'longer than 125'
grep -nE '[ 	]+$' $all_c $(find tests -name '*.py' -o -name '*.sh') | breach 'blanks at the end'
grep -n '	' $all_c $(find sql -name '*.sql') $(find tests -name '*.py') | breach 'a tab'
for f in $texts; do [ -z "$(tail -c 1 "$f")" ] || echo "$f:$(wc -l <"$f"):" | breach 'no newline at the end'; done
grep -nE '(^|[^A-Za-z0-9-])(TODO|FIXME|XXX)([^A-Za-z0-9]|$)' $texts | grep -v '^tests/lint.sh:' | breach 'left to do'

# ---- what clang sees beyond -Wall -Wextra ----
if command -v clang >/dev/null; then
    WARN='-Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wcast-align -Wundef -Wunused-macros -Wunreachable-code
        -Wmissing-variable-declarations -Wmissing-prototypes -Wstrict-prototypes -Wconditional-uninitialized -Wimplicit-fallthrough
        -Wnull-dereference -Wwrite-strings -Wdouble-promotion -Wfloat-equal -Wformat=2 -Wno-format-nonliteral -Wbad-function-cast
        -Wvla -Wcomma -Wno-comma -Wassign-enum -Wcovered-switch-default -Widiomatic-parentheses -Wloop-analysis'
    cflags=$(pkg-config --cflags libcurl json-c sqlite3 libsodium 2>/dev/null)
    for f in $(echo "$shipped" | grep '\.c$'); do
        clang -fsyntax-only -std=c11 -D_GNU_SOURCE -DWEIR_VERSION='"lint"' -I. -I"$B/gen" $WARN $cflags "$f" 2>"$work/clang"
        grep -E ': (warning|error|fatal error): ' "$work/clang" | sed -E 's/:([0-9]+):[0-9]+: /:\1:/' | breach clang
    done
else
    echo 'lint: no clang here, its warnings were not looked at'
fi

sort -u "$work/found" | sort -s -t: -k1,1 -k2,2n | tee "$work/sorted"
count=$(wc -l <"$work/sorted")
[ "$count" = 0 ] && echo "lint: $(echo "$shipped" | wc -l) files, no breach" || echo "lint: $count breaches"
[ "$count" = 0 ]

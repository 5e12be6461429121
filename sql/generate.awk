# Turns the closed lists of statements into C. Usage: awk -v out=ids|list -v name=gateway -f generate.awk FILE.sql ...
# The ids of list `cache` are an enumeration of their own.
# A statement is what stands between one line `-- name: some_name` and the next; its number is its place.
function flush_statement() {
    if (id == "") return
    sub(/[ \t\n;]+$/, "", text)
    gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); gsub(/\n/, "\\n\"\n    \"", text)
    if (out == "ids") printf "    SQL_%s,\n", toupper(id)
    else printf "    /* %s */\n    \"%s\",\n", id, text
    id = ""; text = ""
}
BEGIN {
    if (out == "ids") {
        of = name == "cache" ? "cache" : "sql"
        printf "/* Made from the lists in sql by sql/generate.awk. */\n#ifndef WEIR_%s_IDS_H\n#define WEIR_%s_IDS_H\nenum %s_id {\n", toupper(of), toupper(of), of
    }
    else print "/* Made from the lists in sql by sql/generate.awk. */\n#include \"sql/db.h\"\nstatic const char *const text[] = {"
}
/^-- name: / { flush_statement(); id = $3; next }
/^--/ { next }
id != "" && (text != "" || $0 !~ /^[ \t]*$/) { text = text (text == "" ? "" : "\n") $0 }
END {
    flush_statement()
    if (out == "ids") printf "    %s_COUNT\n};\n#endif\n", toupper(of)
    else printf "};\nconst struct sql_list sql_%s = {text, sizeof text / sizeof *text, %s};\n", name, name == "gateway" ? "true" : "false"
}

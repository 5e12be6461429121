# Turns NNN_name.sql files, in order, into a C table of migrations. Usage: awk -v table=migrations -f embed.awk FILE...
function c_line(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "    \"" s "\\n\"" }
BEGIN { print "/* Made from the schemas in sql by sql/embed.awk. */\n#include <stddef.h>\n#include \"sql/migrations.h\"\nconst struct migration " table "[] = {" }
FNR == 1 {
    n = split(FILENAME, part, "/")
    if (part[n] + 0 != ++number) { print FILENAME ": expected number " number > "/dev/stderr"; exit 1 }
    if (NR > 1) print "    },"
    printf "    {%d, \"%s\",\n", part[n] + 0, part[n]
}
{ print c_line($0) }
END { print "    },\n    {0, NULL, NULL}\n};" }

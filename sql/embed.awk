# Turns sql/schema/NNN_name.sql, in order, into the C table of migrations.
function c_line(s) { gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); return "    \"" s "\\n\"" }
BEGIN { print "/* Made from sql/schema by sql/embed.awk. */\n#include <stddef.h>\n#include \"sql/migrations.h\"\nconst struct migration migrations[] = {" }
FNR == 1 { n = split(FILENAME, part, "/"); if (NR > 1) print "    },"; printf "    {%d, \"%s\",\n", part[n] + 0, part[n] }
{ print c_line($0) }
END { print "    },\n    {0, NULL, NULL}\n};" }

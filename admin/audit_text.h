/* Audit rows as others read them: a line of JSON, a line of CSV. */
#ifndef WEIR_ADMIN_AUDIT_TEXT_H
#define WEIR_ADMIN_AUDIT_TEXT_H

#include "sql/audit.h"
#include "fcgi/base/buf.h"

/* The members and their form are those of `weir audit --json`; a line end behind it. */
void audit_json_row(struct buf *out, const struct audit_row *r);
/* The same object without a line end. */
void audit_json_object(struct buf *out, const struct audit_row *r);

/* RFC 4180. A field that a spreadsheet would take for a formula begins with an apostrophe. */
#define AUDIT_CSV_HEAD \
    "time,request_id,user,team,role,rolegroup,key,ip,endpoint,alias,provider,model,stream,status,outcome,attempts,cache," \
    "prompt_tokens,cached_tokens,cache_write_tokens,completion_tokens,cost,usage_source,first_byte_ms,latency_ms,error," \
    "context\r\n"
void audit_csv_row(struct buf *out, const struct audit_row *r);

#endif

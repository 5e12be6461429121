/* `weir audit --content`: what was asked and answered, opened with the master key. Whoever can read that file is an
 * administrator. */
#include <stdio.h>

#include "admin/command.h"
#include "fcgi/base/bounds.h"
#include "fcgi/base/jscan.h"
#include "fcgi/base/text.h"
#include "sql/content.h"

#define LINE_MOST (16 * BOUND_CONTENT) /* prompt and answer, where every byte becomes an escape of six */
#define DEPTH (BOUND_JSON_DEPTH + 8)   /* a stream's answer has its events some levels deeper (fcgi/stage/record.h) */

struct printed { int rows; bool whole; };

/* JSON as it is, on one line: whatever breaks a line outside of its strings is white space. A text where it is none, as
 * a request that was cut. */
static void put_value(struct buf *out, struct span text)
{
    struct jfault fault;
    struct jval root;

    if (!text.at || jscan_check(text, DEPTH, &root, &fault)) {
        json_string(out, text);
        return;
    }
    for (size_t i = 0; i < root.text.len; i++) buf_char(out, (unsigned char)root.text.at[i] < ' ' ? ' ' : root.text.at[i]);
}

static void print_content(const struct content *c, void *arg)
{
    struct printed *p = arg;
    struct buf line;
    char time[TIME_TEXT];

    buf_init(&line, LINE_MOST);
    time_text(c->time, time);
    buf_printf(&line, "{\"time\": \"%s\", \"request_id\": ", time);
    json_string(&line, span_of(c->request_id));
    buf_str(&line, ", \"prompt\": ");
    put_value(&line, c->prompt);
    buf_printf(&line, ", \"prompt_cut\": %s, \"answer\": ", c->prompt_cut ? "true" : "false");
    put_value(&line, c->answer);
    buf_printf(&line, ", \"answer_cut\": %s}", c->answer_cut ? "true" : "false");
    p->whole &= line.err == WEIR_OK && puts(buf_cstr(&line)) >= 0;
    p->rows++;
    buf_free(&line);
}

int audit_content(struct weir *w, const char *request_id)
{
    struct printed printed = {.whole = true};
    struct master_key *master = NULL;
    struct db *db;
    enum weir_err err;
    int code = EXIT_REFUSED;

    if (!weir_open(w, DB_READ, &db)) return EXIT_REFUSED;
    if (weir_master(w, &master)) {
        err = content_read(db, master, request_id, print_content, &printed);
        if (!err && !printed.whole) err = WEIR_NOMEM;
        if (err) weir_failed("the content cannot be shown", err, db);
        else if (!printed.rows) say("nothing is kept of a request %s (weir settings audit_content)", request_id);
        else code = finish_output();
    }
    master_key_free(master);
    db_close(db);
    return code;
}

/* The background of weir-admin.fcgi: a thread that adds up what the charts will ask for (sql/fold.h). */
#ifndef WEIR_ADMIN_WEB_FOLD_H
#define WEIR_ADMIN_WEB_FOLD_H

#include "fcgi/base/err.h"

struct web_folder;

/* Both strings must live until web_fold_stop. WEIR_NOMEM: charts over long times stay slow, nothing else. */
enum weir_err web_fold_start(const char *data_dir, const char *db_path, struct web_folder **out);
void web_fold_stop(struct web_folder *f); /* waits for the step under way; NULL is fine */

#endif

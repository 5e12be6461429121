/* What a process serves requests with. */
#ifndef WEIR_GATEWAY_H
#define WEIR_GATEWAY_H

#include "fcgi/place.h"
#include "fcgi/stage/authenticate.h"
#include "fcgi/stage/relay.h"
#include "fcgi/stage/request.h"

struct gateway {
    struct places *places;
    struct relay_tools tools;
    struct gate gate;
    struct id_source *ids;
    const char *mount; /* URL prefix, "" for none */
};

#endif

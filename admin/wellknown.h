/* Providers that `weir init` finds in the environment, their addresses and common models; and the built-in mock. */
#ifndef WEIR_ADMIN_WELLKNOWN_H
#define WEIR_ADMIN_WELLKNOWN_H

struct wellknown {
    const char *provider, *dialect;
    const char *key_env;  /* its value is the key; NULL: no key */
    const char *host_env; /* its value is the address; NULL: base_url is */
    const char *base_url; /* the address, or what stands behind the host's */
    const char *const *models; /* "alias=model" or "model" where both are the same; NULL ends the list */
};

extern const struct wellknown wellknown[]; /* provider NULL ends it */

#endif

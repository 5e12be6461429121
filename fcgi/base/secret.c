/* Secrets and what is done with them; the only file that includes libsodium. Nothing here logs.
 * Secrets lie in sodium_malloc's memory: pages of their own between guard pages, kept out of core dumps and swap,
 * wiped when freed. Where RLIMIT_MEMLOCK forbids the locking, sodium_malloc goes on without it, so the limit costs
 * protection from swap and never the start; and as no page is shared, freeing one secret unlocks no other (which
 * malloc with mlock would do). The price, four pages a secret, is small: there are tens of them, not thousands. */
#include "fcgi/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MASTER_LEN 32

struct secret {
    size_t len;
    char at[];
};

/* Two keys are derived from the file's, so that what is hashed and what is sealed share none. */
struct parts {
    unsigned char hash[crypto_generichash_KEYBYTES];
    unsigned char seal[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
};

struct master_key {
    struct parts *parts;   /* locked memory, read-only but while it is renewed */
    pthread_rwlock_t lock; /* of the seal; the hash never changes once others know of the key */
};

_Static_assert(MASTER_LEN == crypto_kdf_KEYBYTES, "a master key is a key of crypto_kdf");
_Static_assert(SECRET_HASH_LEN == crypto_generichash_BYTES, "client_hash holds one BLAKE2b-256");

enum weir_err secret_start(void)
{
    return sodium_init() < 0 ? WEIR_INTERNAL : WEIR_OK;
}

/* sodium_malloc puts the end at a page's end: only a rounded size gives an aligned start. */
static void *locked_alloc(size_t size)
{
    return sodium_malloc((size + 15) & ~(size_t)15);
}

struct secret *secret_new(struct span bytes)
{
    struct secret *s = locked_alloc(sizeof *s + bytes.len + 1);
    if (!s)
        return NULL;
    s->len = bytes.len;
    if (bytes.len)
        memcpy(s->at, bytes.at, bytes.len);
    s->at[bytes.len] = '\0';
    sodium_mprotect_readonly(s);
    return s;
}

void secret_free(struct secret *s)
{
    sodium_free(s);
}

struct span secret_reveal(const struct secret *s)
{
    return (struct span){s->at, s->len};
}

bool secret_is_quoted(const struct secret *s, struct span text)
{
    return s && s->len && text.len >= s->len && memmem(text.at, text.len, s->at, s->len) != NULL;
}

static bool write_all(int fd, const unsigned char *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        bytes += done;
        n -= (size_t)done;
    }
    return true;
}

enum weir_err master_key_make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? WEIR_EXISTS : WEIR_IO;

    unsigned char key[MASTER_LEN];
    randombytes_buf(key, sizeof key);
    bool done = write_all(fd, key, sizeof key) && fsync(fd) == 0;
    sodium_memzero(key, sizeof key);
    if (close(fd) != 0)
        done = false;
    if (!done)
        unlink(path);
    return done ? WEIR_OK : WEIR_IO;
}

/* Reads the whole file into key. */
static enum weir_err read_key(const char *path, unsigned char key[MASTER_LEN])
{
    enum weir_err err = WEIR_IO;
    struct stat st;
    size_t have = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? WEIR_NOT_FOUND : WEIR_IO;
    if (fstat(fd, &st) != 0)
        goto out;
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        err = WEIR_INVALID;
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_size != MASTER_LEN) {
        err = WEIR_CORRUPT;
        goto out;
    }
    while (have < MASTER_LEN) {
        ssize_t n = read(fd, key + have, MASTER_LEN - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            goto out;
        have += (size_t)n;
    }
    err = WEIR_OK;
out:
    close(fd);
    return err;
}

struct master_key *master_key_blank(void)
{
    struct master_key *m = malloc(sizeof *m);
    if (!m) return NULL;
    if (!(m->parts = locked_alloc(sizeof *m->parts))) {
        free(m);
        return NULL;
    }
    sodium_memzero(m->parts, sizeof *m->parts);
    pthread_rwlock_init(&m->lock, NULL);
    return m;
}

enum weir_err master_key_load(const char *path, struct master_key **out)
{
    unsigned char key[MASTER_LEN];
    struct master_key *m = NULL;
    enum weir_err err = read_key(path, key);
    if (err)
        goto out;
    m = master_key_blank();
    if (!m) {
        err = WEIR_NOMEM;
        goto out;
    }
    crypto_kdf_derive_from_key(m->parts->hash, sizeof m->parts->hash, 1, "weirhash", key);
    crypto_kdf_derive_from_key(m->parts->seal, sizeof m->parts->seal, 2, "weirseal", key);
    sodium_mprotect_readonly(m->parts);
    *out = m;
out:
    sodium_memzero(key, sizeof key);
    return err;
}

void master_key_free(struct master_key *m)
{
    if (!m) return;
    sodium_free(m->parts);
    pthread_rwlock_destroy(&m->lock);
    free(m);
}

/* ---- over a rotation ---- */

static void lock(const struct master_key *m) { pthread_rwlock_rdlock((pthread_rwlock_t *)&m->lock); }
static void unlock(const struct master_key *m) { pthread_rwlock_unlock((pthread_rwlock_t *)&m->lock); }

static struct span part_of(const struct master_key *m, enum master_part which)
{
    return which == MASTER_HASH ? (struct span){(const char *)m->parts->hash, sizeof m->parts->hash}
                                : (struct span){(const char *)m->parts->seal, sizeof m->parts->seal};
}

enum weir_err master_key_keep(const struct master_key *m, enum master_part which, const struct master_key *under,
                              const char *bound_to, struct buf *sealed)
{
    return secret_seal(under, part_of(m, which), bound_to, sealed);
}

enum weir_err master_key_take(struct master_key *m, enum master_part which, const struct secret *kept)
{
    struct span part = part_of(m, which);
    if (kept->len != part.len) return WEIR_CORRUPT;
    sodium_mprotect_readwrite(m->parts);
    memcpy((char *)part.at, kept->at, part.len);
    sodium_mprotect_readonly(m->parts);
    return WEIR_OK;
}

enum weir_err master_key_renew(struct master_key *m, const struct master_key *fresh)
{
    if (sodium_memcmp(m->parts->hash, fresh->parts->hash, sizeof m->parts->hash) != 0) return WEIR_OTHER_KEY;
    pthread_rwlock_wrlock(&m->lock);
    sodium_mprotect_readwrite(m->parts);
    memcpy(m->parts->seal, fresh->parts->seal, sizeof m->parts->seal);
    sodium_mprotect_readonly(m->parts);
    pthread_rwlock_unlock(&m->lock);
    return WEIR_OK;
}

void secret_client_hash(const struct master_key *m, struct span presented, struct client_hash *out)
{
    crypto_generichash(out->at, sizeof out->at, (const unsigned char *)presented.at, presented.len,
                       m->parts->hash, sizeof m->parts->hash);
}

bool secret_hash_equal(const struct client_hash *a, const struct client_hash *b)
{
    return sodium_memcmp(a->at, b->at, sizeof a->at) == 0;
}

void secret_client_key(char out[CLIENT_KEY_LEN + 1])
{
    unsigned char bits[32];
    const size_t prefix = sizeof CLIENT_KEY_PREFIX - 1;
    randombytes_buf(bits, sizeof bits);
    memcpy(out, CLIENT_KEY_PREFIX, prefix);
    sodium_bin2base64(out + prefix, CLIENT_KEY_LEN + 1 - prefix, bits, sizeof bits,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bits, sizeof bits);
}

/* A sealed value: one byte of version, the nonce, the ciphertext with its tag. */
#define SEAL_VERSION 1
#define SEAL_NONCE   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define SEAL_TAG     crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SEAL_EXTRA   (1 + SEAL_NONCE + SEAL_TAG)

enum weir_err secret_seal(const struct master_key *m, struct span plain, const char *bound_to, struct buf *sealed)
{
    if (plain.len > SIZE_MAX - SEAL_EXTRA)
        return WEIR_FULL;
    unsigned char *at = (unsigned char *)buf_room(sealed, plain.len + SEAL_EXTRA);
    if (!at)
        return sealed->err;
    unsigned char *nonce = at + 1;
    at[0] = SEAL_VERSION;
    randombytes_buf(nonce, SEAL_NONCE);
    lock(m);
    crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + SEAL_NONCE, NULL, (const unsigned char *)plain.at, plain.len,
                                               (const unsigned char *)bound_to, strlen(bound_to), NULL, nonce,
                                               m->parts->seal);
    unlock(m);
    buf_added(sealed, plain.len + SEAL_EXTRA);
    return WEIR_OK;
}

enum weir_err secret_open(const struct master_key *m, struct span sealed, const char *bound_to, struct secret **out)
{
    if (sealed.len < SEAL_EXTRA || sealed.at[0] != SEAL_VERSION)
        return WEIR_CORRUPT;
    size_t len = sealed.len - SEAL_EXTRA;
    const unsigned char *nonce = (const unsigned char *)sealed.at + 1;
    struct secret *s = locked_alloc(sizeof *s + len + 1);
    if (!s)
        return WEIR_NOMEM;
    lock(m);
    int refused = crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)s->at, NULL, NULL, nonce + SEAL_NONCE,
                                                             len + SEAL_TAG, (const unsigned char *)bound_to,
                                                             strlen(bound_to), nonce, m->parts->seal);
    unlock(m);
    if (refused) {
        secret_free(s);
        return WEIR_CORRUPT;
    }
    s->len = len;
    s->at[len] = '\0';
    sodium_mprotect_readonly(s);
    *out = s;
    return WEIR_OK;
}

void secret_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}

void secret_wipe(void *at, size_t n)
{
    sodium_memzero(at, n);
}

void secret_wipe_env(const char *name)
{
    char *value = getenv(name); /* in the block that the kernel laid out, which is where environ is read from */
    if (value) sodium_memzero(value, strlen(value));
}

struct digest digest_of(struct span bytes)
{
    struct digest d;
    crypto_generichash(d.at, sizeof d.at, (const unsigned char *)bytes.at, bytes.len, NULL, 0);
    return d;
}

/* ---- passwords ---- */

#define PASSWORD_PASSES 3
#define PASSWORD_MEMORY ((size_t)32 << 20) /* bytes */
_Static_assert(PASSWORD_HASH_LEN == crypto_pwhash_STRBYTES, "a password's hash is crypto_pwhash's text");

static pthread_mutex_t one_password = PTHREAD_MUTEX_INITIALIZER;

enum weir_err password_hash(struct span password, char out[PASSWORD_HASH_LEN])
{
    pthread_mutex_lock(&one_password);
    int failed = crypto_pwhash_str_alg(out, password.at, password.len, PASSWORD_PASSES, PASSWORD_MEMORY,
                                       crypto_pwhash_ALG_ARGON2ID13);
    pthread_mutex_unlock(&one_password);
    return failed ? WEIR_NOMEM : WEIR_OK;
}

bool password_fits(const char *hash, struct span password)
{
    char unused[PASSWORD_HASH_LEN];
    if (!hash) {
        password_hash(password, unused);
        return false;
    }
    pthread_mutex_lock(&one_password);
    bool fits = crypto_pwhash_str_verify(hash, password.at, password.len) == 0;
    pthread_mutex_unlock(&one_password);
    return fits;
}

void password_make(char out[PASSWORD_MADE_LEN + 1])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* 32, none like another */
    for (int i = 0; i < PASSWORD_MADE_LEN; i++)
        out[i] = i % 5 == 4 ? '-' : letters[randombytes_uniform(sizeof letters - 1)];
    out[PASSWORD_MADE_LEN] = '\0';
}

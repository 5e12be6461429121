/* One-time codes: what a secret's text is, and which code it gives when. */
#include "admin/totp.h"

#include <stdio.h>

#include "fcgi/base/secret.h"
#include "fcgi/door/hmac.h"

#define STEP_MS 30000
#define DIGITS 6

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* 5 bits a letter, 256 has 32 as a divisor: no letter is likelier. */
void totp_make(char out[TOTP_TEXT + 1])
{
    secret_random(out, TOTP_TEXT);
    for (int i = 0; i < TOTP_TEXT; i++) out[i] = letters[(unsigned char)out[i] % 32];
    out[TOTP_TEXT] = '\0';
}

bool totp_read(const char *text, unsigned char key[TOTP_KEY])
{
    unsigned bits = 0, held = 0;
    int count = 0;
    for (; *text; text++) {
        char c = *text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A') : *text;
        const char *at = strchr(letters, c);
        if (c == ' ') continue;
        if (!at || count == TOTP_KEY) return false;
        bits = bits << 5 | (unsigned)(at - letters);
        if ((held += 5) < 8) continue;
        held -= 8;
        key[count++] = (unsigned char)(bits >> held);
    }
    return count == TOTP_KEY && held == 0;
}

/* RFC 4226 5.3 */
static bool code_at(struct span key, int64_t step, char out[DIGITS + 1])
{
    unsigned char hash[HMAC_SHA1_LEN], counter[8];
    for (int i = 0; i < 8; i++) counter[i] = (unsigned char)((uint64_t)step >> (56 - 8 * i));
    if (hmac_sha1(key, (struct span){(const char *)counter, 8}, hash) != WEIR_OK) return false;
    const unsigned char *at = hash + (hash[HMAC_SHA1_LEN - 1] & 15);
    unsigned n = (at[0] & 127u) << 24 | (unsigned)at[1] << 16 | (unsigned)at[2] << 8 | at[3];
    snprintf(out, DIGITS + 1, "%06u", n % 1000000);
    return true;
}

bool totp_fits(struct span key, const char *code, int64_t now_ms, int64_t *step)
{
    char given[DIGITS + 1] = "", want[DIGITS + 1];
    size_t n = 0;
    for (; *code; code++) {
        if (*code == ' ') continue;
        if (n == DIGITS) return false;
        given[n++] = *code;
    }
    for (int64_t s = now_ms / STEP_MS - 1; n == DIGITS && s <= now_ms / STEP_MS + 1; s++) {
        if (!code_at(key, s, want) || memcmp(given, want, DIGITS) != 0) continue;
        *step = s;
        return true;
    }
    return false;
}

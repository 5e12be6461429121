/* Small conversions between text and values. Parsers take untrusted spans, never read past them, and change *out
 * only when they succeed. Writers escape for one destination each. */
#include "fcgi/base/text.h"

#include <arpa/inet.h>
#include <time.h>
#include "fcgi/base/utf8.h"

/* ---- characters ----------------------------------------------------------------------------------------- */

static void escape_char(struct buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char names[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        char two[2] = {'\\', letters[name - names]};
        buf_add(out, two, sizeof two);
    } else {
        char six[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buf_add(out, six, sizeof six);
    }
}

enum weir_err json_string(struct buf *out, struct span s)
{
    if (!s.at)
        return buf_str(out, "null");
    const char *at = s.at, *end = s.at + s.len, *plain = at;

    buf_char(out, '"');
    while (at < end) {
        unsigned char c = (unsigned char)*at;
        if (c >= ' ' && c < 0x7F && c != '"' && c != '\\') {
            at++;
            continue;
        }
        size_t n = utf8_char(at, end);
        if (n == 2 && c == 0xC2)
            c = (unsigned char)at[1]; /* U+0080 to U+00BF; the first 32 are controls */
        if (n > 2 || (n == 2 && c >= 0xA0)) {
            at += n;
            continue;
        }
        buf_add(out, plain, (size_t)(at - plain));
        if (n)
            escape_char(out, c);
        else
            buf_str(out, "\xEF\xBF\xBD");
        plain = at += n ? n : 1;
    }
    buf_add(out, plain, (size_t)(end - plain));
    return buf_char(out, '"');
}

bool text_is_utf8(struct span s)
{
    const char *at = s.at, *end = s.at ? s.at + s.len : NULL;
    while (at < end) {
        size_t n = utf8_char(at, end);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

size_t text_cut(struct span s, size_t most)
{
    if (s.len <= most)
        return s.len;
    size_t n = most;
    while (n && most - n < 3 && utf8_is_tail((unsigned char)s.at[n]))
        n--;
    return utf8_is_tail((unsigned char)s.at[n]) ? most : n;
}

bool text_is_header_safe(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < ' ' || s.at[i] > '~')
            return false;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum weir_err url_decode(struct buf *out, struct span s, bool plus)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = s.len - i > 2 ? hex_value(s.at[i + 1]) : -1;
            int low = s.len - i > 2 ? hex_value(s.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return WEIR_INVALID;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return WEIR_INVALID;
        buf_char(out, c);
    }
    return out->err;
}

enum weir_err base64_add(struct buf *out, const void *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= have > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= have > 2 ? in[i + 2] : 0;
        char four[4] = {
            digits[bits >> 18], digits[bits >> 12 & 63],
            have > 1 ? digits[bits >> 6 & 63] : '=', have > 2 ? digits[bits & 63] : '=',
        };
        buf_add(out, four, sizeof four);
    }
    return out->err;
}

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

enum weir_err base64url_decode(struct buf *out, struct span s)
{
    uint32_t bits = 0;
    int have = 0;
    if (s.len % 4 == 1)
        return WEIR_INVALID;
    for (size_t i = 0; i < s.len; i++) {
        int value = base64url_value(s.at[i]);
        if (value < 0)
            return WEIR_INVALID;
        bits = (bits << 6 | (uint32_t)value) & 0xFFFFFF;
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        buf_char(out, (char)(bits >> have & 0xFF));
    }
    return bits & ((1U << have) - 1) ? WEIR_INVALID : out->err;
}

/* ---- numbers, times, money ------------------------------------------------------------------------------ */

static void put_digits(char *at, int64_t n, int width)
{
    while (width--) {
        at[width] = (char)('0' + n % 10);
        n /= 10;
    }
}

/* Takes `width` digits, no more and no fewer, off the front. */
static bool take_digits(struct span *s, size_t width, int *out)
{
    if (s->len < width)
        return false;
    int n = 0;
    for (size_t i = 0; i < width; i++) {
        if (s->at[i] < '0' || s->at[i] > '9')
            return false;
        n = n * 10 + (s->at[i] - '0');
    }
    s->at += width;
    s->len -= width;
    *out = n;
    return true;
}

static bool take_char(struct span *s, char c)
{
    if (s->len == 0 || *s->at != c)
        return false;
    s->at++;
    s->len--;
    return true;
}

/* Takes at least one digit, as many as there are; false also when the number passes `most`. */
static bool take_number(struct span *s, int64_t most, int64_t *out)
{
    int64_t n = 0;
    int digit;
    bool any = false;
    while (take_digits(s, 1, &digit)) {
        any = true;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n) || n > most)
            return false;
    }
    *out = n;
    return any;
}

#define YEAR_0_MS    (-62167219200000) /* 0000-01-01T00:00:00Z */
#define YEAR_9999_MS 253402300799999   /* its last millisecond */

void time_text(int64_t wall_ms, char out[TIME_TEXT])
{
    if (wall_ms < YEAR_0_MS)
        wall_ms = YEAR_0_MS;
    if (wall_ms > YEAR_9999_MS)
        wall_ms = YEAR_9999_MS;
    int64_t ms = wall_ms % 1000;
    ms += ms < 0 ? 1000 : 0;
    time_t seconds = (time_t)((wall_ms - ms) / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);

    memcpy(out, "0000-00-00T00:00:00.000Z", TIME_TEXT);
    put_digits(out, tm.tm_year + 1900, 4);
    put_digits(out + 5, tm.tm_mon + 1, 2);
    put_digits(out + 8, tm.tm_mday, 2);
    put_digits(out + 11, tm.tm_hour, 2);
    put_digits(out + 14, tm.tm_min, 2);
    put_digits(out + 17, tm.tm_sec, 2);
    put_digits(out + 20, ms, 3);
}

static bool take_fraction_ms(struct span *s, int *ms)
{
    *ms = 0;
    if (!take_char(s, '.'))
        return true;
    int digit, weight = 100;
    if (!take_digits(s, 1, &digit))
        return false;
    do {
        *ms += digit * weight;
        weight /= 10;
    } while (take_digits(s, 1, &digit));
    return true;
}

static bool take_offset_s(struct span *s, int *offset_s)
{
    *offset_s = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    bool west = take_char(s, '-');
    int hours, minutes;
    if (!west && !take_char(s, '+'))
        return false;
    if (!take_digits(s, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *offset_s = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

static int month_days(int year, int month)
{
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (leap && month == 2);
}

bool time_parse(struct span s, int64_t *wall_ms)
{
    struct tm tm = {0};
    int year, month, day, ms, offset_s;

    if (!take_digits(&s, 4, &year) || !take_char(&s, '-') || !take_digits(&s, 2, &month) || !take_char(&s, '-') ||
        !take_digits(&s, 2, &day))
        return false;
    if (!take_char(&s, 'T') && !take_char(&s, 't') && !take_char(&s, ' '))
        return false;
    if (!take_digits(&s, 2, &tm.tm_hour) || !take_char(&s, ':') || !take_digits(&s, 2, &tm.tm_min) ||
        !take_char(&s, ':') || !take_digits(&s, 2, &tm.tm_sec))
        return false;
    if (!take_fraction_ms(&s, &ms) || !take_offset_s(&s, &offset_s) || s.len)
        return false;
    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60) /* 60: a leap second */
        return false;

    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    if (month < 1 || month > 12 || day < 1 || day > month_days(year, month))
        return false;
    *wall_ms = ((int64_t)timegm(&tm) - offset_s) * 1000 + ms;
    return *wall_ms >= YEAR_0_MS && *wall_ms <= YEAR_9999_MS; /* by its offset, or a leap second, it may lie outside */
}

bool duration_parse(struct span s, int64_t *ms)
{
    static const struct { const char *unit; int64_t ms; } units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"w", 604800000},
    };
    const int64_t most = 36525 * INT64_C(86400000); /* 100 years */
    int64_t n;

    if (!take_number(&s, most, &n) || n == 0)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!span_is(s, units[i].unit))
            continue;
        if (n > most / units[i].ms)
            return false;
        *ms = n * units[i].ms;
        return true;
    }
    return false;
}

#define NANO 1000000000

bool money_parse(struct span s, int64_t *nano)
{
    int64_t dollars, fraction = 0;
    int digit, weight = NANO / 10;

    if (!take_number(&s, INT64_C(9000000000), &dollars))
        return false;
    if (take_char(&s, '.')) {
        if (s.len == 0)
            return false;
        for (; weight && take_digits(&s, 1, &digit); weight /= 10)
            fraction += (int64_t)digit * weight;
    }
    if (s.len || dollars * NANO + fraction > INT64_C(9000000000) * NANO)
        return false;
    *nano = dollars * NANO + fraction;
    return true;
}

void money_text(int64_t nano, char out[MONEY_TEXT])
{
    uint64_t amount = nano < 0 ? 0 - (uint64_t)nano : (uint64_t)nano;
    uint64_t dollars = amount / NANO;
    int width = 1, decimals = 9;

    for (uint64_t n = dollars; n >= 10; n /= 10)
        width++;
    if (nano < 0)
        *out++ = '-';
    put_digits(out, (int64_t)dollars, width);
    out[width] = '.';
    put_digits(out + width + 1, (int64_t)(amount % NANO), decimals);
    while (decimals > 2 && out[width + decimals] == '0')
        decimals--;
    out[width + 1 + decimals] = '\0';
}

/* ---- addresses ------------------------------------------------------------------------------------------ */

bool ip_parse(struct span s, struct ip_address *out)
{
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    char text[INET6_ADDRSTRLEN];
    if (!s.at || s.len >= sizeof text || memchr(s.at, '\0', s.len))
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';

    memcpy(out->at, mapped, sizeof mapped);
    if (inet_pton(AF_INET, text, out->at + sizeof mapped) == 1) {
        out->v4 = true;
        return true;
    }
    if (inet_pton(AF_INET6, text, out->at) != 1)
        return false;
    out->v4 = memcmp(out->at, mapped, sizeof mapped) == 0;
    return true;
}

void ip_text(const struct ip_address *ip, char out[IP_TEXT])
{
    if (!inet_ntop(ip->v4 ? AF_INET : AF_INET6, ip->at + (ip->v4 ? 12 : 0), out, IP_TEXT))
        out[0] = '\0';
}

/* bits: of the 128. A range of IPv6 that is wider than all of mapped IPv4 does not take IPv4 in. */
static bool range_parse(struct span s, struct ip_address *net, int *bits)
{
    const char *slash = s.at ? memchr(s.at, '/', s.len) : NULL;
    struct span address = {s.at, slash ? (size_t)(slash - s.at) : s.len};
    if (!ip_parse(address, net))
        return false;
    bool dotted = !memchr(address.at, ':', address.len);
    *bits = 128;
    if (!slash)
        return true;

    struct span rest = {slash + 1, s.len - address.len - 1};
    int64_t n;
    if (rest.len > 3 || !take_number(&rest, dotted ? 32 : 128, &n) || rest.len)
        return false;
    *bits = (int)n + (dotted ? 96 : 0);
    if (*bits < 96)
        net->v4 = false;
    return true;
}

bool ip_range_is_valid(struct span range)
{
    struct ip_address net;
    int bits;
    return range_parse(range, &net, &bits);
}

bool ip_in_range(struct span address, struct span range)
{
    struct ip_address ip, net;
    int bits;
    if (!ip_parse(address, &ip) || !range_parse(range, &net, &bits) || ip.v4 != net.v4)
        return false;
    int whole = bits / 8, rest = bits % 8;
    if (memcmp(ip.at, net.at, (size_t)whole) != 0)
        return false;
    return rest == 0 || (ip.at[whole] ^ net.at[whole]) >> (8 - rest) == 0;
}

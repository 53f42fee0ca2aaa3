#define _POSIX_C_SOURCE 200809L

#include "report_text.h"

#include <string.h>
#include <time.h>

#include "unprintable.h"

enum {
    END_SIZE = 64, /* bytes for the line that says that a report is cut */
    REPLACEMENT = 0xfffd,
};

static const char CUT[] = "\n  (the report is cut here)\n";

void gilx_text_clear(gilx_text *text) {
    text->size = 0;
    text->cut = false;
}

/* Add bytes, or none of them if they do not fit. */
static void add_bytes(gilx_text *text, const char *bytes, size_t size) {
    if (text->cut) {
        return;
    }
    if (text->size + size + END_SIZE > sizeof(text->bytes)) {
        text->cut = true;
        bytes = CUT;
        size = sizeof(CUT) - 1;
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
}

void gilx_text_add(gilx_text *text, const char *words) {
    for (; *words != '\0'; ++words) {
        add_bytes(text, words, 1);
    }
}

void gilx_text_begin(gilx_text *text, int64_t process) {
    gilx_text_clear(text);
    gilx_text_add(text, "gilx: process ");
    gilx_text_add_number(text, process);
    gilx_text_add(text, ": ");
}

/* ---- names ------------------------------------------------------------------------ */

/* Return the character at the start of UTF-8, REPLACEMENT if there is none; `size` is set
 * to its length in bytes. Surrogates, which names of files may have, count as
 * characters. */
static uint32_t first_character(const unsigned char *utf8, int *size) {
    enum { MOST = 4, FIRST = 0x80, LAST = 0x10ffff, BITS = 6, MASK = 0x3f };
    static const uint32_t LEAST[MOST + 1] = {0, 0, FIRST, 0x800, 0x10000};
    const int length = utf8[0] < FIRST   ? 1
                       : utf8[0] < 0xc2  ? 0
                       : utf8[0] < 0xe0  ? 2
                       : utf8[0] < 0xf0  ? 3
                       : utf8[0] <= 0xf4 ? MOST
                                         : 0;
    *size = 1;
    if (length < 2) {
        return length == 1 ? utf8[0] : REPLACEMENT;
    }
    uint32_t character = utf8[0] & (0x7fU >> length);
    for (int i = 1; i < length; ++i) {
        if ((utf8[i] & ~(unsigned int)MASK) != FIRST) { /* perhaps the end */
            return REPLACEMENT;
        }
        character = character << BITS | (utf8[i] & (unsigned int)MASK);
    }
    if (character < LEAST[length] || character > LAST) {
        return REPLACEMENT;
    }
    *size = length;
    return character;
}

static bool is_printable(uint32_t character) {
    static const uint32_t RANGES[][2] = GILX_UNPRINTABLE;
    int low = 0, high = (int)(sizeof(RANGES) / sizeof(*RANGES));
    while (low < high) {
        const int middle = (low + high) / 2;
        if (RANGES[middle][1] < character) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return RANGES[low][0] > character;
}

/* Add an escape as Python's ascii() has it. */
static void add_escape(gilx_text *text, uint32_t character) {
    enum { SHORT = 2, MIDDLE = 4, LONG = 8, BITS = 4 };
    static const char DIGITS[] = "0123456789abcdef";
    char escape[2 + LONG] = {'\\'};
    const char *const simple = strchr("\tt\nn\rr", (int)character);
    if (character < ' ' && character != 0 && simple != NULL) {
        escape[1] = simple[1];
        add_bytes(text, escape, 2);
        return;
    }
    const int digits = character <= 0xff ? SHORT : character <= 0xffff ? MIDDLE : LONG;
    escape[1] = digits == SHORT ? 'x' : digits == MIDDLE ? 'u' : 'U';
    for (int i = 0; i < digits; ++i) {
        escape[2 + i] = DIGITS[character >> (digits - 1 - i) * BITS & 0xf];
    }
    add_bytes(text, escape, 2 + (size_t)digits);
}

void gilx_text_add_name(gilx_text *text, const char *name) {
    static const char UNKNOWN[] = "\xef\xbf\xbd"; /* U+FFFD */
    int size;
    for (; *name != '\0'; name += size) {
        const uint32_t character = first_character((const unsigned char *)name, &size);
        if (!is_printable(character)) {
            add_escape(text, character);
        } else if (character == REPLACEMENT) {
            add_bytes(text, UNKNOWN, sizeof(UNKNOWN) - 1);
        } else {
            add_bytes(text, name, (size_t)size);
        }
    }
}

/* ---- numbers ---------------------------------------------------------------------- */

void gilx_text_add_number(gilx_text *text, int64_t number) {
    char digits[24];
    int at = sizeof(digits) - 1;
    digits[at] = '\0';
    uint64_t rest = number < 0 ? (uint64_t)-number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    gilx_text_add(text, number < 0 ? "-" : "");
    gilx_text_add(text, digits + at);
}

static void add_two_digits(gilx_text *text, char before, int64_t number) {
    const char words[] = {before, (char)('0' + number / 10), (char)('0' + number % 10),
                          '\0'};
    gilx_text_add(text, words);
}

void gilx_text_add_seconds(gilx_text *text, int64_t nanoseconds) {
    const int64_t hundredths = (nanoseconds + 5000000) / 10000000;
    gilx_text_add_number(text, hundredths / 100);
    add_two_digits(text, '.', hundredths % 100);
    gilx_text_add(text, " s");
}

/* ---- dates ------------------------------------------------------------------------ */

static int days_of_year(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365;
}

/* Functions of the C library that know the date take a lock, for the time zone. */
void gilx_text_add_date(gilx_text *text, int64_t seconds) {
    int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    enum { DAY = 86400, HOUR = 3600, MINUTE = 60 };
    const int64_t second = seconds % DAY;
    int64_t days = seconds / DAY, year = 1970;
    for (; days >= days_of_year(year); ++year) {
        days -= days_of_year(year);
    }
    lengths[1] += days_of_year(year) - 365;
    int month = 0;
    for (; days >= lengths[month]; ++month) {
        days -= lengths[month];
    }
    gilx_text_add_number(text, year);
    add_two_digits(text, '-', month + 1);
    add_two_digits(text, '-', days + 1);
    add_two_digits(text, ' ', second / HOUR);
    add_two_digits(text, ':', second % HOUR / MINUTE);
    add_two_digits(text, ':', second % MINUTE);
    gilx_text_add(text, " UTC");
}

void gilx_text_end_line(gilx_text *text) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    gilx_text_add(text, ", at ");
    gilx_text_add_date(text, now.tv_sec < 0 ? 0 : (int64_t)now.tv_sec);
    gilx_text_add(text, "\n");
}

#include "code_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/touched_memory.h"
#include "line_table.h"

enum {
    REFERENCES = 0,             /* place of an object's count of references */
    MOST_OF_AN_OBJECT = 256,    /* bytes of an object's header that are read */
    MOST_UNITS = 1 << 28,       /* of a code object: more is taken for garbage */
    MOST_CHARACTERS = 1 << 24,  /* of a string: likewise */
    MOST_OF_A_CHARACTER = 4,    /* bytes */
    BYTES_OF_UNIT = 2,          /* of the instructions */
    ALIGNMENT = sizeof(void *), /* of all objects */
    PIECE = 1 << 14,            /* of a line table, read at once */
    TEXTS = 2 * GILX_FUNCTIONS, /* a name and a file for each */
    ELLIPSIS_BYTES = 3,
};

_Static_assert(GILX_MOST_RANGES *MOST_OF_AN_OBJECT <= GILX_MOST_COPIED,
               "so many headers can be copied at once");

static const char ELLIPSIS[] = "\xe2\x80\xa6"; /* U+2026 */

/* What tells a code object from others that were at its address. Words that a version of
 * CPython doesn't have are 0. */
typedef struct {
    uintptr_t file, name, line_table, consts, names;
    int64_t units; /* how many its instructions take up */
    int32_t first_line;
    uint32_t version;
} fingerprint;

/* The spot of an instruction that was met before. */
typedef struct {
    uintptr_t code; /* 0: none */
    fingerprint fingerprint;
    int32_t unit;
    int32_t spot;
} known_code;

/* A string of Python's, of which the first or the last characters are copied. */
typedef struct {
    int64_t length; /* in characters */
    int kind;       /* bytes of a character */
    bool ascii;     /* whether all of them are */
    bool last;      /* whether the last ones count more, and so are copied */
    int most;       /* bytes of UTF-8 */
    int64_t count;  /* how many characters are copied, */
    uintptr_t from; /* and where they begin */
    int start, end; /* of the UTF-8 */
    char utf8[GILX_LONGEST_FILE];
} text;

/* Words of an object, a copy of its memory. */
typedef struct {
    int from, to; /* the places of those that are read */
    unsigned char bytes[MOST_OF_AN_OBJECT];
} header;

struct gilx_code_table {
    const gilx_stack_layout *layout;
    uintptr_t code_type;
    header code, name, file, line_table;
    int texts_kept, functions, spots;
    uint32_t text_bytes;
    gilx_function function_at[GILX_FUNCTIONS];
    gilx_spot spot_at[GILX_SPOTS];
    /* Hashes of the contents: number + 1, or 0; of texts, where they begin. */
    uint16_t function_slots[2 * GILX_FUNCTIONS];
    uint16_t spot_slots[2 * GILX_SPOTS];
    uint32_t text_slots[2 * TEXTS];
    known_code known[GILX_KNOWN_CODES];
    /* What was found last for each number of those that are read together: most are the
     * same again, and lie next to each other in memory. */
    known_code recent[GILX_MOST_RANGES];
    uintptr_t codes[GILX_MOST_RANGES]; /* that were read together; 0: it could not be */
    unsigned char code_headers[GILX_MOST_RANGES * MOST_OF_AN_OBJECT];
    unsigned char copied[MOST_OF_A_CHARACTER * (GILX_LONGEST_NAME + GILX_LONGEST_FILE) +
                         PIECE + MOST_OF_AN_OBJECT];
    char texts[GILX_TEXT_BYTES];
};

/* ---- words of objects ------------------------------------------------------------- */

/* Let a header take in a word; -1 is none. */
static void take_in(header *words, int place, size_t size) {
    if (place >= 0) {
        words->from = place < words->from ? place : words->from;
        words->to = place + (int)size > words->to ? place + (int)size : words->to;
    }
}

static bool is_readable(const header *words) {
    return words->from >= 0 && words->to - words->from <= MOST_OF_AN_OBJECT;
}

/* Return the range of memory to read, given the address of the object. */
static gilx_range range_of(const header *words, uintptr_t object) {
    return (gilx_range){object + (uintptr_t)words->from,
                        (size_t)(words->to - words->from)};
}

/* Get a word out of a header, 0 if the version of CPython doesn't have it. */
static void get(const header *words, int place, void *word, size_t size) {
    memset(word, 0, size);
    if (place >= 0) {
        memcpy(word, words->bytes + (place - words->from), size);
    }
}

static uintptr_t get_address(const header *words, int place) {
    uintptr_t address;
    get(words, place, &address, sizeof(address));
    return address;
}

static int64_t get_length(const header *words, int place) {
    int64_t length;
    get(words, place, &length, sizeof(length));
    return length;
}

/* Whether an object may be alive, by its count of references, which has 32 bits, or 64 of
 * which the same are used, and perhaps flags in the last 16. It is 0 while the object is
 * taken apart. Free blocks of pymalloc begin with 0 or the address of another one, which
 * has more than 32 bits. Free-threaded builds have two counts, of which one is not 0. */
static bool may_be_alive(const gilx_stack_layout *layout, const header *words) {
    enum { COUNT_BITS = 32, FLAG_BITS = 2 };
    if (layout->shared_references != 0) {
        uint32_t own;
        get(words, layout->own_references, &own, sizeof(own));
        return own != 0 || get_length(words, layout->shared_references) >> FLAG_BITS > 0;
    }
    const uint64_t count = (uint64_t)get_length(words, REFERENCES);
    return (uint32_t)count != 0 && (uint16_t)(count >> COUNT_BITS) == 0;
}

static bool may_be_object(uintptr_t address) {
    return address != 0 && address % ALIGNMENT == 0;
}

/* ---- what is read of a code object ------------------------------------------------ */

/* Whether the header is that of a code object, whose fingerprint is set. */
static bool get_fingerprint(const gilx_code_table *table, fingerprint *print) {
    const gilx_stack_layout *layout = table->layout;
    const header *code = &table->code;
    *print = (fingerprint){
        .file = get_address(code, layout->file),
        .name = get_address(code, layout->name),
        .line_table = get_address(code, layout->line_table),
        .consts = get_address(code, layout->consts),
        .names = get_address(code, layout->names),
        .units = get_length(code, layout->size),
    };
    get(code, layout->first_line, &print->first_line, sizeof(print->first_line));
    get(code, layout->version, &print->version, sizeof(print->version));
    return get_address(code, layout->type) == table->code_type &&
           may_be_alive(layout, code) && print->units > 0 && print->units <= MOST_UNITS &&
           may_be_object(print->file) && may_be_object(print->name) &&
           may_be_object(print->line_table);
}

static bool are_equal(const fingerprint *one, const fingerprint *other) {
    return one->file == other->file && one->name == other->name &&
           one->line_table == other->line_table && one->consts == other->consts &&
           one->names == other->names && one->units == other->units &&
           one->first_line == other->first_line && one->version == other->version;
}

/* Whether all ranges can be read. */
static bool copy_all(gilx_memory *memory, const gilx_range *ranges, int count, void *to) {
    size_t size = 0;
    for (int i = 0; i < count; ++i) {
        size += ranges[i].size;
    }
    return gilx_memory_copy(memory, ranges, count, to) == size;
}

static bool read_fingerprint(gilx_code_table *table, gilx_memory *memory, uintptr_t code,
                             fingerprint *print) {
    const gilx_range range = range_of(&table->code, code);
    return may_be_object(code) && copy_all(memory, &range, 1, table->code.bytes) &&
           get_fingerprint(table, print);
}

/* Whether the header is that of a string that can be read; `string` is completed. */
static bool get_text(const gilx_stack_layout *layout, const header *words,
                     uintptr_t object, text *string) {
    enum { KIND_MASK = 7 };
    uint32_t state;
    get(words, layout->string_state, &state, sizeof(state));
    string->length = get_length(words, layout->string_length);
    string->kind = (int)(state >> layout->string_kind & KIND_MASK);
    string->ascii = (state >> layout->string_is_ascii & 1) != 0;
    if ((state >> layout->string_is_compact & 1) == 0 || string->length < 0 ||
        string->length > MOST_CHARACTERS ||
        !(string->kind == 1 ||
          (!string->ascii && (string->kind == 2 || string->kind == 4)))) {
        return false;
    }
    string->count = string->length < string->most ? string->length : string->most;
    const int64_t skipped = string->last ? string->length - string->count : 0;
    string->from =
        object + (uintptr_t)(skipped * string->kind) +
        (uintptr_t)(string->ascii ? layout->string_ascii : layout->string_compact);
    return true;
}

/* Read where the texts are that a code object refers to, and the length of its line table
 * in bytes. */
static bool read_texts(gilx_code_table *table, gilx_memory *memory,
                       const fingerprint *print, text *name, text *file,
                       int64_t *line_bytes) {
    const gilx_stack_layout *layout = table->layout;
    unsigned char *next = table->copied;
    header *const headers[] = {&table->name, &table->file, &table->line_table};
    const gilx_range ranges[] = {range_of(headers[0], print->name),
                                 range_of(headers[1], print->file),
                                 range_of(headers[2], print->line_table)};
    if (!copy_all(memory, ranges, 3, next)) {
        return false;
    }
    for (int i = 0; i < 3; ++i) {
        memcpy(headers[i]->bytes, next, ranges[i].size);
        next += ranges[i].size;
    }
    *line_bytes = get_length(&table->line_table, layout->size);
    return get_text(layout, &table->name, print->name, name) &&
           get_text(layout, &table->file, print->file, file) && *line_bytes >= 0;
}

/* ---- UTF-8 ------------------------------------------------------------------------ */

/* Write a character as UTF-8; return its length in bytes, 0 if the number is not a
 * character. Surrogates, which UTF-8 excludes, are written like others. */
static int encode(uint32_t character, unsigned char bytes[MOST_OF_A_CHARACTER]) {
    static const unsigned char starts[] = {0, 0, 0xc0, 0xe0, 0xf0};
    enum { NUL_SIGN = 0x2400, LAST = 0x10ffff, FOLLOWS = 0x80, BITS = 6, MASK = 0x3f };
    if (character == 0) {
        character = NUL_SIGN;
    }
    if (character > LAST) {
        return 0;
    }
    const int count =
        1 + (character >= 0x80) + (character >= 0x800) + (character >= 0x10000);
    for (int i = count - 1; i > 0; --i) {
        bytes[i] = (unsigned char)(FOLLOWS | (character & MASK));
        character >>= BITS;
    }
    bytes[0] = (unsigned char)(starts[count == 1 ? 0 : count] | character);
    return count;
}

/* Encode a character of a string; return as encode() does. */
static int encode_from(const unsigned char *characters, int64_t index, const text *string,
                       unsigned char bytes[MOST_OF_A_CHARACTER]) {
    const unsigned char *const from = characters + index * string->kind;
    uint16_t two;
    uint32_t character = *from;
    if (string->kind == 2) {
        memcpy(&two, from, sizeof(two));
        character = two;
    } else if (string->kind == 4) {
        memcpy(&character, from, sizeof(character));
    }
    return string->ascii && character >= 0x80 ? 0 : encode(character, bytes);
}

/* Encode the characters that were copied. Returns false if there are no such ones. */
static bool encode_text(text *string, const unsigned char *characters) {
    const int most = string->most;
    int used = 0, cut = 0; /* bytes, and how many of them stay beside an ellipsis */
    bool complete = string->count == string->length;
    for (int64_t i = 0; i < string->count; ++i) {
        unsigned char bytes[MOST_OF_A_CHARACTER];
        const int64_t index = string->last ? string->count - 1 - i : i;
        const int size = encode_from(characters, index, string, bytes);
        if (size == 0) {
            return false;
        }
        if (used + size > most) {
            complete = false;
            break;
        }
        memcpy(string->utf8 + (string->last ? most - used - size : used), bytes,
               (size_t)size);
        used += size;
        if (used <= most - ELLIPSIS_BYTES) {
            cut = used;
        }
    }
    if (!complete) {
        used = cut + ELLIPSIS_BYTES;
        memcpy(string->utf8 + (string->last ? most - used : cut), ELLIPSIS,
               ELLIPSIS_BYTES);
    }
    string->start = string->last ? most - used : 0;
    string->end = string->start + used;
    return true;
}

/* ---- what is known ---------------------------------------------------------------- */

/* FNV-1a, see RFC 9923. */
static uint64_t hash_of(const void *bytes, size_t size) {
    const unsigned char *next = bytes;
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < size; ++i) {
        hash = (hash ^ next[i]) * 0x100000001b3U;
    }
    return hash ^ hash >> 32;
}

/* Return the copy of a text that the table keeps, NULL if it is full. Its slots are at
 * most half full, as all others are, so that there is always an empty one. */
static const char *intern_text(gilx_code_table *table, const text *string) {
    enum { SLOTS = 2 * TEXTS };
    const char *const bytes = string->utf8 + string->start;
    const size_t size = (size_t)(string->end - string->start);
    size_t slot = hash_of(bytes, size) % SLOTS;
    for (; table->text_slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        const char *text = table->texts + table->text_slots[slot] - 1;
        if (strlen(text) == size && memcmp(text, bytes, size) == 0) {
            return text;
        }
    }
    if (table->texts_kept == TEXTS || size >= GILX_TEXT_BYTES - table->text_bytes) {
        return NULL;
    }
    char *const copy = table->texts + table->text_bytes;
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    table->text_slots[slot] = table->text_bytes + 1;
    table->text_bytes += (uint32_t)size + 1;
    ++table->texts_kept;
    return copy;
}

static int intern_function(gilx_code_table *table, const char *name, const char *file,
                           int32_t first_line) {
    enum { SLOTS = 2 * GILX_FUNCTIONS };
    const uintptr_t content[] = {(uintptr_t)name, (uintptr_t)file, (uintptr_t)first_line};
    size_t slot = hash_of(content, sizeof(content)) % SLOTS;
    for (; table->function_slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        const int number = table->function_slots[slot] - 1;
        const gilx_function *function = &table->function_at[number];
        if (function->name == name && function->file == file &&
            function->first_line == first_line) {
            return number;
        }
    }
    if (table->functions == GILX_FUNCTIONS) {
        return GILX_SPOT_OTHER;
    }
    table->function_at[table->functions] = (gilx_function){name, file, first_line};
    table->function_slots[slot] = (uint16_t)(table->functions + 1);
    return table->functions++;
}

static int intern_spot(gilx_code_table *table, const gilx_spot *spot) {
    enum { SLOTS = 2 * GILX_SPOTS };
    size_t slot = hash_of(spot, sizeof(*spot)) % SLOTS;
    for (; table->spot_slots[slot] != 0; slot = (slot + 1) % SLOTS) {
        const int number = table->spot_slots[slot] - 1;
        if (memcmp(&table->spot_at[number], spot, sizeof(*spot)) == 0) {
            return number;
        }
    }
    if (table->spots == GILX_SPOTS) {
        return GILX_SPOT_OTHER;
    }
    table->spot_at[table->spots] = *spot;
    table->spot_slots[slot] = (uint16_t)(table->spots + 1);
    return table->spots++;
}

/* ---- spots ------------------------------------------------------------------------ */

/* Find the number of a unit among the instructions of a code object, -1 if the address is
 * elsewhere. Before the first instruction, CPython 3.11 and 3.12 have the address of the
 * unit before it. */
static int32_t unit_of(const gilx_code_table *table, uintptr_t code,
                       const fingerprint *print, uintptr_t instr) {
    const uintptr_t start = code + (uintptr_t)table->layout->instructions;
    if (instr == start - BYTES_OF_UNIT) {
        return 0;
    }
    const uintptr_t place = instr - start; /* huge if it is before the start */
    return place % BYTES_OF_UNIT == 0 && place / BYTES_OF_UNIT < (uintptr_t)print->units
               ? (int32_t)(place / BYTES_OF_UNIT)
               : -1;
}

/* Read the contents of what a code object refers to: texts, if they are not NULL, and the
 * next piece of its line table; then whether it is still the same. Texts are encoded, and
 * the piece is found in table->copied, behind them; NULL if anything is not as it should
 * be. */
static const unsigned char *read_contents(gilx_code_table *table, gilx_memory *memory,
                                          uintptr_t code, const fingerprint *print,
                                          text *const texts[2], gilx_range piece) {
    gilx_range ranges[4];
    int count = 0;
    for (int i = 0; i < 2 && texts != NULL; ++i) {
        ranges[count++] =
            (gilx_range){texts[i]->from, (size_t)(texts[i]->count * texts[i]->kind)};
    }
    ranges[count++] = piece;
    ranges[count++] = range_of(&table->code, code);
    if (!copy_all(memory, ranges, count, table->copied)) {
        return NULL;
    }
    const unsigned char *next = table->copied;
    for (int i = 0; i < count - 2; ++i) {
        if (!encode_text(texts[i], next)) {
            return NULL;
        }
        next += ranges[i].size;
    }
    fingerprint now;
    memcpy(table->code.bytes, next + piece.size, ranges[count - 1].size);
    return get_fingerprint(table, &now) && are_equal(&now, print) ? next : NULL;
}

/* Read what a code object says of a unit, and return the number of the spot. */
static int read_spot(gilx_code_table *table, gilx_memory *memory, uintptr_t code,
                     const fingerprint *print, int32_t unit) {
    text name = {.most = GILX_LONGEST_NAME};
    text file = {.most = GILX_LONGEST_FILE, .last = true};
    text *const both[] = {&name, &file};
    int64_t line_bytes;
    if (!read_texts(table, memory, print, &name, &file, &line_bytes)) {
        return GILX_SPOT_UNKNOWN;
    }
    gilx_line_search search = {.line = print->first_line, .unit = unit};
    gilx_position position;
    gilx_line_status status;
    gilx_range piece = {print->line_table + (uintptr_t)table->layout->bytes, 0};
    size_t left = line_bytes <= GILX_LONGEST_LINE_TABLE ? (size_t)line_bytes : 0;
    text *const *texts = both;
    do {
        piece.size = left < PIECE ? left : PIECE;
        const unsigned char *const bytes =
            read_contents(table, memory, code, print, texts, piece);
        if (bytes == NULL) {
            return GILX_SPOT_UNKNOWN;
        }
        size_t used;
        status = gilx_line_find(&search, bytes, piece.size, piece.size == left, &used,
                                &position);
        piece.from += used;
        left -= used;
        texts = NULL; /* they are known now */
    } while (status == GILX_LINE_BEYOND);

    const char *const name_text = intern_text(table, &name);
    const char *const file_text = intern_text(table, &file);
    if (name_text == NULL || file_text == NULL) {
        return GILX_SPOT_OTHER;
    }
    const int function = intern_function(table, name_text, file_text, print->first_line);
    if (function < 0) {
        return function;
    }
    gilx_spot spot = {function, 0, 0, -1, -1};
    if (position.line > 0) {
        spot.line = position.line;
        spot.end_line = position.end_line;
        spot.column = position.column;
        spot.end_column = position.end_column;
    }
    return intern_spot(table, &spot);
}

static bool is_of(const known_code *known, uintptr_t code, const fingerprint *print,
                  int32_t unit) {
    return known->code == code && known->unit == unit &&
           are_equal(&known->fingerprint, print);
}

/* Return the number of the spot of an instruction, given the code object's fingerprint.
 * It is looked up in `recent` first, if that is not NULL, and left there. */
static int find_spot(gilx_code_table *table, gilx_memory *memory, uintptr_t code,
                     const fingerprint *print, uintptr_t instr, known_code *recent) {
    const int32_t unit = unit_of(table, code, print, instr);
    if (unit < 0) {
        return GILX_SPOT_UNKNOWN;
    }
    if (recent != NULL && is_of(recent, code, print, unit)) {
        return recent->spot;
    }
    const uintptr_t key[] = {code, (uintptr_t)unit};
    known_code *const known = &table->known[hash_of(key, sizeof(key)) % GILX_KNOWN_CODES];
    if (!is_of(known, code, print, unit)) {
        const int spot = read_spot(table, memory, code, print, unit);
        if (spot == GILX_SPOT_UNKNOWN) {
            return spot;
        }
        *known = (known_code){code, *print, unit, spot};
    }
    if (recent != NULL) {
        *recent = *known;
    }
    return known->spot;
}

int gilx_code_spot(gilx_code_table *table, gilx_memory *memory, uintptr_t code,
                   uintptr_t instr) {
    fingerprint print;
    code &= ~(uintptr_t)table->layout->tag;
    return read_fingerprint(table, memory, code, &print)
               ? find_spot(table, memory, code, &print, instr, NULL)
               : GILX_SPOT_UNKNOWN;
}

void gilx_codes_read(gilx_code_table *table, gilx_memory *memory, const uintptr_t *codes,
                     int count) {
    gilx_range ranges[GILX_MOST_RANGES];
    for (int i = 0; i < count; ++i) {
        const uintptr_t code = codes[i] & ~(uintptr_t)table->layout->tag;
        table->codes[i] = may_be_object(code) ? code : 0;
        ranges[i] = range_of(&table->code, table->codes[i]);
    }
    for (int done = 0; done < count; ++done) {
        const size_t size = ranges[0].size;
        done += (int)(gilx_memory_copy(memory, ranges + done, count - done,
                                       table->code_headers + (size_t)done * size) /
                      size);
        if (done < count) {
            table->codes[done] = 0; /* those after it may be there */
        }
    }
}

int gilx_codes_spot(gilx_code_table *table, gilx_memory *memory, int number,
                    uintptr_t instr) {
    const uintptr_t code = table->codes[number];
    const size_t size = range_of(&table->code, code).size;
    fingerprint print;
    memcpy(table->code.bytes, table->code_headers + (size_t)number * size, size);
    return code != 0 && get_fingerprint(table, &print)
               ? find_spot(table, memory, code, &print, instr, &table->recent[number])
               : GILX_SPOT_UNKNOWN;
}

/* ---- the table -------------------------------------------------------------------- */

gilx_code_table *gilx_code_table_new(const gilx_stack_layout *layout,
                                     uintptr_t code_type) {
    gilx_code_table *table = gilx_allocate_touched(sizeof(*table), sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    table->layout = layout;
    table->code_type = code_type;
    header *const code = &table->code, *const string = &table->name,
                  *const line_table = &table->line_table;
    code->from = string->from = line_table->from = MOST_OF_AN_OBJECT;
    const int addresses[] = {layout->type,      layout->size,   layout->file,
                             layout->name,      layout->consts, layout->names,
                             layout->line_table};
    for (size_t i = 0; i < sizeof(addresses) / sizeof(*addresses); ++i) {
        take_in(code, addresses[i], sizeof(uintptr_t));
    }
    take_in(code, REFERENCES, sizeof(int64_t));
    take_in(code, layout->shared_references, sizeof(int64_t));
    take_in(code, layout->first_line, sizeof(int32_t));
    take_in(code, layout->version, sizeof(uint32_t));
    take_in(string, layout->string_length, sizeof(int64_t));
    take_in(string, layout->string_state, sizeof(uint32_t));
    take_in(line_table, layout->size, sizeof(int64_t));
    table->file = *string;
    if (!is_readable(code) || !is_readable(string) || !is_readable(line_table)) {
        free(table);
        errno = EINVAL;
        return NULL;
    }
    return table;
}

void gilx_code_table_clear(gilx_code_table *table) {
    table->texts_kept = table->functions = table->spots = 0;
    table->text_bytes = 0;
    memset(table->function_slots, 0, sizeof(table->function_slots));
    memset(table->spot_slots, 0, sizeof(table->spot_slots));
    memset(table->text_slots, 0, sizeof(table->text_slots));
    memset(table->known, 0, sizeof(table->known));
    memset(table->recent, 0, sizeof(table->recent));
}

void gilx_code_table_free(gilx_code_table *table) {
    free(table);
}

int gilx_spot_count(const gilx_code_table *table) {
    return table->spots;
}

int gilx_function_count(const gilx_code_table *table) {
    return table->functions;
}

const gilx_spot *gilx_spot_at(const gilx_code_table *table, int number) {
    return &table->spot_at[number];
}

const gilx_function *gilx_function_at(const gilx_code_table *table, int number) {
    return &table->function_at[number];
}
